"""Known faults of a layer: norms, heads, the MLP, and what comes before and after."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import takewhile

import torch
from jaxtyping import Float, Int
from torch import Tensor

from olmo_explain.by_hand.fault import Form, Steps, fault
from olmo_explain.by_hand.reference import Positions
from olmo_explain.checkpoint import OlmoConfig

EPSILONS = (1e-5, 1e-6, 2.0**-23, 1e-8)
"""Olmo3Config's own, that of the published models, torch.nn.RMSNorm's, and next to none."""


# -- norms ----------------------------------------------------------------------------------------


def _rearranged(steps: Steps, before: bool) -> None:
    """Layers that normalise what a sublayer reads (`before`), or the sum of it and its output."""
    own = steps.layer_by_hand

    def layer_by_hand(
        x: Tensor,
        weights: Mapping[str, Tensor],
        config: OlmoConfig,
        layer: int,
        positions: Positions,
    ) -> Iterator[tuple[str, Tensor]]:
        def weight(name: str) -> Tensor:
            return weights[f"model.layers.{layer}.{name}.weight"]

        def norm(x: Tensor, name: str) -> Tensor:
            return steps.rms_norm(x, weight(name), config.rms_norm_eps)

        yield "resid_pre", x
        first = norm(x, "post_attention_layernorm") if before else x
        as_ever = own(first, weights, config, layer, positions)
        for name, out in takewhile(lambda value: value[0] != "attn_out", as_ever):
            if name != "resid_pre":
                yield name, out
        yield "attn_out", out
        x = x + out if before else norm(x + out, "post_attention_layernorm")
        yield "resid_mid", x
        second = norm(x, "post_feedforward_layernorm") if before else x
        yield "gate_proj", (gate := steps.linear(second, weight("mlp.gate_proj")))
        yield "up_proj", (up := steps.linear(second, weight("mlp.up_proj")))
        yield "silu", (gate := steps.silu(gate))
        yield "intermediate", (inner := gate * up)
        yield "down_proj", (out := steps.linear(inner, weight("mlp.down_proj")))
        yield "mlp_out", out
        yield "resid_post", x + out if before else norm(x + out, "post_feedforward_layernorm")

    steps.layer_by_hand = layer_by_hand  # type: ignore[attr-defined]


@fault(
    "pre-norm",
    "where the norms stand",
    "each sublayer's input is normalised, and OLMo normalises its output before it is added",
    "the order in a layer: x + norm(attention(x)), then x + norm(MLP(x))",
    "configs proposed to GPT-NeoX for OLMo 2 (EleutherAI/gpt-neox #1408)",
    positions=lambda config: 1,
)
def pre_norm(config: OlmoConfig) -> Iterator[Form]:
    yield Form(config, lambda steps: _rearranged(steps, before=True))


@fault(
    "norm-after-sum",
    "where the norms stand",
    "the sum of a sublayer's input and output is normalised, and OLMo normalises the output alone",
    "the order in a layer: x + norm(attention(x)), then x + norm(MLP(x))",
    positions=lambda config: 1,
)
def norm_after_sum(config: OlmoConfig) -> Iterator[Form]:
    yield Form(config, lambda steps: _rearranged(steps, before=False))


@fault(
    "norm-weight-plus-one",
    "the weights of norms",
    "every norm multiplies by 1 + weight, and OLMo by the weight",
    "the RMSNorm: that of Gemma adds 1",
    positions=lambda config: 1,
)
def norm_weight_plus_one(config: OlmoConfig) -> Iterator[Form]:
    def plus_one(weights: Mapping[str, Tensor], name: str) -> Tensor:
        return weights[name] + 1 if name.endswith("norm.weight") else weights[name]

    yield Form(config, weight=plus_one)


@fault(
    "norm-eps",
    "rms_norm_eps",
    "the norms add another epsilon than the rms_norm_eps of config.json",
    "where the norms get their epsilon: Olmo3Config's default is 1e-05, the published models have "
    "1e-06, torch.nn.RMSNorm takes 1.2e-07 where it is told none",
    positions=lambda config: 1,
)
def norm_eps(config: OlmoConfig) -> Iterator[Form]:
    for eps in EPSILONS:
        if eps != config.rms_norm_eps:
            yield Form(replace(config, rms_norm_eps=eps), detail=f"rms_norm_eps {eps:.2g}")


@fault(
    "no-qk-norm",
    "QK-norm",
    "queries and keys are not normalised",
    "q_norm and k_norm, between the projections and RoPE",
)
def no_qk_norm(config: OlmoConfig) -> Iterator[Form]:
    def change(steps: Steps) -> None:
        steps.qk_norm = lambda x, weight, eps: x  # type: ignore[attr-defined]

    yield Form(config, change)


@fault(
    "qk-norm-per-head",
    "QK-norm",
    "queries and keys are normalised head by head, and OLMo normalises the whole projection",
    "the axis of q_norm and k_norm: all heads at once, before they are cut apart",
    "vllm-metal, which OLMo 3 made crash (vllm-project/vllm-metal #691, mended by #692)",
)
def qk_norm_per_head(config: OlmoConfig) -> Iterator[Form]:
    def change(steps: Steps) -> None:
        def per_head(x: Tensor, weight: Tensor, eps: float) -> Tensor:
            heads = x.unflatten(-1, (-1, config.head_dim))  # (B, T, heads, Dh)
            ones = torch.ones(config.head_dim, dtype=x.dtype, device=x.device)
            return steps.rms_norm(heads, ones, eps).flatten(-2) * weight

        steps.qk_norm = per_head  # type: ignore[attr-defined]

    if config.num_attention_heads > 1:
        yield Form(config, change)


@fault(
    "qk-norm-after-rope",
    "QK-norm",
    "queries and keys are turned by their positions before they are normalised",
    "the order: q_norm and k_norm come first, then RoPE",
)
def qk_norm_after_rope(config: OlmoConfig) -> Iterator[Form]:
    def change(steps: Steps) -> None:
        rotate, norm, later = steps.rotate, steps.qk_norm, deque[tuple[Tensor, float]]()

        def wait(x: Tensor, weight: Tensor, eps: float) -> Tensor:
            later.append((weight, eps))  # first that of q, then that of k
            return x

        def then_norm(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
            turned = rotate(x, cos, sin).transpose(1, 2).flatten(-2)  # (B, T, heads·Dh)
            return steps.split_heads(norm(turned, *later.popleft()), config.head_dim)

        steps.qk_norm, steps.rotate = wait, then_norm  # type: ignore[attr-defined]

    yield Form(config, change)


# -- attention ------------------------------------------------------------------------------------


@fault(
    "no-score-scale",
    "the scale of scores",
    "the scores are not divided by √head_dim",
    "the scale of attention: head_dim ** -0.5, also where QK-norm has made q and k of one size",
)
def no_score_scale(config: OlmoConfig) -> Iterator[Form]:
    def change(steps: Steps) -> None:
        scores = steps.attention_scores
        steps.attention_scores = lambda q, k: scores(q, k) * q.shape[-1] ** 0.5  # type: ignore[attr-defined]

    if config.head_dim > 1:
        yield Form(config, change)


@fault(
    "kv-heads-tiled",
    "key-value heads",
    "query head h reads key-value head h mod K, and OLMo's h ÷ (H/K)",
    "how key-value heads are repeated: each H/K times in a row (repeat_interleave), not all "
    "of them H/K times (repeat, tile)",
    positions=lambda config: 1,
)
def kv_heads_tiled(config: OlmoConfig) -> Iterator[Form]:
    def tiled(
        kv: Float[Tensor, "batch kv_heads pos head_dim"], heads: int
    ) -> Float[Tensor, "batch heads pos head_dim"]:
        return kv.repeat(1, heads // kv.shape[1], 1, 1)

    def change(steps: Steps) -> None:
        steps.share_kv_heads = tiled  # type: ignore[attr-defined]

    if 1 < config.num_key_value_heads < config.num_attention_heads:
        yield Form(config, change)


@fault(
    "keys-values-zero",
    "key-value heads",
    "keys and values are zeros, so that attention adds nothing",
    "whether k_proj, v_proj are loaded under their names in the checkpoint",
    "TransformerLens with Olmo-3, without an error (TransformerLensOrg/TransformerLens #1620)",
    positions=lambda config: 1,
)
def keys_values_zero(config: OlmoConfig) -> Iterator[Form]:
    def zeros(weights: Mapping[str, Tensor], name: str) -> Tensor:
        is_empty = name.endswith(("k_proj.weight", "v_proj.weight"))
        return torch.zeros_like(weights[name]) if is_empty else weights[name]

    yield Form(config, weight=zeros)


# -- the MLP, and both ends -----------------------------------------------------------------------


@fault(
    "gate-up-swapped",
    "gate and up",
    "SiLU is applied to up_proj's output, and OLMo applies it to gate_proj's",
    "the order of gate_proj and up_proj, where an engine holds both as one weight",
    positions=lambda config: 1,
)
def gate_up_swapped(config: OlmoConfig) -> Iterator[Form]:
    swapped = {"gate_proj": "up_proj", "up_proj": "gate_proj"}

    def other(weights: Mapping[str, Tensor], name: str) -> Tensor:
        before, _, projection = name.removesuffix(".weight").rpartition(".")
        return weights[f"{before}.{swapped[projection]}.weight" if projection in swapped else name]

    yield Form(config, weight=other)


@fault(
    "gelu",
    "activation",
    "the MLP's gate goes through GELU, and OLMo's through SiLU",
    "hidden_act, which is silu",
    positions=lambda config: 1,
)
def gelu(config: OlmoConfig) -> Iterator[Form]:
    for form in ("none", "tanh"):

        def change(steps: Steps, form: str = form) -> None:
            steps.silu = lambda gate: torch.nn.functional.gelu(gate, approximate=form)  # type: ignore[attr-defined]

        yield Form(config, change, detail="" if form == "none" else "its tanh form")


@fault(
    "embedding-scaled",
    "embedding",
    "embeddings are multiplied by √hidden_size, and OLMo's are taken as they are",
    "the embedding: that of Gemma is scaled",
    positions=lambda config: 1,
)
def embedding_scaled(config: OlmoConfig) -> Iterator[Form]:
    def change(steps: Steps) -> None:
        embed = steps.embed

        def scaled(ids: Int[Tensor, "batch pos"], weight: Tensor) -> Tensor:
            return embed(ids, weight) * config.hidden_size**0.5

        steps.embed = scaled  # type: ignore[attr-defined]

    if config.hidden_size > 1:
        yield Form(config, change)


@fault(
    "untied-head",
    "lm_head",
    "the logits are made with the other one of embed_tokens and lm_head",
    "tie_word_embeddings: false in OLMo 3, whose lm_head.weight is its own",
    positions=lambda config: 1,
)
def untied_head(config: OlmoConfig, names: frozenset[str]) -> Iterator[Form]:
    if not config.tie_word_embeddings or "lm_head.weight" in names:
        yield Form(replace(config, tie_word_embeddings=not config.tie_word_embeddings))
