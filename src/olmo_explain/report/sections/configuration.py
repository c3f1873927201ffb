"""Section 1: config.json, layer types, components, sizes, and the norms of head H27@L17."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Any

from olmo_explain.checkpoint import OlmoConfig, head_slices
from olmo_explain.report.claim import CONFIGURATION, HEADER, Claim
from olmo_explain.report.evidence import HEAD, LAYER, has_head

if TYPE_CHECKING:
    from olmo_explain.report.evidence import Evidence

FIRST_PUBLISHED = "2025-11-20"  # OLMo 3; nothing can have been measured on it before

FIELDS = {
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "intermediate_size": 11008,
    "vocab_size": 100278,
    "sliding_window": 4096,
    "max_position_embeddings": 65536,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-06,
}
FULL_LAYERS = [3, 7, 11, 15, 19, 23, 27, 31]
YARN = {"rope_type": "yarn", "factor": 8.0}

COMPONENTS = {
    "self_attn.q_proj": [4096, 4096],
    "self_attn.k_proj": [4096, 4096],
    "self_attn.v_proj": [4096, 4096],
    "self_attn.o_proj": [4096, 4096],
    "self_attn.q_norm": [4096],
    "self_attn.k_norm": [4096],
    "post_attention_layernorm": [4096],
    "mlp.gate_proj": [11008, 4096],
    "mlp.up_proj": [11008, 4096],
    "mlp.down_proj": [4096, 11008],
    "post_feedforward_layernorm": [4096],
}
NORMS = [name for name in COMPONENTS if "norm" in name]

HEAD_ROWS = {
    "q_proj": ("[3456:3584, :]", [128, 4096], 14.5625),
    "k_proj": ("[3456:3584, :]", [128, 4096], 14.3125),
    "v_proj": ("[3456:3584, :]", [128, 4096], 16.25),
    "o_proj": ("[:, 3456:3584]", [4096, 128], 16.125),
}
RECORDED_NORMS = tuple(f"head.{projection}.norm" for projection in HEAD_ROWS)
"""The claims that only weights decide."""


def claims() -> Iterator[Claim]:
    yield from _header()
    yield from _fields()
    yield from _layer_types()
    yield from _components()
    yield from _totals()
    for projection, row in HEAD_ROWS.items():
        yield from _head(projection, *row)


# -- the report itself ----------------------------------------------------------------------------


def _header() -> Iterator[Claim]:
    yield Claim(
        id="header.date",
        section=HEADER,
        statement="Date: 2026-02-02",
        claimed="2026-02-02",
        chapter="12_the_report",
        measure=lambda e: None,
        judge=lambda claimed, measured, e: None if claimed >= FIRST_PUBLISHED else False,
        how=f"OLMo 3 was published on {FIRST_PUBLISHED}, which no report on it can precede",
        corrected="Nothing was measured on OLMo 3 before it was published.",
        recorded="No measurement tells a day; that it is possible is all that can be checked.",
    )
    yield Claim(
        id="header.model",
        section=HEADER,
        statement="Model: OLMo-3-7B-Instruct",
        claimed="olmo3-7b",
        chapter="01_config",
        measure=lambda e: f"{e.seven.config.model_type}-{e.seven.config.parameters // 10**9}b",
        how="olmo-explain config {e.seven}: model_type and parameters",
        note="An OLMo 3 of 7B by its shapes. That it is Instruct only its weights can show: Base "
        "and Think have the same shapes.",
    )


# -- config.json ----------------------------------------------------------------------------------


def _fields() -> Iterator[Claim]:
    for field, claimed in FIELDS.items():
        yield Claim(
            id=f"config.{field}",
            section=CONFIGURATION,
            statement=f"{field} is {claimed}",
            claimed=claimed,
            chapter="01_config",
            measure=lambda e, field=field: _said(e.seven.config, field),
            how=f"olmo-explain config {{e.seven}}: {field}",
        )
    for field, claimed in YARN.items():
        yield Claim(
            id=f"config.{field}",
            section=CONFIGURATION,
            statement=f"{field} is {claimed}",
            claimed=claimed,
            chapter="06_positions",
            measure=lambda e, field=field: _said(e.seven.config.rope["full_attention"], field),
            how=f"olmo-explain config {{e.seven}}: rope.full_attention.{field}",
            note=_where_yarn_applies,
        )


def _said(config: Any, field: str) -> Any:
    """A field's value; `none` where config.json gives it none."""
    value = getattr(config, field)
    return "none" if value is None else value


def _where_yarn_applies(evidence: Evidence, measured: Any) -> str:
    config = evidence.seven.config
    scaled = [kind for kind, rope in config.rope.items() if rope.rope_type == "yarn"]
    count = sum(config.layer_types.count(kind) for kind in scaled)
    return (
        f"In {count} of {config.num_hidden_layers} layers: only {' and '.join(scaled)} is scaled, "
        "which the report does not say."
    )


# -- layer types ----------------------------------------------------------------------------------


def _layer_types() -> Iterator[Claim]:
    def claim(name: str, statement: str, claimed: Any, **parts: Any) -> Claim:
        how = parts.pop("how", "olmo-explain config {e.seven}: layer_types")
        return Claim(
            f"layers.{name}", CONFIGURATION, statement, claimed, "01_config", how=how, **parts
        )

    yield claim(
        "alternating",
        "The model uses alternating attention types",
        "alternating",
        measure=lambda e: in_words(e.seven.config),
        corrected="{measured}, over and over; alternating would be one and one.",
    )
    yield claim(
        "pattern",
        "Pattern: [sliding, sliding, sliding, full]",
        ["sliding", "sliding", "sliding", "full"],
        measure=lambda e: period(e.seven.config)[0],
    )
    yield claim(
        "repeats",
        "The pattern is repeated 8 times",
        8,
        measure=lambda e: period(e.seven.config)[1],
    )
    yield claim(
        "full",
        "Full attention layers: 3, 7, 11, 15, 19, 23, 27, 31",
        FULL_LAYERS,
        measure=lambda e: e.seven.config.full_attention_layers,
        how="olmo-explain config {e.seven}: full_attention_layers",
    )
    yield claim(
        "sliding",
        "Sliding attention layers: all others",
        [layer for layer in range(32) if layer not in FULL_LAYERS],
        measure=lambda e: [
            layer
            for layer, kind in enumerate(e.seven.config.layer_types)
            if kind == "sliding_attention"
        ],
    )
    yield claim(
        "window",
        "Sliding attention layers have window=4096",
        4096,
        measure=lambda e: _said(e.seven.config, "sliding_window"),
        how="olmo-explain config {e.seven}: sliding_window",
        note="The window counts the query's own position.",
    )


def period(config: OlmoConfig) -> tuple[list[str], int]:
    """The shortest pattern that the layer types repeat, and how often.

    >>> period(read_config("olmo3-7b"))
    (['sliding', 'sliding', 'sliding', 'full'], 8)
    """
    kinds = [kind.removesuffix("_attention") for kind in config.layer_types]
    length = next(
        n
        for n in range(1, len(kinds) + 1)
        if len(kinds) % n == 0 and kinds[:n] * (len(kinds) // n) == kinds
    )
    return kinds[:length], len(kinds) // length


def in_words(config: OlmoConfig) -> str:
    """`alternating` where the types take turns one by one, else how they follow each other.

    >>> in_words(read_config("olmo3-7b"))
    '3 sliding, then 1 full'
    """
    pattern, _ = period(config)
    runs = [(kind, len(list(group))) for kind, group in groupby(pattern)]
    if len(runs) == 2 and {count for _, count in runs} == {1}:
        return "alternating"
    return ", then ".join(f"{count} {kind}" for kind, count in runs)


# -- components and totals ------------------------------------------------------------------------


def _components() -> Iterator[Claim]:
    on_meta = "the modules of {e.seven} in transformers, on the meta device, every layer"
    for name, shape in COMPONENTS.items():
        yield Claim(
            id=f"component.{name.split('.')[-1]}",
            section=CONFIGURATION,
            statement=f"Each layer contains {name}.weight {shape}",
            claimed=shape,
            chapter="01_config",
            measure=lambda e, name=name: _in_every_layer(e, name, _shape),
            how=on_meta,
        )
    for name in NORMS:
        yield Claim(
            id=f"component.{name.split('.')[-1]}.class",
            section=CONFIGURATION,
            statement=f"{name} is an Olmo3RMSNorm",
            claimed="Olmo3RMSNorm",
            chapter="07_rmsnorm",
            measure=lambda e, name=name: _in_every_layer(e, name, _class),
            how=on_meta,
        )
    yield Claim(
        id="component.all",
        section=CONFIGURATION,
        statement="Each layer contains these eleven weights",
        claimed=sorted(COMPONENTS),
        chapter="01_config",
        measure=lambda e: _in_every_layer(e, "", _weights),
        how=on_meta,
        note="These, and no others.",
    )


def _in_every_layer(evidence: Evidence, path: str, look: Any) -> Any:
    """What is seen of a module in each layer: once if it is the same in all of them."""
    layers = evidence.seven.modules.model.layers
    seen = [look(dict(layer.named_modules()).get(path)) for layer in layers]
    return seen[0] if all(value == seen[0] for value in seen) else seen


def _shape(module: Any) -> list[int] | str:
    weight = getattr(module, "weight", None)
    return "not there" if weight is None else list(weight.shape)


def _class(module: Any) -> str:
    return "not there" if module is None else type(module).__name__


def _weights(layer: Any) -> list[str]:
    return sorted(name.removesuffix(".weight") for name, _ in layer.named_parameters())


def _totals() -> Iterator[Claim]:
    yield Claim(
        id="total.parameters",
        section=CONFIGURATION,
        statement="Total parameters: 14,596,022,272",
        claimed=14_596_022_272,
        chapter="01_config",
        measure=lambda e: e.seven.config.parameters,
        how="olmo-explain config {e.seven}: parameters",
        corrected="{measured:,} parameters; the number is that of their bytes, "
        "{e.seven.bytes_each} for each in {e.seven.config.dtype}.",
    )
    yield Claim(
        id="total.bytes",
        section=CONFIGURATION,
        statement="The weights are 14,596,022,272 bytes",
        claimed=14_596_022_272,
        chapter="01_config",
        measure=lambda e: e.seven.config.bytes,
        how="olmo-explain config {e.seven}: bytes",
    )
    yield Claim(
        id="total.gigabytes",
        section=CONFIGURATION,
        statement="That is about 14.6 GB",
        claimed=14.6,
        chapter="01_config",
        measure=lambda e: round(e.seven.config.bytes / 1e9, 1),
        how="olmo-explain config {e.seven}: bytes, over 10⁹",
    )


# -- head 27 of layer 17 --------------------------------------------------------------------------


def _head(projection: str, where: str, shape: list[int], norm: float) -> Iterator[Claim]:
    name = f"H{HEAD}@L{LAYER}"

    def part(evidence: Evidence) -> Any:
        config = evidence.seven.config
        return head_slices(config, LAYER, HEAD)[projection] if has_head(config) else None

    yield Claim(
        id=f"head.{projection}.slice",
        section=CONFIGURATION,
        statement=f"{name} is {projection}{where}",
        claimed=where,
        chapter="10_one_head",
        measure=lambda e: str(part(e) or "not there"),
        how="oe.head_slices(oe.read_config({e.seven.name!r}), 17, 27)",
    )
    yield Claim(
        id=f"head.{projection}.shape",
        section=CONFIGURATION,
        statement=f"The {projection} slice of {name} has shape {shape}",
        claimed=shape,
        chapter="10_one_head",
        measure=lambda e: _cut(e, part(e), projection),
        how="that slice of the modules of {e.seven} in transformers, on the meta device",
    )
    yield Claim(
        id=f"head.{projection}.norm",
        section=CONFIGURATION,
        statement=f"The {projection} slice of {name} has Frobenius norm {norm}",
        claimed=norm,
        chapter="10_one_head",
        measure=lambda e: e.seven.head and e.seven.head.norms[projection],
        judge=within_half_a_step,
        how=_how_norm,
        corrected=lambda e, measured: (
            f"{measured:.4f} in {e.seven}: further from {norm} than half a step of bfloat16, "
            f"{bf16_step(norm) / 2}. Another checkpoint of this shape has norms of its own."
        ),
        recorded="Recorded by the report. To check it on the real weights: olmo-explain report "
        "allenai/Olmo-3-7B-Instruct, which reads this head alone.",
        note=lambda e, measured: (
            f"{measured:.4f}, within half a step of bfloat16 ({bf16_step(norm) / 2}) of {norm}."
        ),
    )


def _cut(evidence: Evidence, part: Any, projection: str) -> list[int] | str:
    if part is None:
        return "not there"
    attention = evidence.seven.modules.model.layers[LAYER].self_attn
    return list(getattr(attention, projection).weight[part.index].shape)


def _how_norm(evidence: Evidence, measured: Any) -> str:
    name = evidence.seven.name if evidence.seven.head else "MODEL"
    where = "" if evidence.seven.head else f"; {evidence.seven} has no weights here"
    return f"olmo-explain head {name} --layer {LAYER} --head {HEAD}{where}"


def bf16_step(value: float) -> float:
    """The distance from a number to the next that bfloat16 has: 8 significant bits.

    >>> bf16_step(14.5625), bf16_step(16.25)
    (0.0625, 0.125)
    """
    return 2.0 ** (math.floor(math.log2(abs(value))) - 7)


def within_half_a_step(claimed: float, measured: float | None, evidence: Evidence) -> bool | None:
    """Whether a number rounds to the one that was written down in bfloat16."""
    return None if measured is None else abs(measured - claimed) <= bf16_step(claimed) / 2
