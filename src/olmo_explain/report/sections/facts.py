"""Section 5: arithmetic facts of the sizes, norms, biases and the activation."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from olmo_explain.report.claim import FACTS, Claim
from olmo_explain.report.evidence import unproven
from olmo_explain.report.sections.forward import as_it_ran, traced

if TYPE_CHECKING:
    from olmo_explain.report.evidence import Evidence

ON_META = "the modules of {e.seven} in transformers, on the meta device"


def claims() -> Iterator[Claim]:
    yield from _factors()
    yield from _norms()
    yield Claim(
        id="facts.bias",
        section=FACTS,
        statement="No bias in any linear layers (has_bias: False)",
        claimed=0,
        chapter="04_linear",
        measure=lambda e: sum(module.bias is not None for module in _linear(e)),
        how=f"{ON_META}: the Linear modules that have a bias",
        note=lambda e, measured: f"{measured} of {len(_linear(e))} Linear modules have one.",
    )
    yield from _activation()


def _factors() -> Iterator[Claim]:
    facts = {
        "intermediate": ("Intermediate dimension: 11008 = 256 x 43", [256, 43]),
        "hidden": ("Hidden dimension: 4096 = 64 x 64", [64, 64]),
        "heads": ("Heads: 32 = 4 x 8", [4, 8]),
    }
    fields = {
        "intermediate": "intermediate_size",
        "hidden": "hidden_size",
        "heads": "num_attention_heads",
    }
    for name, (statement, factors) in facts.items():
        yield Claim(
            id=f"facts.{name}",
            section=FACTS,
            statement=statement,
            claimed=factors,
            chapter="01_config",
            measure=lambda e, field=fields[name]: getattr(e.seven.config, field),
            judge=lambda claimed, measured, e: _product(claimed) == measured,
            how=f"olmo-explain config {{e.seven}}: {fields[name]}, against the product",
        )
    yield Claim(
        id="facts.head_dim",
        section=FACTS,
        statement="Head dimension: 128 = 4096 / 32 heads",
        claimed=128,
        chapter="01_config",
        measure=lambda e: e.seven.config.head_dim,
        judge=lambda claimed, measured, e: (
            claimed == measured == e.seven.config.hidden_size / e.seven.config.num_attention_heads
        ),
        how="olmo-explain config {e.seven}: head_dim, and hidden_size / num_attention_heads",
    )


def _product(factors: int | list[int]) -> int:
    return factors if isinstance(factors, int) else math.prod(factors)


def _norms() -> Iterator[Claim]:
    yield Claim(
        id="facts.qk_norm",
        section=FACTS,
        statement="QK normalization: Olmo3RMSNorm applied to Q and K",
        claimed=["q_norm", "k_norm"],
        chapter="05_attention",
        measure=lambda e: [path for path in ("q_norm", "k_norm") if _is_norm(e, path)],
        how=f"{ON_META}: self_attn.q_norm and k_norm of every layer",
        note="Over all heads at once, before the projection is cut into heads.",
    )
    yield Claim(
        id="facts.qk_norm.before",
        section=FACTS,
        statement="QK normalization comes before attention",
        claimed=["q_norm", "k_norm", "scores"],
        chapter="05_attention",
        measure=lambda e: as_it_ran(e, ["q_norm", "k_norm", "scores"]),
        how="olmo-explain trace {e.running} --ops for the order, verify {e.running} for the values",
        recorded=unproven,
        skipped=lambda e: e.skipped_run,
    )
    yield Claim(
        id="facts.two_norms",
        section=FACTS,
        statement="Two RMSNorm per layer: post_attention_layernorm, post_feedforward_layernorm",
        claimed=["post_attention_layernorm", "post_feedforward_layernorm"],
        chapter="07_rmsnorm",
        measure=_norms_of_a_layer,
        how=f"{ON_META}: the RMSNorm modules of every layer",
        corrected=lambda e, measured: (
            f"{len(measured)} RMSNorm modules a layer: {', '.join(measured)}. The two that are "
            "named are those over the whole stream."
        ),
    )


def _is_norm(evidence: Evidence, path: str) -> bool:
    layers = evidence.seven.modules.model.layers
    return all(
        type(getattr(layer.self_attn, path, None)).__name__ == "Olmo3RMSNorm" for layer in layers
    )


def _norms_of_a_layer(evidence: Evidence) -> list[str]:
    """In every layer, or in the first that has others than the first one."""
    found = [
        [
            path
            for path, module in layer.named_modules()
            if type(module).__name__.endswith("RMSNorm")
        ]
        for layer in evidence.seven.modules.model.layers
    ]
    return next((names for names in found if names != found[0]), found[0])


def _activation() -> Iterator[Claim]:
    def calls(evidence: Evidence) -> list:
        return [call for call in evidence.seven.ran.calls if call.path.endswith("act_fn")]

    def claim(name: str, statement: str, claimed: Any, measure: Any) -> Claim:
        return Claim(
            id=f"facts.{name}",
            section=FACTS,
            statement=statement,
            claimed=claimed,
            chapter="08_mlp",
            measure=measure,
            how=lambda e, measured: f"{traced(e)}: the calls of mlp.act_fn",
        )

    yield claim(
        "activation",
        "Activation: SiLU",
        ["SiLUActivation"],
        lambda e: sorted({call.type for call in calls(e)}),
    )
    yield claim(
        "activation.calls",
        "The activation is called 32 times per forward pass",
        32,
        lambda e: len(calls(e)),
    )
    yield claim(
        "activation.per_layer",
        "The activation is called once per layer",
        1,
        lambda e: _in_each_layer(calls(e), e.seven.config.num_hidden_layers),
    )


def _in_each_layer(calls: list, layers: int) -> int | list[int]:
    """How many calls each layer made: once, where all made as many."""
    made = Counter(int(call.path.split(".")[2]) for call in calls)
    counts = [made[layer] for layer in range(layers)]
    return counts[0] if len(set(counts)) == 1 else counts


def _linear(evidence: Evidence) -> list:
    from torch import nn

    return [module for module in evidence.seven.modules.modules() if isinstance(module, nn.Linear)]
