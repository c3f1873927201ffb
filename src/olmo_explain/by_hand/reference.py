"""OLMo 3 by hand: its whole forward pass in plain torch. OLMo 2 is the same, without windows.

Each function is one step; `layer_by_hand` puts the fifteen steps of a layer in order, and `walk`
goes from token ids to logits. On a CPU every value equals, bit for bit, that of transformers' eager
implementation without a KV cache (`use_cache=False`), in float32 and in bfloat16:
`olmo_explain.verify` proves it for the model at hand.

Axes: B batch, T positions, D hidden_size, F intermediate_size, V vocab_size, H heads,
K key-value heads, Dh head_dim. A weight is stored as (outputs, inputs).
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from olmo_explain.by_hand.rope import cos_sin, rotate
from olmo_explain.by_hand.weights import Weights, as_dtype, check_weights
from olmo_explain.checkpoint import (
    Checkpoint,
    LayerType,
    OlmoConfig,
    check_config,
    check_supported,
    config_of,
)
from olmo_explain.errors import OutOfRange, UsageError
from olmo_explain.ids import as_ids, as_mask, check_room
from olmo_explain.undo import no_grad
from olmo_explain.words import quoted

STEPS = {
    "resid_pre": 1, "q_proj": 1, "k_proj": 2, "v_proj": 3, "v": 3, "q_norm": 4, "k_norm": 4,
    "cos": 5, "sin": 5, "q": 5, "k": 5, "scores": 6, "mask": 6, "masked_scores": 6, "pattern": 7,
    "z": 8, "o_proj": 9, "attn_out": 10, "resid_mid": 10, "gate_proj": 11, "up_proj": 12,
    "silu": 13, "intermediate": 13, "down_proj": 14, "mlp_out": 15, "resid_post": 15,
}  # fmt: skip
"""Every value that a layer computes, in order, and which of its fifteen steps computes it."""


# -- the steps ------------------------------------------------------------------------------------


def embed(
    ids: Int[Tensor, "batch pos"], weight: Float[Tensor, "vocab hidden"]
) -> Float[Tensor, "batch pos hidden"]:
    """One row of the table for each token: no arithmetic at all."""
    return weight[ids]  # (B, T) → (B, T, D)


def linear(
    x: Float[Tensor, "batch pos inputs"], weight: Float[Tensor, "outputs inputs"]
) -> Float[Tensor, "batch pos outputs"]:
    """Every output is the dot product of x with one row of the weight. OLMo adds no bias."""
    return x @ weight.T


def rms_norm(
    x: Float[Tensor, "batch pos size"], weight: Float[Tensor, "size"], eps: float
) -> Float[Tensor, "batch pos size"]:
    """Divides x by its root mean square, then scales each number by its weight.

    Computed in float32 and rounded once, at the end. `eps` keeps a vector of zeros from dividing by
    zero.

    >>> rms_norm(torch.tensor([3.0, 4.0]), torch.ones(2), eps=0.0)  # rms = √12.5 = 3.5355
    tensor([0.8485, 1.1314])
    """
    wide = x.float()
    mean_square = wide.pow(2).mean(-1, keepdim=True)  # (B, T, 1)
    return (weight * (wide * torch.rsqrt(mean_square + eps))).to(x.dtype)


def qk_norm(
    x: Float[Tensor, "batch pos heads*head_dim"],
    weight: Float[Tensor, "heads*head_dim"],
    eps: float,
) -> Float[Tensor, "batch pos heads*head_dim"]:
    """RMSNorm over all heads at once, so that one head's q depends on every head's."""
    return rms_norm(x, weight, eps)


def split_heads(
    x: Float[Tensor, "batch pos heads*head_dim"], head_dim: int
) -> Float[Tensor, "batch heads pos head_dim"]:
    """Cuts each vector into its heads; head h is the numbers from h·Dh to (h + 1)·Dh."""
    B, T, _ = x.shape
    return x.view(B, T, -1, head_dim).transpose(1, 2)


def merge_heads(
    z: Float[Tensor, "batch pos heads head_dim"],
) -> Float[Tensor, "batch pos heads*head_dim"]:
    """Puts the heads back side by side."""
    return z.flatten(-2)


def share_kv_heads(
    kv: Float[Tensor, "batch kv_heads pos head_dim"], heads: int
) -> Float[Tensor, "batch heads pos head_dim"]:
    """Grouped-query attention: heads 0 to H/K − 1 all read key-value head 0, and so on."""
    B, K, T, Dh = kv.shape
    shared = kv[:, :, None].expand(B, K, heads // K, T, Dh)  # a view: nothing is copied yet
    return shared.flatten(1, 2)  # (B, H, T, Dh)


def attention_scores(
    q: Float[Tensor, "batch heads query head_dim"], k: Float[Tensor, "batch kv_heads key head_dim"]
) -> Float[Tensor, "batch heads query key"]:
    """How well each query fits each key: their dot product over √Dh."""
    H, Dh = q.shape[1], q.shape[-1]
    return q @ share_kv_heads(k, H).transpose(-2, -1) * Dh**-0.5


def visible(
    length: int, window: int | None = None, attention_mask: Int[Tensor, "batch pos"] | None = None
) -> Bool[Tensor, "batch 1 query key"]:
    """Which keys each query may see: those up to itself, within the window, that are not padding.

    The window counts the query's own position. `attention_mask` is 1 for a token, 0 for padding.

    >>> visible(4, window=2)[0, 0].int()
    tensor([[1, 0, 0, 0],
            [1, 1, 0, 0],
            [0, 1, 1, 0],
            [0, 0, 1, 1]], dtype=torch.int32)
    """
    query, key = torch.arange(length)[:, None], torch.arange(length)
    seen = key <= query  # (T, T)
    if window is not None:
        seen = seen & (key > query - window)
    seen = seen[None, None]  # (1, 1, T, T)
    if attention_mask is not None:
        seen = seen & attention_mask.bool().cpu()[:, None, None, :]  # (B, 1, T, T)
    return seen


def additive_mask(
    seen: Bool[Tensor, "batch 1 query key"], dtype: torch.dtype
) -> Float[Tensor, "batch 1 query key"]:
    """What is added to the scores: 0 where a key is seen, the dtype's lowest number where not."""
    hidden = torch.finfo(dtype).min
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill(~seen, hidden)


def attention_pattern(
    scores: Float[Tensor, "batch heads query key"],
) -> Float[Tensor, "batch heads query key"]:
    """Softmax over the keys, in float32: each query's shares of attention, which sum to 1."""
    return scores.softmax(dim=-1, dtype=torch.float32).to(scores.dtype)


def apply_pattern(
    pattern: Float[Tensor, "batch heads query key"], v: Float[Tensor, "batch kv_heads key head_dim"]
) -> Float[Tensor, "batch query heads head_dim"]:
    """Each head's output: the values, averaged with the pattern's shares."""
    z = pattern @ share_kv_heads(v, pattern.shape[1])  # (B, H, T, Dh)
    return z.transpose(1, 2).contiguous()  # (B, T, H, Dh)


def silu(gate: Float[Tensor, "batch pos intermediate"]) -> Float[Tensor, "batch pos intermediate"]:
    """x · σ(x), with σ(x) = 1 / (1 + e⁻ˣ)."""
    return torch.nn.functional.silu(gate)


# -- a layer, and the whole model -----------------------------------------------------------------


class Positions(NamedTuple):
    """All that a layer knows of positions: the same for every layer of one type."""

    cos: Float[Tensor, "1 pos head_dim"]
    sin: Float[Tensor, "1 pos head_dim"]
    mask: Float[Tensor, "batch 1 query key"]


def positions_by_hand(
    config: OlmoConfig,
    layer_type: LayerType,
    x: Float[Tensor, "batch pos hidden"],
    attention_mask: Int[Tensor, "batch pos"] | None = None,
) -> Positions:
    """RoPE and mask of one layer type: a window in sliding layers, YaRN in full ones."""
    B, T, _ = x.shape
    cos, sin = cos_sin(config.rope[layer_type], config.head_dim, torch.arange(T, device=x.device))
    seen = visible(T, config.window_of(layer_type), attention_mask).to(x.device).expand(B, 1, T, T)
    return Positions(cos, sin, additive_mask(seen, x.dtype))


def layer_by_hand(
    x: Float[Tensor, "batch pos hidden"],
    weights: Mapping[str, Tensor],
    config: OlmoConfig,
    layer: int,
    positions: Positions,
) -> Iterator[tuple[str, Tensor]]:
    """The fifteen steps of one layer: yields each value's name and the value, `resid_post` last."""
    Dh, eps = config.head_dim, config.rms_norm_eps
    cos, sin, mask = positions

    def weight(name: str) -> Tensor:
        return weights[f"model.layers.{layer}.{name}.weight"]

    # There is no norm here: OLMo normalises what a sublayer writes, not what it reads.
    yield "resid_pre", x  # (B, T, D)

    # 1–3: three projections of the same input.
    yield "q_proj", (q := linear(x, weight("self_attn.q_proj")))  # (B, T, H·Dh)
    yield "k_proj", (k := linear(x, weight("self_attn.k_proj")))  # (B, T, K·Dh)
    yield "v_proj", (v := linear(x, weight("self_attn.v_proj")))  # (B, T, K·Dh)
    yield "v", (v := split_heads(v, Dh))  # (B, K, T, Dh)

    # 4: QK-norm, before the heads are cut apart.
    yield "q_norm", (q := qk_norm(q, weight("self_attn.q_norm"), eps))  # (B, T, H·Dh)
    yield "k_norm", (k := qk_norm(k, weight("self_attn.k_norm"), eps))  # (B, T, K·Dh)

    # 5: positions enter.
    yield "cos", cos  # (1, T, Dh)
    yield "sin", sin  # (1, T, Dh)
    yield "q", (q := rotate(split_heads(q, Dh), cos, sin))  # (B, H, T, Dh)
    yield "k", (k := rotate(split_heads(k, Dh), cos, sin))  # (B, K, T, Dh)

    # 6–8: the only steps in which positions meet each other.
    yield "scores", (scores := attention_scores(q, k))  # (B, H, T, T)
    yield "mask", mask  # (B, 1, T, T)
    yield "masked_scores", (scores := scores + mask)  # (B, H, T, T)
    yield "pattern", (pattern := attention_pattern(scores))  # (B, H, T, T)
    yield "z", (z := apply_pattern(pattern, v))  # (B, T, H, Dh)

    # 9–10: the heads' outputs are mixed, normalised, and added to the stream.
    yield "o_proj", (out := linear(merge_heads(z), weight("self_attn.o_proj")))  # (B, T, D)
    yield "attn_out", (out := rms_norm(out, weight("post_attention_layernorm"), eps))
    yield "resid_mid", (x := x + out)  # (B, T, D)

    # 11–13: up into the wider space, where the gate decides what passes.
    yield "gate_proj", (gate := linear(x, weight("mlp.gate_proj")))  # (B, T, F)
    yield "up_proj", (up := linear(x, weight("mlp.up_proj")))  # (B, T, F)
    yield "silu", (gate := silu(gate))  # (B, T, F)
    yield "intermediate", (inner := gate * up)  # (B, T, F)

    # 14–15: back down, normalised, and added to the stream.
    yield "down_proj", (out := linear(inner, weight("mlp.down_proj")))  # (B, T, D)
    yield "mlp_out", (out := rms_norm(out, weight("post_feedforward_layernorm"), eps))
    yield "resid_post", x + out  # (B, T, D)


class Value(NamedTuple):
    """One value of a forward pass. `layer` and `step` are None outside the layers."""

    layer: int | None
    step: int | None
    name: str
    tensor: Tensor


def walk(
    weights: Mapping[str, Tensor],
    config: OlmoConfig,
    ids: Int[Tensor, "batch pos"],
    attention_mask: Int[Tensor, "batch pos"] | None = None,
) -> Iterator[Value]:
    """From token ids to logits, one value after the other; keeps no more than one layer's."""
    check_supported(config)
    x = embed(ids, weights["model.embed_tokens.weight"])  # (B, T, D)
    yield Value(None, None, "embedding", x)
    positions = {
        kind: positions_by_hand(config, kind, x, attention_mask) for kind in set(config.layer_types)
    }
    for layer, kind in enumerate(config.layer_types):
        for name, value in layer_by_hand(x, weights, config, layer, positions[kind]):
            yield Value(layer, STEPS[name], name, value)
        x = value  # resid_post, the last
    x = rms_norm(x, weights["model.norm.weight"], config.rms_norm_eps)
    yield Value(None, None, "final_norm", x)
    yield Value(None, None, "logits", linear(x, weights[lm_head(config)]))  # (B, T, V)


# -- the door -------------------------------------------------------------------------------------


class Activations(dict[tuple[int | None, str], Tensor]):
    """Values by layer and name: `values[3, "q"]`, and `values["logits"]` outside the layers.

    `values[3]` are those of layer 3, by name.
    """

    def __repr__(self) -> str:
        return f"{len(self):,} values, by layer and name: values[0, 'q'], values['logits']"

    def __getitem__(self, key: Any) -> Any:
        try:
            return super().__getitem__(key)
        except TypeError:  # a list has no hash
            return self.__missing__(key)

    def __missing__(self, key: Any) -> Any:
        if isinstance(key, str) and (None, key) in self:
            return self[None, key]
        if isinstance(key, int) and any(layer == key for layer, _ in self):
            return {name: value for (layer, name), value in self.items() if layer == key}
        names = ", ".join(dict.fromkeys(name for _, name in self))
        raise OutOfRange(f"There is no value {quoted(key)} among these", f"Their names are {names}")


def run_by_hand(
    model: nn.Module | Mapping[str, Tensor] | Checkpoint,
    ids: Int[Tensor, "batch pos"],
    attention_mask: Int[Tensor, "batch pos"] | None = None,
    *,
    config: OlmoConfig | None = None,
    dtype: torch.dtype | str | None = None,
) -> Activations:
    """Every value of a forward pass, computed by hand from a model's weights.

    `model`: an OLMo of transformers, of which only weights and config are used; or a Checkpoint, or
    a mapping from its names to tensors, with a `config` beside it. `attention_mask`: 1 for a token,
    0 for padding. `dtype`: of the computation, that of the weights when not given. The names are
    those of `STEPS`, and embedding, final_norm and logits. Raises UsageError for a name, and for a
    model without weights.

    >>> values = run_by_hand(model, torch.tensor([[5, 6]]))
    >>> values[3, "pattern"].shape, values["logits"].shape
    (torch.Size([1, 4, 2, 2]), torch.Size([1, 2, 2048]))
    """
    if isinstance(model, nn.Module):
        model = getattr(model, "_orig_mod", model)  # of a compiled one
        config = config_of(model) if config is None else config
        model = model.state_dict()
    if isinstance(model, str):
        raise UsageError(f"{quoted(model)} is a name", "Give the model: load(…)[0]")
    if config is None:
        raise UsageError(
            "Weights alone say nothing of windows or RoPE", "Give config=read_config(…) with them"
        )
    check_supported(check_config(config))
    check_weights(model, config)
    ids = as_ids(ids, config.vocab_size)
    attention_mask = as_mask(attention_mask, ids)
    dtype = as_dtype(Weights(model)["model.norm.weight"].dtype if dtype is None else dtype)
    weights = Weights(model, dtype, ids.device)
    check_room(ids, config.num_attention_heads, dtype.itemsize, times=config.num_hidden_layers)
    with no_grad():
        values = walk(weights, config, ids, attention_mask)
        return Activations({(value.layer, value.name): value.tensor for value in values})


def lm_head(config: OlmoConfig) -> str:
    """The name of the weight that makes logits: the embedding's where the two are tied."""
    return "model.embed_tokens.weight" if config.tie_word_embeddings else "lm_head.weight"
