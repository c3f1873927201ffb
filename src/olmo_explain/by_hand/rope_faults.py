"""Known faults of the positions: what YaRN scales, rope_theta, and the rotation."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from olmo_explain.by_hand.fault import Form, Steps, fault
from olmo_explain.checkpoint import OlmoConfig, Rope, ropes_under

THETAS = (10_000.0, 500_000.0)
"""What transformers takes for an OLMo 2 and an OLMo 3 whose config.json says no rope_theta."""


def _with_ropes(config: OlmoConfig, ropes: Mapping[Any, Rope], detail: str = "") -> Iterator[Form]:
    kinds = set(config.layer_types)
    if any(ropes[kind] != config.rope[kind] for kind in kinds):
        yield Form(replace(config, rope=dict(ropes)), detail=detail)


def _with_yarn(config: OlmoConfig, **changes: Any) -> Iterator[Form]:
    """Other fields in the layers that YaRN scales."""
    ropes = {
        kind: replace(rope, **changes) if rope.rope_type == "yarn" else rope
        for kind, rope in config.rope.items()
    }
    return _with_ropes(config, ropes)


def _yarn(config: OlmoConfig) -> Rope | None:
    return next((rope for rope in config.rope.values() if rope.rope_type == "yarn"), None)


@fault(
    "yarn-everywhere",
    "which layers YaRN scales",
    "YaRN scales the RoPE of every layer, and OLMo 3 scales its full-attention layers only",
    "where a layer gets its cos and sin: a sliding layer's come from rope_theta alone, with "
    "neither factor nor attention_factor",
    "transformers 5.0 to 5.12 (huggingface/transformers #45945, mended by #46911)",
)
def yarn_everywhere(config: OlmoConfig) -> Iterator[Form]:
    return _with_ropes(config, ropes_under("yarn-everywhere", config.rope))


@fault(
    "yarn-nowhere",
    "which layers YaRN scales",
    "no layer applies the YaRN that config.json asks for in full-attention layers",
    "whether rope_scaling, or rope_parameters.full_attention, is read at all",
    "a flat rope_parameters, as transformers 5.0 to 5.12 saved it, loaded by 5.13 or newer",
)
def yarn_nowhere(config: OlmoConfig) -> Iterator[Form]:
    return _with_ropes(config, ropes_under("yarn-lost", config.rope))


@fault(
    "no-attention-factor",
    "attention_factor",
    "YaRN's frequencies are right, but cos and sin are not multiplied by attention_factor",
    "attention_factor (mscale), 1.2079 in the published models: it belongs on cos and sin of q and "
    "of k, in full-attention layers",
    "exllamav3 1.0 (turboderp-org/exllamav3 #259), with a config that says mscale",
)
def no_attention_factor(config: OlmoConfig) -> Iterator[Form]:
    return _with_yarn(config, attention_factor=1.0)


@fault(
    "attention-factor-once",
    "attention_factor",
    "the scores grow by attention_factor once, and OLMo 3 applies it to q and to k",
    "cos and sin of both, or the scale of the scores: attention_factor² in all",
)
def attention_factor_once(config: OlmoConfig) -> Iterator[Form]:
    if yarn := _yarn(config):
        yield from _with_yarn(config, attention_factor=yarn.attention_factor**0.5)


@fault(
    "attention-factor-twice",
    "attention_factor",
    "attention_factor is applied to cos and sin and once more to the scores",
    "the scale of the scores: 1/√head_dim and nothing else, where cos and sin have the factor",
    "llama.cpp, with a GGUF that says rope.scaling.attn_factor instead of yarn_attn_factor",
)
def attention_factor_twice(config: OlmoConfig) -> Iterator[Form]:
    if yarn := _yarn(config):
        yield from _with_yarn(config, attention_factor=yarn.attention_factor**2)


@fault(
    "positions-divided",
    "frequencies",
    "every position is divided by YaRN's factor, and YaRN slows only the pairs that turn slowly",
    "the ramp between beta_fast and beta_slow: pairs before it keep their frequency",
    "a notebook of rasbt/LLMs-from-scratch (#939, mended by #940)",
)
def positions_divided(config: OlmoConfig) -> Iterator[Form]:
    def change(steps: Steps, loud: bool) -> None:
        cos_sin = steps.cos_sin

        def divided(rope: Rope, head_dim: int, positions: Int[Tensor, "pos"]) -> Any:
            if rope.factor is None:
                return cos_sin(rope, head_dim, positions)
            plain = Rope("default", rope.rope_theta)
            waves = cos_sin(plain, head_dim, positions / rope.factor)
            return tuple(wave * (rope.attention_factor if loud else 1) for wave in waves)

        steps.cos_sin = divided  # type: ignore[attr-defined]

    if yarn := _yarn(config):
        yield Form(config, partial(change, loud=True))
        if yarn.attention_factor != 1:
            yield Form(config, partial(change, loud=False), detail="without attention_factor")


@fault(
    "default-theta",
    "rope_theta",
    "rope_theta is a default and not the one in config.json",
    "where rope_theta stands in config.json: at the top in the old form, within rope_parameters, "
    "or there for each layer type, in newer ones",
    "transformers 5.13 and newer, with the sliding layers of a config.json in the old form",
)
def default_theta(config: OlmoConfig) -> Iterator[Form]:
    for theta in THETAS:
        other = {kind: replace(rope, rope_theta=theta) for kind, rope in config.rope.items()}
        yield from _with_ropes(config, other, f"rope_theta {theta:,.0f}")
        if set(config.layer_types) == {"sliding_attention", "full_attention"}:
            kept = {"full_attention": config.rope["full_attention"]}
            in_sliding = f"rope_theta {theta:,.0f} in sliding layers"
            yield from _with_ropes(config, other | kept, in_sliding)


def _interleaved(
    x: Float[Tensor, "batch heads pos head_dim"],
    cos: Float[Tensor, "1 pos head_dim"],
    sin: Float[Tensor, "1 pos head_dim"],
) -> Float[Tensor, "batch heads pos head_dim"]:
    """Turns numbers 2i and 2i + 1 by the angle of pair i."""
    cos, sin = (wave.chunk(2, -1)[0].repeat_interleave(2, -1)[:, None] for wave in (cos, sin))
    quarter_turn = torch.stack((-x[..., 1::2], x[..., ::2]), dim=-1).flatten(-2)
    return (x * cos + quarter_turn * sin).to(x.dtype)


@fault(
    "interleaved-rope",
    "rotation",
    "RoPE turns neighbours, numbers 2i and 2i + 1 of a head, and OLMo pairs i with i + head_dim/2",
    "the rotation (rotate_half, NeoX style), or whether q_proj, k_proj, q_norm and k_norm are "
    "reordered together when the checkpoint is converted",
    "AiDotNet, with every checkpoint in this layout (ooples/AiDotNet #2074)",
)
def interleaved_rope(config: OlmoConfig) -> Iterator[Form]:
    def change(steps: Steps) -> None:
        steps.rotate = _interleaved  # type: ignore[attr-defined]

    if config.head_dim > 2:
        yield Form(config, change)


@fault(
    "no-rope",
    "rotation",
    "queries and keys are not turned by their positions",
    "whether cos and sin are applied to q and to k",
)
def no_rope(config: OlmoConfig) -> Iterator[Form]:
    def change(steps: Steps) -> None:
        steps.rotate = lambda x, cos, sin: x  # type: ignore[attr-defined]

    yield Form(config, change)
