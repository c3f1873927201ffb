"""What `verify` found, for people: a row for each layer, a mark for each of its fifteen steps."""

from rich.console import Console
from rich.text import Text

from olmo_explain.checkpoint import OlmoConfig
from olmo_explain.parallel import SharedVerification
from olmo_explain.proof import StepResult, Verification, place
from olmo_explain.terminal.output import OK, PROBLEM, grid

MARKS = {"=": "green", "≈": "yellow", "≠": "bold red"}


def print_verification(
    console: Console, model: str, config: OlmoConfig, checked: Verification
) -> None:
    """A layer a row, a step a mark; then the first difference, and what is wrong with the RoPE."""
    columns = ("layer", "attention", "steps 1–15", "max |Δ|")
    title = f"{model} against the reference, {checked.dtype}"
    table = grid(title, *columns, right=("layer", "max |Δ|"))
    for (layer, what), steps in _by_part(checked.steps).items():
        kind = "" if layer is None else config.layer_types[layer]
        table.add_row(
            what,
            kind.removesuffix("_attention"),
            _marks(steps),
            _largest(steps),
            style="bold" if kind == "full_attention" else None,
        )
    console.print(table)
    console.print(
        f"= equal, bit for bit; ≈ within tolerance; ≠ different. RoPE: {checked.rope.regime}"
    )
    if first := checked.first_difference:
        console.print(Text("first difference", "bold red"), f"{place(first)}: {checked.cause}")
    elif checked.cause:
        console.print(PROBLEM, checked.cause)
    if remedy := checked.rope.remedy:
        console.print(PROBLEM, remedy)
    if isinstance(checked, SharedVerification):
        sharing = checked.sharing
        console.print(
            f"{sharing.world_size} processes over {sharing.backend} ran it, each with its part "
            "of the weights; values are compared within a tolerance."
        )
    if checked.ok:
        count = sum(step.equal for step in checked.steps)
        console.print(OK, f"{count:,} of {len(checked.steps):,} values are equal.")


def _by_part(steps: list[StepResult]) -> dict[tuple[int | None, str], list[StepResult]]:
    """The steps of each layer together, and each step outside the layers alone."""
    parts: dict[tuple[int | None, str], list[StepResult]] = {}
    for step in steps:
        what = step.name if step.layer is None else str(step.layer)
        parts.setdefault((step.layer, what), []).append(step)
    return parts


def _largest(steps: list[StepResult]) -> str:
    """The largest distance; a dash where some value has none: a NaN, say, or another shape."""
    distances = [step.max_abs_diff for step in steps]
    known = [distance for distance in distances if distance is not None]
    return f"{max(known):.3g}" if len(known) == len(distances) else "–"


def _marks(steps: list[StepResult]) -> Text:
    """One mark for each of a layer's fifteen steps, in groups of five."""
    marks = Text()
    for number in dict.fromkeys(step.step for step in steps):
        values = [step for step in steps if step.step == number]
        close = "≈" if all(step.ok for step in values) else "≠"
        mark = "=" if all(step.equal for step in values) else close
        marks.append(mark, style=MARKS[mark])
        if number in (5, 10):
            marks.append(" ")
    return marks
