"""What `trace` looks like in a terminal: layers that ran alike are told once."""

import re
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import NamedTuple, TypeVar

from rich.console import Console

from olmo_explain.running import Call, Operator, Trace
from olmo_explain.terminal.output import grid
from olmo_explain.words import quantity, shape

WIDTH = 100  # columns that all of a call needs
LAYER = re.compile(r"^(?:model\.)?layers\.(\d+)\.?")
Item = TypeVar("Item", Call, Operator)


class Folded(NamedTuple):
    """What was done outside the layers, or alike in each of `layers`, as it was in the first."""

    layers: list[int]
    items: Sequence


def print_trace(console: Console, ran: Trace, every: bool = False) -> None:
    """Every call in order, the counts by type, and the parameters held and read.

    `every`: a row for each call; otherwise layers that ran alike share theirs.
    """
    # A narrow terminal has no room for the types, whose counts are told below.
    narrow = console.width < WIDTH
    columns = ("#", "module", *(() if narrow else ("type",)), "input", "output", "FLOPs")
    table = grid(f"{ran.total:,} module calls, in order", *columns, right=("#", "FLOPs"))
    for layers, calls in _told(ran.calls, every, _made_of_call):
        if layers:
            table.add_row("", _heading(layers))
        for call in calls:
            table.add_row(
                f"{call.index:,}",
                _path(call.path, layers),
                *(() if narrow else (call.type,)),
                "\n".join(map(shape, call.input_shapes)),
                shape(call.output_shape),
                quantity(call.flops) if call.flops else "",
                end_section=bool(layers) and call is calls[-1],
            )
    console.print(table)
    if not every:
        console.print("Layers that ran alike share their rows; --all has one for each call.")
    print_counts(console, ran)


def print_counts(console: Console, ran: Trace) -> None:
    """Calls by type, and what they read."""
    counts = ", ".join(f"{name} {count}" for name, count in ran.counts.items())
    console.print(f"{counts}; {ran.total:,} in all")
    console.print(
        f"{ran.parameters_held:,} parameters held, {ran.parameters_read:,} read "
        f"({ran.bytes_read:,} bytes)"
    )


def print_operators(console: Console, ran: Trace, every: bool = False) -> None:
    """The operators that read or compute, and the steps of a layer that they make."""
    operators = [operator for operator in ran.operators or () if not operator.view]
    title = f"{len(operators):,} operators that read or compute, in order"
    columns = ("operator", "module", "weights")
    table = grid(title, "#", *columns, right="#", fold=columns)
    for layers, some in _told(operators, every, _made_of_operator):
        if layers:
            table.add_row("", "", _heading(layers))
        for operator in some:
            table.add_row(
                f"{operator.index:,}",
                operator.op.removeprefix("aten.").removesuffix(".default"),
                _path(operator.path, layers),
                ", ".join(_own(name, operator.path) for name in operator.weights),
                end_section=bool(layers) and operator is some[-1],
            )
    console.print(table)
    views = len(ran.operators or ()) - len(operators)
    console.print(f"{views:,} more only looked at their input in another way.")
    if first := [step for step in ran.sequence if step.layer == 0]:
        steps = " → ".join(f"{step.name} ({step.step})" for step in first)
        console.print(f"Layer 0 as it ran, with the numbers of the fifteen steps: {steps}")


# -- folding --------------------------------------------------------------------------------------


def _told(items: Sequence[Item], every: bool, made: Callable[[Item], tuple]) -> list[Folded]:
    """What to show, layer by layer; neighbouring layers that did the same together, or `every`."""
    told: list[Folded] = []
    before: list[tuple] = []
    for layer, group in groupby(items, key=lambda item: _layer(item.path)):
        some = list(group)
        did = [made(item) for item in some]
        if layer is not None and not every and told and told[-1].layers and did == before:
            told[-1].layers.append(layer)
        else:
            told.append(Folded([] if layer is None else [layer], some))
        before = did
    return told


def _layer(path: str) -> int | None:
    found = LAYER.match(path)
    return int(found[1]) if found else None


def _made_of_call(call: Call) -> tuple:
    """A call, but for where it stands."""
    inside = LAYER.sub("", call.path)
    return inside, call.type, call.input_shapes, call.output_shape, call.flops


def _made_of_operator(operator: Operator) -> tuple:
    weights = tuple(LAYER.sub("", name) for name in operator.weights)
    return LAYER.sub("", operator.path), operator.op, weights, operator.output_shape


def _heading(layers: Sequence[int]) -> str:
    return f"layer {layers[0]}:" if len(layers) == 1 else f"layers {layers[0]}–{layers[-1]}, each:"


def _path(path: str, layers: Sequence[int]) -> str:
    """A module's path; under the heading of its layers, only what comes after their number."""
    return f"  {LAYER.sub('', path)}" if layers else path.removeprefix("model.")


def _own(weight: str, path: str) -> str:
    """A module's own weight by its own name: `weight`."""
    return weight.removeprefix(f"{path}.").removeprefix("model.")
