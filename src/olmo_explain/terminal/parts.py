"""What `trace --tp` looks like in a terminal: which process holds and reads what."""

import re
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from olmo_explain.terminal.words import sizes

CUT = {0: "rows", 1: "columns", None: "whole"}


def print_parts(console: Console, ran: dict[str, Any]) -> None:
    """Every kind of weight with its parts, what each process read, and whether all ran alike."""
    shared = ran["tensor_parallel"]
    title = f"{shared['world_size']} processes over {shared['backend']}, each with its part"
    table = Table(box=SIMPLE, title=title)
    for name in ("weight", "count", "shape", "cut into", "parts"):
        table.add_column(name, justify="right" if name == "count" else "left")
    for (name, shape, split, parts), count in _kinds(shared["weights"]).items():
        local = sizes(parts[0]) if len(set(parts)) == 1 else "  ".join(map(sizes, parts))
        table.add_row(name, str(count), sizes(shape), CUT[split], local)
    console.print(table)
    table = Table(box=SIMPLE, title="What each process holds and reads")
    for name in ("process", "parameters held", "parameters read", "bytes read"):
        table.add_column(name, justify="right")
    for process in shared["ranks"]:
        numbers = ("rank", "parameters_held", "parameters_read", "bytes_read")
        table.add_row(*(f"{process[number]:,}" for number in numbers))
    console.print(table)
    counts = ", ".join(f"{name} {count}" for name, count in ran["counts"].items())
    alike = "as in one process" if shared["same_calls"] else "NOT as in one process"
    console.print(f"{counts}; {ran['total']} calls in every process, {alike}")
    console.print(
        f"The whole model: {ran['parameters_held']:,} parameters held, "
        f"{ran['parameters_read']:,} read ({ran['bytes_read']:,} bytes)"
    )


def _kinds(weights: list[dict[str, Any]]) -> dict[tuple, int]:
    """How many weights there are of each kind: layers apart, the same name, shape and parts."""
    kinds: dict[tuple, int] = {}
    for weight in weights:
        name = re.sub(r"layers\.\d+\.", "", weight["name"]).removeprefix("model.")
        parts = tuple(map(tuple, weight["local_shapes"]))
        kind = (name.removesuffix(".weight"), tuple(weight["shape"]), weight["split"], parts)
        kinds[kind] = kinds.get(kind, 0) + 1
    return kinds
