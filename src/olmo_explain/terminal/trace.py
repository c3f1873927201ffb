"""What `trace` looks like in a terminal."""

from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from olmo_explain.terminal.words import sizes

WIDTH = 110  # columns that all of a call needs


def print_trace(console: Console, ran: dict[str, Any]) -> None:
    """Every call in order, the counts by type, and the parameters held and read."""
    table = Table(box=SIMPLE, title=f"{ran['total']} module calls, in order", padding=(0, 1, 0, 0))
    # A narrow terminal has no room for the types, whose counts are told below, nor for all digits.
    narrow = console.width < WIDTH
    for name in ("#", "module", *(() if narrow else ("type",)), "input", "output", "FLOPs"):
        table.add_column(name, justify="right" if name in ("#", "FLOPs") else "left", no_wrap=True)
    for call in ran["calls"]:
        inputs = "\n".join(sizes(shape) for shape in call["input_shapes"])
        flops = f"{call['flops'] / 1e6:,.1f} M" if narrow else f"{call['flops']:,}"
        output = sizes(call["output_shape"])
        path = call["path"].removeprefix("model.")
        kind = () if narrow else (call["type"],)
        table.add_row(
            str(call["index"]), path, *kind, inputs, output, flops if call["flops"] else ""
        )
    console.print(table)
    counts = ", ".join(f"{name} {count}" for name, count in ran["counts"].items())
    console.print(f"{counts}; {ran['total']} in all")
    console.print(
        f"{ran['parameters_held']:,} parameters held, {ran['parameters_read']:,} read "
        f"({ran['bytes_read']:,} bytes)"
    )


def print_operators(console: Console, ran: dict[str, Any]) -> None:
    """The operators that read or compute, and the steps of a layer that they make."""
    operators = [operator for operator in ran["operators"] if not operator["view"]]
    table = Table(title=f"{len(operators):,} operators that read or compute, in order")
    table.add_column("#", justify="right")
    for name in ("operator", "module", "weights"):
        table.add_column(name, overflow="fold")
    for operator in operators:
        # A module's own weights by their own names, as `weight`.
        own = f"{operator['path']}."
        weights = ", ".join(
            name.removeprefix(own).removeprefix("model.") for name in operator["weights"]
        )
        name = operator["op"].removeprefix("aten.").removesuffix(".default")
        path = operator["path"].removeprefix("model.")
        table.add_row(str(operator["index"]), name, path, weights)
    console.print(table)
    views = len(ran["operators"]) - len(operators)
    console.print(f"{views:,} more only looked at their input in another way.")
    if first := [step for step in ran["sequence"] if step["layer"] == 0]:
        steps = " → ".join(f"{step['name']} ({step['step']})" for step in first)
        console.print(f"Layer 0 as it ran, with the numbers of the fifteen steps: {steps}")
