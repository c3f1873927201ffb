"""What `verify` found, for people: a row for each layer, a mark for each of its fifteen steps."""

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from olmo_explain.config import OlmoConfig
from olmo_explain.terminal.words import OK, PROBLEM

MARKS = {"=": "green", "≈": "yellow", "≠": "bold red"}


def print_verification(
    console: Console, model: str, config: OlmoConfig, checked: dict[str, Any]
) -> None:
    """Prints what `Verification.to_dict` says of a model: a layer a row, a step a mark."""
    table = Table(title=f"{model} against the reference, {checked['dtype']}")
    for name in ("layer", "attention", "steps 1–15", "max |Δ|"):
        table.add_column(name, justify="right" if name in ("layer", "max |Δ|") else "left")
    for (layer, name), steps in _by_part(checked["steps"]).items():
        full = layer is not None and config.layer_types[layer] == "full_attention"
        table.add_row(
            name if layer is None else str(layer),
            "" if layer is None else config.layer_types[layer].removesuffix("_attention"),
            _marks(steps),
            f"{max(step['max_abs_diff'] or 0 for step in steps):.3g}",
            style="bold" if full else None,
        )
    console.print(table)
    rope, first = checked["rope"], checked["first_difference"]
    console.print(f"= equal, bit for bit; ≈ within tolerance; ≠ different. RoPE: {rope['regime']}")
    if first:
        place = first["name"]
        if first["layer"] is not None:
            place = f"layer {first['layer']}, step {first['step']}, {place}"
        console.print(Text("first difference", "bold red"), f"{place}: {checked['cause']}")
    elif checked["cause"]:
        console.print(PROBLEM, checked["cause"])
    if checked["remedy"]:
        console.print(PROBLEM, checked["remedy"])
    if shared := checked.get("tensor_parallel"):
        console.print(
            f"{shared['world_size']} processes over {shared['backend']} ran it, each with its part "
            "of the weights; values are compared within a tolerance."
        )
    if checked["ok"]:
        count = sum(step["equal"] for step in checked["steps"])
        console.print(OK, f"{count:,} of {len(checked['steps']):,} values are equal.")


def _by_part(steps: list[dict[str, Any]]) -> dict[tuple[int | None, str | None], list]:
    """The steps of each layer together, and each step outside the layers alone."""
    parts: dict[tuple[int | None, str | None], list] = {}
    for step in steps:
        name = step["name"] if step["layer"] is None else None
        parts.setdefault((step["layer"], name), []).append(step)
    return parts


def _marks(steps: list[dict[str, Any]]) -> Text:
    """One mark for each of a layer's fifteen steps, in groups of five."""
    marks = Text()
    for number in dict.fromkeys(step["step"] for step in steps):
        values = [step for step in steps if step["step"] == number]
        close = "≈" if all(step["ok"] for step in values) else "≠"
        mark = "=" if all(step["equal"] for step in values) else close
        marks.append(mark, style=MARKS[mark])
        if number in (5, 10):
            marks.append(" ")
    return marks
