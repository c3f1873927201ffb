"""What `trace --tp` looks like in a terminal: which process holds and reads what."""

import re
from collections import Counter
from dataclasses import astuple

from rich.console import Console

from olmo_explain.parallel import SharedTrace
from olmo_explain.terminal.output import grid
from olmo_explain.terminal.trace import print_counts
from olmo_explain.words import shape

CUT = {0: "rows", 1: "columns", None: "whole"}


def print_parts(console: Console, ran: SharedTrace) -> None:
    """Every kind of weight with its parts, what each process read, and whether all ran alike."""
    sharing = ran.sharing
    title = f"{sharing.world_size} processes over {sharing.backend}, each with its part"
    columns = ("weight", "count", "shape", "cut into", "parts")
    table = grid(title, *columns, right=("count",), fold=("parts",))
    for (name, whole, split, parts), count in _kinds(ran).items():
        local = shape(parts[0]) if len(set(parts)) == 1 else "  ".join(map(shape, parts))
        table.add_row(name, str(count), shape(whole), CUT[split], local)
    console.print(table)
    numbers = ("process", "parameters held", "parameters read", "bytes read")
    table = grid("What each process holds and reads", *numbers, right=numbers)
    for rank in ran.ranks:
        table.add_row(*(f"{number:,}" for number in astuple(rank)))
    console.print(table)
    alike = "as in one process" if ran.same_calls else "NOT as in one process"
    console.print(f"{ran.total:,} calls in every process, {alike}. The whole model:")
    print_counts(console, ran)


def _kinds(ran: SharedTrace) -> Counter[tuple]:
    """How many weights there are of each kind: layers apart, the same name, shape and parts."""
    kinds: Counter[tuple] = Counter()
    for weight in ran.weights:
        name = re.sub(r"layers\.\d+\.", "", weight.name).removeprefix("model.")
        parts = tuple(weight.local_shapes)
        kinds[name.removesuffix(".weight"), weight.shape, weight.split, parts] += 1
    return kinds
