"""Section 1: config.json, layer types, components, sizes, and the norms of head H27@L17."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import groupby
from typing import Any

from olmo_explain.checkpoint import OlmoConfig, initial_norm
from olmo_explain.report.claim import Claim
from olmo_explain.report.evidence import Evidence, Subject
from olmo_explain.report.original import HEAD, HEAD_ROWS, LAYER, bf16_step

header = partial(Claim, section="The report itself")
claim = partial(Claim, section="1. Configuration", chapter="01_config")

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
    **{f"self_attn.{projection}": [4096, 4096] for projection in HEAD_ROWS},
    "self_attn.q_norm": [4096],
    "self_attn.k_norm": [4096],
    "post_attention_layernorm": [4096],
    "mlp.gate_proj": [11008, 4096],
    "mlp.up_proj": [11008, 4096],
    "mlp.down_proj": [4096, 11008],
    "post_feedforward_layernorm": [4096],
}
NORMS = [name for name in COMPONENTS if "norm" in name]

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
    yield header(
        "header.date",
        "Date: 2026-02-02",
        "2026-02-02",
        chapter="13_the_report",
        measure=lambda e: None,
        judge=lambda claimed, measured, e: None if claimed >= FIRST_PUBLISHED else False,
        how="OLMo 3 was published on {about}, which no report on it can precede",
        about=FIRST_PUBLISHED,
        corrected="Nothing was measured on OLMo 3 before it was published.",
        recorded="No measurement tells a day; that it is possible is all that can be checked.",
    )
    yield header(
        "header.model",
        "Model: OLMo-3-7B-Instruct",
        "olmo3-7b",
        chapter="01_config",
        measure=lambda e: f"{e.seven.config.model_type}-{e.seven.config.parameters // 10**9}b",
        how="olmo-explain config {e.seven}: model_type and parameters",
        note="An OLMo 3 of 7B by its shapes. That it is Instruct only its weights can show: Base "
        "and Think have the same shapes.",
    )


# -- config.json ----------------------------------------------------------------------------------


def in_config(
    *said: Any, field: str, look: Callable[[OlmoConfig], Any] | None = None, **parts: Any
) -> Claim:
    """A claim on a field, or on what `look` makes of the config. `said`: id, statement, claimed."""
    return claim(
        *said,
        measure=lambda e: look(e.seven.config) if look else _value(e.seven.config, field),
        how="olmo-explain config {e.seven}: {about}",
        about=field,
        **parts,
    )


def _fields() -> Iterator[Claim]:
    for name, value in FIELDS.items():
        yield in_config(f"config.{name}", f"{name} is {value}", value, field=name)
    yarn: dict[str, Any] = {"chapter": "06_positions", "note": _where_yarn_applies}
    for name, value in YARN.items():
        field = f"rope.full_attention.{name}"
        yield in_config(f"config.{name}", f"{name} is {value}", value, field=field, **yarn)


def _value(config: OlmoConfig, field: str) -> Any:
    """What stands at a field, or a path of them; `none` where config.json gives it no value."""
    value: Any = config
    for name in field.split("."):
        value = value[name] if isinstance(value, Mapping) else getattr(value, name)
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
    by_layer = partial(in_config, field="layer_types")
    yield by_layer(
        "layers.alternating",
        "The model uses alternating attention types",
        "alternating",
        look=in_words,
        corrected="{measured}, over and over; alternating would be one and one.",
    )
    yield by_layer(
        "layers.pattern",
        "Pattern: [sliding, sliding, sliding, full]",
        ["sliding", "sliding", "sliding", "full"],
        look=lambda config: period(config)[0],
    )
    yield by_layer(
        "layers.repeats",
        "The pattern is repeated 8 times",
        8,
        look=lambda config: period(config)[1],
    )
    yield in_config(
        "layers.full",
        "Full attention layers: 3, 7, 11, 15, 19, 23, 27, 31",
        FULL_LAYERS,
        field="full_attention_layers",
    )
    yield by_layer(
        "layers.sliding",
        "Sliding attention layers: all others",
        [layer for layer in range(32) if layer not in FULL_LAYERS],
        look=lambda config: [
            layer for layer, kind in enumerate(config.layer_types) if kind == "sliding_attention"
        ],
    )
    yield in_config(
        "layers.window",
        "Sliding attention layers have window=4096",
        4096,
        field="sliding_window",
        note="The window counts the query's own position.",
    )


def period(config: OlmoConfig) -> tuple[list[str], int]:
    """The shortest pattern that the layer types repeat, and how often.

    >>> period(read_config("olmo3-7b"))
    (['sliding', 'sliding', 'sliding', 'full'], 8)
    """
    kinds = [kind.removesuffix("_attention") for kind in config.layer_types]
    repeats = next(n for n in range(len(kinds), 0, -1) if kinds[: len(kinds) // n] * n == kinds)
    return kinds[: len(kinds) // repeats], repeats


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


def in_every_layer(*said: Any, path: str, look: Callable[[Any], Any], **parts: Any) -> Claim:
    """A claim on what `look` sees of a module in each layer: once if it is the same in all."""

    def measure(evidence: Evidence) -> Any:
        layers = evidence.seven.modules.model.layers
        seen = [look(dict(layer.named_modules()).get(path)) for layer in layers]
        return seen[0] if all(value == seen[0] for value in seen) else seen

    how = "the modules of {e.seven} in transformers, on the meta device, every layer"
    return claim(*said, measure=measure, how=how, **parts)


def _components() -> Iterator[Claim]:
    ids = {path: f"component.{path.split('.')[-1]}" for path in COMPONENTS}
    for path, shape in COMPONENTS.items():
        said = f"Each layer contains {path}.weight {shape}"
        yield in_every_layer(ids[path], said, shape, path=path, look=_shape)
    for path in NORMS:
        of_norm = partial(in_every_layer, path=path, look=_class, chapter="07_rmsnorm")
        yield of_norm(f"{ids[path]}.class", f"{path} is an Olmo3RMSNorm", "Olmo3RMSNorm")
    yield in_every_layer(
        "component.all",
        "Each layer contains these eleven weights",
        sorted(COMPONENTS),
        path="",
        look=_weights,
        note="These, and no others.",
    )


def _shape(module: Any) -> list[int] | str:
    weight = getattr(module, "weight", None)
    return "not there" if weight is None else list(weight.shape)


def _class(module: Any) -> str:
    return "not there" if module is None else type(module).__name__


def _weights(layer: Any) -> list[str]:
    return sorted(name.removesuffix(".weight") for name, _ in layer.named_parameters())


def _totals() -> Iterator[Claim]:
    number = 14_596_022_272
    yield in_config(
        "total.parameters",
        f"Total parameters: {number:,}",
        number,
        field="parameters",
        corrected="{measured:,} parameters; the number is that of their bytes, "
        "{e.seven.bytes_each} for each in {e.seven.config.dtype}.",
    )
    yield in_config("total.bytes", f"The weights are {number:,} bytes", number, field="bytes")
    yield in_config(
        "total.gigabytes",
        "That is about 14.6 GB",
        14.6,
        field="bytes, over 10⁹",
        look=lambda config: round(config.bytes / 1e9, 1),
    )


# -- head 27 of layer 17 --------------------------------------------------------------------------


def _head(projection: str, where: str, shape: list[int], norm: float) -> Iterator[Claim]:
    head = partial(claim, chapter="11_one_head")
    name = f"H{HEAD}@L{LAYER}"
    yield head(
        f"head.{projection}.slice",
        f"{name} is {projection}{where}",
        where,
        measure=lambda e: str(e.seven.slices.get(projection, "not there")),
        how="oe.head_slices(oe.read_config({e.seven.name!r}), 17, 27)",
    )
    yield head(
        f"head.{projection}.shape",
        f"The {projection} slice of {name} has shape {shape}",
        shape,
        measure=lambda e: _cut(e.seven, projection),
        how="that slice of the modules of {e.seven} in transformers, on the meta device",
    )
    yield head(
        f"head.{projection}.norm",
        f"The {projection} slice of {name} has Frobenius norm {norm}",
        norm,
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


def _cut(subject: Subject, projection: str) -> list[int] | str:
    if not subject.slices:
        return "not there"
    attention = subject.modules.model.layers[LAYER].self_attn
    return list(getattr(attention, projection).weight[subject.slices[projection].index].shape)


def _how_norm(evidence: Evidence, measured: Any) -> str:
    name = evidence.seven.name if evidence.seven.head else "MODEL"
    where = "" if evidence.seven.head else f"; {evidence.seven} has no weights here"
    return f"olmo-explain head {name} --layer {LAYER} --head {HEAD}{where}"


def within_half_a_step(claimed: float, measured: float | None, evidence: Evidence) -> bool | None:
    """Whether a number rounds to the one that was written down in bfloat16."""
    return None if measured is None else abs(measured - claimed) <= bf16_step(claimed) / 2


# -- the table ------------------------------------------------------------------------------------


def measure(evidence: Evidence) -> dict[str, Any]:
    """Fields, layer types, every kind of weight; the norms of every head, or why there are none."""
    subject, config = evidence.asked, evidence.asked.config
    pattern, repeats = period(config)
    full = config.rope["full_attention"]
    heads = subject.norms and {name: norms.tolist() for name, norms in subject.norms.items()}
    return {
        "fields": {field: getattr(config, field) for field in FIELDS}
        | {"rope_type": full.rope_type, "rope_factor": full.factor},
        "layer_types": {
            "in_words": in_words(config),
            "pattern": pattern,
            "repeats": repeats,
            "full_attention_layers": config.full_attention_layers,
            "sliding_window": config.sliding_window,
        },
        "components": [
            {
                "name": part.name,
                "shape": list(part.shape),
                "count": part.count,
                "parameters": part.parameters,
                "module": _class(subject.modules.get_submodule(part.names()[0].rpartition(".")[0])),
            }
            for part in config.components
        ],
        "parameters": config.parameters,
        "bytes": config.bytes,
        "dtype": config.dtype,
        "head": _head_table(subject),
        "norms": {"skipped": subject.missing, "heads": heads},
        "initial_norm": initial_norm(config),
    }


def _head_table(subject: Subject) -> dict[str, Any] | None:
    """The report's head, where there is one; norms are None where there are no weights."""
    if not subject.slices:
        return None
    norms = subject.head.norms if subject.head else {}
    return {
        "layer": LAYER,
        "head": HEAD,
        "layer_type": subject.config.layer_types[LAYER],
        "slices": {
            name: {"slice": str(part), "shape": list(part.shape), "norm": norms.get(name)}
            for name, part in subject.slices.items()
        },
    }
