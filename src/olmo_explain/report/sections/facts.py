"""Section 5: arithmetic facts of the sizes, norms, biases and the activation."""

import math
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

from torch import nn

from olmo_explain.checkpoint import OlmoConfig
from olmo_explain.report.claim import PROVEN, Claim
from olmo_explain.report.evidence import Evidence, Subject, is_norm
from olmo_explain.running import Call

claim = partial(Claim, section="5. Architectural facts", chapter="01_config")
on_meta = partial(
    claim, how="the modules of {e.seven} in transformers, on the meta device: {about}"
)


def claims() -> Iterator[Claim]:
    yield from _sizes()
    yield from _norms()
    yield on_meta(
        "facts.bias",
        "No bias in any linear layers (has_bias: False)",
        0,
        chapter="04_linear",
        measure=lambda e: sum(e.seven.biases),
        about="the Linear modules that have a bias",
        note=lambda e, measured: f"{measured} of {len(e.seven.biases)} Linear modules have one.",
    )
    yield from _activation()


def _sizes() -> Iterator[Claim]:
    def product(name: str, statement: str, factors: list[int], field: str) -> Claim:
        return claim(
            f"facts.{name}",
            statement,
            factors,
            measure=lambda e: getattr(e.seven.config, field),
            judge=lambda claimed, measured, e: math.prod(claimed) == measured,
            how="olmo-explain config {e.seven}: {about}, against the product",
            about=field,
        )

    yield product(
        "intermediate", "Intermediate dimension: 11008 = 256 x 43", [256, 43], "intermediate_size"
    )
    yield product("hidden", "Hidden dimension: 4096 = 64 x 64", [64, 64], "hidden_size")
    yield product("heads", "Heads: 32 = 4 x 8", [4, 8], "num_attention_heads")
    yield claim(
        "facts.head_dim",
        "Head dimension: 128 = 4096 / 32 heads",
        128,
        measure=lambda e: e.seven.config.head_dim,
        judge=lambda claimed, measured, e: (
            claimed == measured == e.seven.config.hidden_size / e.seven.config.num_attention_heads
        ),
        how="olmo-explain config {e.seven}: head_dim, and hidden_size / num_attention_heads",
    )


def _norms() -> Iterator[Claim]:
    yield on_meta(
        "facts.qk_norm",
        "QK normalization: Olmo3RMSNorm applied to Q and K",
        ["q_norm", "k_norm"],
        chapter="05_attention",
        measure=lambda e: [path for path in ("q_norm", "k_norm") if _is_in_every_layer(e, path)],
        about="self_attn.q_norm and k_norm of every layer",
        note="Over all heads at once, before the projection is cut into heads.",
    )
    order = ["q_norm", "k_norm", "scores"]
    yield claim(
        "facts.qk_norm.before",
        "QK normalization comes before attention",
        order,
        chapter="05_attention",
        measure=lambda e: e.running.order_of(order),
        how="olmo-explain trace {e.running} --ops for the order, verify {e.running} for the values",
        **PROVEN,
    )
    yield on_meta(
        "facts.two_norms",
        "Two RMSNorm per layer: post_attention_layernorm, post_feedforward_layernorm",
        ["post_attention_layernorm", "post_feedforward_layernorm"],
        chapter="07_rmsnorm",
        measure=_norms_of_every_layer,
        about="the RMSNorm modules of every layer",
        corrected=lambda e, measured: (
            f"{len(measured)} RMSNorm modules a layer: {', '.join(measured)}. The two that are "
            "named are those over the whole stream."
        ),
    )


def _is_in_every_layer(evidence: Evidence, norm: str) -> bool:
    layers = evidence.seven.modules.model.layers
    return all(
        type(getattr(layer.self_attn, norm, None)).__name__ == "Olmo3RMSNorm" for layer in layers
    )


def _norms_of_every_layer(evidence: Evidence) -> list[str]:
    """In every layer, or in the first that has others than the first one."""
    found = [_norms_of(layer) for layer in evidence.seven.modules.model.layers]
    return next((names for names in found if names != found[0]), found[0])


def _norms_of(layer: nn.Module) -> list[str]:
    return [path for path, module in layer.named_modules() if is_norm(module)]


def _activation() -> Iterator[Claim]:
    called = partial(claim, chapter="08_mlp", how="{e.seven.traced}: the calls of mlp.act_fn")
    yield called(
        "facts.activation",
        "Activation: SiLU",
        ["SiLUActivation"],
        measure=lambda e: sorted({call.type for call in _activations(e.seven)}),
    )
    yield called(
        "facts.activation.calls",
        "The activation is called 32 times per forward pass",
        32,
        measure=lambda e: len(_activations(e.seven)),
    )
    yield called(
        "facts.activation.per_layer",
        "The activation is called once per layer",
        1,
        measure=lambda e: _in_each_layer(_activations(e.seven), e.seven.config.num_hidden_layers),
    )


def _activations(subject: Subject) -> list[Call]:
    return [call for call in subject.ran.calls if call.path.endswith("act_fn")]


def _in_each_layer(calls: list[Call], layers: int) -> int | list[int]:
    """How many calls each layer made: once, where all made as many."""
    made = Counter(int(call.path.split(".")[2]) for call in calls)
    counts = [made[layer] for layer in range(layers)]
    return counts[0] if len(set(counts)) == 1 else counts


def measure(evidence: Evidence) -> dict[str, Any]:
    """Sizes as products, and what the modules of a layer are."""
    subject, config = evidence.asked, evidence.asked.config
    activations = _activations(subject)
    return {
        "intermediate_size": as_product(config.intermediate_size),
        "hidden_size": as_product(config.hidden_size),
        "head_dim": _head_dim(config),
        "num_attention_heads": as_product(config.num_attention_heads),
        "norms_per_layer": _norms_of(subject.modules.model.layers[0]),
        "linear_modules": len(subject.biases),
        "linear_modules_with_bias": sum(subject.biases),
        "activation": sorted({call.type for call in activations}),
        "activation_calls": len(activations),
    }


def _head_dim(config: OlmoConfig) -> str:
    D, H, Dh = config.hidden_size, config.num_attention_heads, config.head_dim
    return f"{Dh} = {D} / {H} heads" if H * Dh == D else f"{Dh}, not {D} / {H}"


def as_product(number: int) -> str:
    """A size as a power of two times what is odd in it.

    >>> as_product(11008)
    '11008 = 256 × 43'
    """
    power = number & -number
    return f"{number} = {power} × {number // power}"
