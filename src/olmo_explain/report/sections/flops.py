"""Section 4: the cost of each operation of a layer, and its closing remark on sequence lengths."""

from collections.abc import Iterator
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from functools import partial
from typing import Any

from olmo_explain.checkpoint import LAYER_TYPES, LayerType
from olmo_explain.costs import ATTENTION, LINEAR, Costs, count_costs, crossover_seq
from olmo_explain.report.claim import Claim
from olmo_explain.report.evidence import Evidence
from olmo_explain.report.original import BATCH, SEQ

claim = partial(Claim, section="4. FLOPs per layer", chapter="12_flops")
counted = partial(
    claim,
    how="olmo-explain flops {e.seven} --seq {e.seven.costs.seq} --batch {e.seven.costs.batch}: "
    "{about}",
)

QKV = ("q_proj", "k_proj", "v_proj")
ROWS = {
    "QKV projection (3x)": ("qkv", QKV, "3.2B"),
    "Attention scores": ("scores", ("scores",), "16.7M"),
    "Attention apply": ("apply", ("apply",), "16.7M"),
    "O projection": ("o_proj", ("o_proj",), "1.1B"),
    "MLP gate": ("gate_proj", ("gate_proj",), "2.9B"),
    "MLP up": ("up_proj", ("up_proj",), "2.9B"),
    "MLP down": ("down_proj", ("down_proj",), "2.9B"),
}
UNITS = {"M": Decimal(10**6), "B": Decimal(10**9)}


def claims() -> Iterator[Claim]:
    for operation, (name, parts, claimed) in ROWS.items():
        yield _row(f"flops.{name}", f"{operation}: {claimed} FLOPs", claimed, parts)
    yield counted(
        "flops.unit",
        "The column counts FLOPs",
        "FLOPs",
        measure=lambda e: unit_of_the_rows(e.seven.costs),
        about="macs and flops of every row",
        corrected="{measured}: multiply-accumulates, each of which is two FLOPs.",
    )
    yield counted(
        "flops.three",
        "Q, K and V are three times one projection",
        3,
        measure=lambda e: _in_projections_of_q(e.seven.costs),
        about="macs of q_proj, k_proj, v_proj",
        note="As there are as many key-value heads as heads; in the 32B it is not so.",
    )
    yield counted(
        "flops.short",
        "At short sequences, projections dominate",
        "projections",
        measure=lambda e: dominates(e.seven.costs),
        about="macs",
        note=lambda e, _: f"{share(e.seven.costs):.1%} of a layer's MACs at {SEQ} positions.",
    )
    yield claim(
        "flops.long",
        "At long sequences, attention scores dominate",
        list(LAYER_TYPES),
        measure=lambda e: [kind for kind in LAYER_TYPES if _crossing(e, kind) is not None],
        how="olmo-explain flops {e.seven}: crossover_seq, windowed",
        corrected=_by_layer_type,
    )
    yield claim(
        "flops.quadratic",
        "Attention scores are O(seq^2)",
        dict.fromkeys(LAYER_TYPES, 4.0),
        measure=lambda e: {kind: _growth(e, kind) for kind in LAYER_TYPES},
        how="olmo-explain flops {e.seven} at max_position_embeddings and at half of it, windowed",
        corrected=lambda e, measured: (
            "Twice the length makes "
            + " and ".join(f"{n:.2f}× the scores in {kind} layers" for kind, n in measured.items())
            + ": a sliding layer's queries see no more keys than its window. (Eager attention "
            "computes the full square all the same, and masks it.)"
        ),
    )


def _row(id: str, statement: str, claimed: str, parts: tuple[str, ...]) -> Claim:
    return counted(
        id,
        statement,
        claimed,
        measure=lambda e: 2 * macs(e.seven.costs, parts),
        judge=lambda claimed, measured, e: fits(claimed, measured),
        about=f"flops of {', '.join(parts)}",
        corrected=lambda e, measured: f"{measured:,} FLOPs. {_as_macs(claimed, measured // 2)}",
    )


def macs(costs: Costs, names: tuple[str, ...]) -> int:
    """Multiply-accumulates of these operations in one layer, every pair of positions counted."""
    layer = costs.layer()
    return sum(layer[name].macs for name in names)


def _in_projections_of_q(costs: Costs) -> int | float:
    q = macs(costs, ("q_proj",))
    times, rest = divmod(macs(costs, QKV), q)
    return times + rest / q if rest else times


# -- the report's roundings -----------------------------------------------------------------------


def parse(amount: str) -> tuple[Decimal, Decimal]:
    """A number as the report writes it, and the unit of its last digit.

    >>> parse("16.7M")
    (Decimal('16700000.0'), Decimal('100000.0'))
    """
    number, unit = Decimal(amount[:-1]), UNITS[amount[-1]]
    _, _, exponent = number.as_tuple()
    return number * unit, Decimal(1).scaleb(int(exponent)) * unit


def rounded(value: int, like: str, rounding: str = ROUND_HALF_UP) -> Decimal:
    """A number with as many digits as `like` shows."""
    _, last_digit = parse(like)
    return (value / last_digit).quantize(Decimal(1), rounding) * last_digit


def fits(claimed: str | int, measured: int) -> bool:
    """Whether a number rounds to what was written."""
    if isinstance(claimed, int):
        return claimed == measured
    return rounded(measured, claimed) == parse(claimed)[0]


def was_cut(claimed: str, measured: int) -> bool:
    """Whether it is what was written only with its last digits cut off, not rounded."""
    cut = rounded(measured, claimed, ROUND_DOWN) == parse(claimed)[0]
    return cut and not fits(claimed, measured)


def _as_macs(claimed: str, count: int) -> str:
    if fits(claimed, count):
        return f"{claimed} are its multiply-accumulates, {count:,}, each of which is two FLOPs."
    if was_cut(claimed, count):
        return (
            f"{claimed} are its multiply-accumulates, {count:,}, cut off and not rounded; each is "
            "two FLOPs. The full square is counted, unmasked."
        )
    return f"It has {count:,} multiply-accumulates, each of which is two FLOPs."


def unit_of_the_rows(costs: Costs) -> str:
    """What the report's numbers count: `FLOPs`, `MACs`, or `neither`."""
    rows = [(macs(costs, parts), claimed) for _, parts, claimed in ROWS.values()]
    if all(fits(claimed, 2 * count) for count, claimed in rows):
        return "FLOPs"
    if all(fits(claimed, count) or was_cut(claimed, count) for count, claimed in rows):
        return "MACs"
    return "neither"


# -- short and long sequences ---------------------------------------------------------------------


def share(costs: Costs) -> float:
    """The projections' part of a layer's MACs."""
    linear = macs(costs, LINEAR)
    return linear / (linear + macs(costs, ATTENTION))


def dominates(costs: Costs) -> str:
    """What takes more than half of a layer's MACs."""
    return "projections" if share(costs) > 0.5 else "attention"


def _crossing(evidence: Evidence, kind: LayerType) -> int | None:
    config = evidence.seven.config
    return crossover_seq(config, kind) if kind in config.layer_types else None


def _by_layer_type(evidence: Evidence, measured: Any) -> str:
    config = evidence.seven.config
    said = [f"in {kind} layers {_from(_crossing(evidence, kind))}" for kind in LAYER_TYPES]
    square = crossover_seq(config, convention="full")
    return (
        f"Scores and apply take more MACs than the projections {'; '.join(said)}; in the whole "
        f"model {_from(crossover_seq(config))}, and it reads {config.max_position_embeddings:,} at "
        f"most. Where the full square is computed: {_from(square)}."
    )


def _from(crossing: int | None) -> str:
    return "never" if crossing is None else f"from {crossing:,} positions on"


def _growth(evidence: Evidence, kind: LayerType) -> float:
    """How many times the scores of a layer grow when the length doubles, within its window."""
    config = evidence.seven.config
    longest = config.max_position_embeddings
    half, whole = (
        count_costs(config, seq).layer(kind, "windowed")["scores"].macs
        for seq in (longest // 2, longest)
    )
    return round(whole / half, 2)


# -- the table ------------------------------------------------------------------------------------


def measure(evidence: Evidence) -> dict[str, Any]:
    """MACs and FLOPs of one layer at the report's length, and where attention overtakes."""
    costs = evidence.asked.costs.to_dict()
    names = set(evidence.asked.costs.layer())
    return {
        "seq": SEQ,
        "batch": BATCH,
        "operations": [o for o in costs["operations"] if o["name"] in names and o["macs"]],
        "layer": costs["layer"],
        "model": costs["model"],
        "attention": costs["attention"],
        "crossover_seq": costs["crossover_seq"],
    }
