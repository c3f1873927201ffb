"""What kind of cause a first difference points to: a weight, an epsilon, the RoPE, the window, …

At the first step that differs everything that the step reads was still equal, so the fault lies in
the step itself: in its weight, its constants, or its arithmetic. Each is looked at in turn.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from transformers import PreTrainedModel

from olmo_explain.by_hand import differ, frequencies
from olmo_explain.checkpoint import LayerType, OlmoConfig, Rope

READS = {
    "embedding": "model.embed_tokens",
    "q_proj": "self_attn.q_proj",
    "k_proj": "self_attn.k_proj",
    "v_proj": "self_attn.v_proj",
    "q_norm": "self_attn.q_norm",
    "k_norm": "self_attn.k_norm",
    "o_proj": "self_attn.o_proj",
    "attn_out": "post_attention_layernorm",
    "gate_proj": "mlp.gate_proj",
    "up_proj": "mlp.up_proj",
    "down_proj": "mlp.down_proj",
    "mlp_out": "post_feedforward_layernorm",
    "final_norm": "model.norm",
    "logits": "lm_head",
}
"""The module whose weight each step reads, where it reads one."""

ARITHMETIC = {
    "v": "heads: the values are not cut into heads of head_dim",
    "q": "rotation: cos and sin are right, but the queries are not turned by them",
    "k": "rotation: cos and sin are right, but the keys are not turned by them",
    "scores": "scores: not q · k / √head_dim, or a query head reads another key-value head",
    "masked_scores": "mask: right, but not added to the scores",
    "pattern": "softmax: not over the keys, or not in float32",
    "z": "values: not the pattern's averages, or something changes o_proj's input",
    "silu": "activation: not SiLU",
    "intermediate": "activation: not SiLU(gate) × up",
    "resid_pre": "residual stream: something changes what the layer before wrote",
    "resid_mid": "residual stream: not the layer's input plus the attention's output",
    "resid_post": "residual stream: not the middle of the layer plus the MLP's output",
}


def cause_of(
    layer: int | None,
    name: str,
    ours: Tensor,
    theirs: Tensor | None,
    model: PreTrainedModel,
    weights: Mapping[str, Tensor],
    config: OlmoConfig,
) -> str:
    """One line: `kind: what was found`. `theirs` is the model's value, None if it formed none."""
    if theirs is None:
        return "implementation: it forms no such value, or not where it is looked for"
    if theirs.shape != ours.shape:
        return f"shape: {tuple(theirs.shape)} where {tuple(ours.shape)} was expected"
    if layer is not None and name in ("cos", "sin"):
        return _rope(config.layer_types[layer], name, ours, theirs, config)
    if layer is not None and name == "mask":
        return _mask(config.layer_types[layer], ours, theirs, config)
    if name in READS:
        path = READS[name] if layer is None else f"model.layers.{layer}.{READS[name]}"
        return _weight_or_epsilon(path, model, weights, config)
    return ARITHMETIC[name]


def _weight_or_epsilon(
    path: str, model: PreTrainedModel, weights: Mapping[str, Tensor], config: OlmoConfig
) -> str:
    module = model.get_submodule(path)
    name = f"{path}.weight"
    tied = path == "lm_head" and config.tie_word_embeddings
    stored = weights["model.embed_tokens.weight" if tied else name]
    if stored.shape != module.weight.shape:
        return f"weight: {name} has another shape than the checkpoint's"
    if changed := differ(module.weight, stored).sum().item():
        total = module.weight.numel()
        return f"weight: {changed:,} of {total:,} numbers of {name} are not the checkpoint's"
    epsilon = getattr(module, "variance_epsilon", config.rms_norm_eps)
    if epsilon != config.rms_norm_eps:
        return f"epsilon: {path} adds {epsilon:g}, config.json says {config.rms_norm_eps:g}"
    return f"arithmetic: {name} is the checkpoint's, but other operations are done with it"


def _mask(kind: LayerType, ours: Tensor, theirs: Tensor, config: OlmoConfig) -> str:
    sees, should = ((mask[:, 0] == 0).sum(-1) for mask in (theirs, ours))  # (B, T)
    if torch.equal(sees, should):
        return f"mask: right in number, but other keys are hidden, in a {_words(kind)} layer"
    position = int((sees != should).any(0).nonzero()[0])
    row = int((sees != should)[:, position].nonzero()[0])
    return (
        f"window: position {position} sees {sees[row, position]} keys in a {_words(kind)} layer, "
        f"where it should see {should[row, position]} (sliding_window {config.sliding_window})"
    )


def _rope(kind: LayerType, name: str, ours: Tensor, theirs: Tensor, config: OlmoConfig) -> str:
    rope, where = config.rope[kind], f"in a {_words(kind)} layer"
    if _close(ours, theirs):
        return f"RoPE rounded: cos and sin are {_words(theirs.dtype)} {where}, not float32"
    for other in (*config.rope.values(), Rope("default", rope.rope_theta)):
        if _close(_cos_or_sin(name, frequencies(other, config.head_dim), other, ours), theirs):
            if other.rope_type == "yarn":
                return f"RoPE scaled: YaRN is applied {where}, which config.json leaves unscaled"
            return f"RoPE not scaled: YaRN is missing {where}, for which config.json asks for it"
    for dtype in (torch.bfloat16, torch.float16):
        cut = frequencies(rope, config.head_dim).to(dtype).float()
        if _close(_cos_or_sin(name, cut, rope, ours), theirs):
            return (
                f"RoPE rounded: the frequencies are {_words(dtype)} {where}, as after "
                f"model.to({dtype}); load the model with dtype={dtype} instead"
            )
    theta = _theta(theirs) if name == "cos" else None
    if theta and abs(theta / rope.rope_theta - 1) > 0.01:
        return f"RoPE theta: {theta:,.0f} {where}, config.json says {rope.rope_theta:,.0f}"
    return f"RoPE: other frequencies {where} than those of rope_theta {rope.rope_theta:,.0f}"


def _theta(cos: Tensor) -> float | None:
    """The rope_theta that these cosines come from, to three digits; None if they come from none.

    At position 1 pair i stands at the angle θ^(−2i/head_dim): pairs 1 and 2 must tell the same θ.
    """
    pairs = cos.shape[-1] // 2
    if cos.shape[1] < 2 or pairs < 3:
        return None
    angles = (cos[0, 1, 1:3] / cos[0, 0, 0]).double().cpu().clamp(-1, 1).acos()
    first, second = (angles ** (-pairs / torch.tensor([1.0, 2.0]))).tolist()
    return float(f"{first:.3g}") if abs(second / first - 1) < 0.02 else None


def _cos_or_sin(name: str, turns: Tensor, rope: Rope, like: Tensor) -> Tensor:
    angles = torch.arange(like.shape[1])[:, None].float() * turns.repeat(2)  # (T, Dh)
    return (getattr(angles, name)() * rope.attention_factor).to(like.device)


def _close(ours: Tensor, theirs: Tensor) -> bool:
    """Whether the two are one value, but for the rounding of the coarser dtype."""
    step = torch.finfo(theirs.dtype).eps
    return torch.allclose(ours.float(), theirs.float(), rtol=step, atol=step)


def _words(name: object) -> str:
    """`sliding_attention` → sliding-attention, `torch.bfloat16` → bfloat16."""
    return str(name).removeprefix("torch.").replace("_", "-")
