"""Two values beside each other: the same, bit for bit, or where they first differ.

>>> same(torch.ones(2, 3), torch.ones(2, 3))
✓ equal, bit for bit · 2 × 3
"""

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from olmo_explain.by_hand import differ
from olmo_explain.errors import UsageError
from olmo_explain.words import quoted, shape, text

EQUAL = "equal, bit for bit"
GIVE = "Give two tensors, or two mappings from names to tensors"
CELL = "padding: 0.15rem 1.2rem 0.15rem 0; text-align: left; border: 0"


@dataclass(frozen=True)
class Compared:
    """One value: its name, what was found, and its shape."""

    name: str
    equal: bool
    found: str
    shape: tuple[int, ...]


@dataclass(frozen=True, repr=False)
class Sameness:
    """What `same` found. As a truth value: whether all of it is equal."""

    values: list[Compared]

    @property
    def equal(self) -> bool:
        return all(value.equal for value in self.values)

    def __bool__(self) -> bool:
        return self.equal

    def __repr__(self) -> str:
        return "\n".join(
            f"{value.name + ' ' if value.name else ''}{_mark(value)} {value.found}"
            f" · {shape(value.shape)}"
            for value in self.values
        )

    def _repr_html_(self) -> str:
        # Styled here too: JupyterLab and Colab have no style sheet of ours.
        rows = "".join(map(_row, self.values))
        return f'<div class="oe-table"><table class="oe-sameness">{rows}</table></div>'


def same(ours: Tensor | Mapping[str, Tensor], theirs: Tensor | Mapping[str, Tensor]) -> Sameness:
    """Whether two tensors have the same dtype, shape and bits; else where they first differ.

    Of mappings each value of `ours` is compared with that of the same name in `theirs`, which may
    hold more. UsageError where one is missing, or is no tensor.

    >>> values = run_by_hand(model, ids)
    >>> same({"q": values[3, "q"], "k": values[3, "k"]}, real[3])  # real: what capture gave
    q ✓ equal, bit for bit · 1 × 4 × 11 × 32
    k ✓ equal, bit for bit · 1 × 4 × 11 × 32
    """
    if not isinstance(ours, Mapping):
        return Sameness([_compared("", ours, theirs)])
    if not isinstance(theirs, Mapping):
        raise UsageError(f"{type(theirs).__name__} has no values by name", GIVE)
    if missing := [name for name in ours if name not in theirs]:
        raise UsageError(f"There is no {quoted(missing[0])} to compare with", GIVE)
    return Sameness([_compared(str(name), ours[name], theirs[name]) for name in ours])


def _compared(name: str, ours: Any, theirs: Any) -> Compared:
    for given in (ours, theirs):
        if not isinstance(given, Tensor):
            raise UsageError(f"{quoted(given)} is no tensor", GIVE)
    ours, theirs = ours.detach().cpu(), theirs.detach().cpu()
    size = tuple(ours.shape)
    for what, one, other in (
        ("shape", shape(size), shape(theirs.shape)),
        ("dtype", str(ours.dtype), str(theirs.dtype)),
    ):
        if one != other:
            return Compared(name, False, f"another {what}: {one}, not {other}", size)
    apart = differ(ours, theirs)
    if not apart.any():
        return Compared(name, True, EQUAL, size)
    at = tuple(torch.nonzero(apart)[0].tolist())
    return Compared(
        name,
        False,
        f"{apart.sum().item():,} of {apart.numel():,} numbers differ, first at {list(at)}: "
        f"{text(ours[at].item(), 9)}, not {text(theirs[at].item(), 9)}",
        size,
    )


def _row(value: Compared) -> str:
    name = f'<th scope="row" style="{CELL}"><code>{html.escape(value.name)}</code></th>'
    found = f'<span aria-hidden="true">{_mark(value)}</span> {html.escape(value.found)}'
    return (
        f'<tr class="oe-{"same" if value.equal else "differs"}">{name if value.name else ""}'
        f'<td style="{CELL}">{found}</td><td style="{CELL}">{shape(value.shape)}</td></tr>'
    )


def _mark(value: Compared) -> str:
    return "✓" if value.equal else "✗"
