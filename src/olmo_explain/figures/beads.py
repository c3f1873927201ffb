"""The calls of one forward pass as beads on a string, in the order in which they ran."""

import re
from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise
from typing import Protocol

from olmo_explain.errors import UsageError
from olmo_explain.figures.drawing import ACCENT, SMALL, TEXT, Drawing
from olmo_explain.figures.picture import Picture

LAYER = re.compile(r"(?:^|\.)layers\.(\d+)\.")
LEFT, RIGHT = 74, 456  # where the first and the last bead of a row hang
ROWS = 176  # the height of all layers together, where they are not many
ASIDE = {"gate": -5, "SiLU": 4}  # neighbours that would touch
SHORT = {"act_fn": "SiLU"}  # other modules are called by what stands before _proj


class Called(Protocol):
    """A call of a trace, or anything that says which module was called."""

    @property
    def path(self) -> str: ...
    @property
    def type(self) -> str: ...


def draw_calls(calls: Iterable[Called], model: str, lit: str = "rotary_emb") -> Picture:
    """A row for each layer, one for what runs before them and one for what runs after.

    `lit`: the module whose calls are lit. The shape of a bead says of which kind the module is.

    >>> draw_calls(trace(model, ids).calls, "tiny")
    """
    rows = [(layer, list(row)) for layer, row in groupby(calls, _layer)]
    layers = [(layer, row) for layer, row in rows if layer is not None]
    if not layers:
        raise UsageError("None of these calls is in a layer", "Give all calls of a language model")
    first, last = rows.index(layers[0]), rows.index(layers[-1])
    before = [call for _, row in rows[:first] for call in row]
    after = [call for _, row in rows[last + 1 :] for call in row]

    pitch = min(22.0, max(6.0, ROWS / len(layers)))
    top, size = 74.0, min(6.2, 0.4 * pitch)
    end = top + pitch * (len(layers) - 1)
    drawing = Drawing(end + 98)
    most = max(len(row) for _, row in layers)
    step = (RIGHT - LEFT) / max(most - 1, 1)
    heights = [24.0, *(top + pitch * at for at in range(len(layers))), end + 36]
    every = [before, *(row for _, row in layers), after]
    _thread(
        drawing,
        [
            (y, LEFT, LEFT + step * max(len(row) - 1, 0))
            for y, row in zip(heights, every, strict=True)
        ],
    )
    for number, (y, row) in enumerate(zip(heights, every, strict=True)):
        within = size if 0 < number < len(every) - 1 else 6.2
        for at, call in enumerate(row):
            _bead(drawing, LEFT + step * at, y, call, within, _name(call) == lit)
    _labels(drawing, layers, top, pitch, step)
    shining = [call for call in before if _name(call) == lit]
    drawing.text(LEFT - 21, 29, "before", anchor="end", size=SMALL, quiet=True)
    drawing.text(LEFT - 21, end + 41, "after", anchor="end", size=SMALL, quiet=True)
    if shining:
        drawing.text(
            LEFT + step * (len(before) - 1) + 26,
            29,
            f"{lit} × {len(shining)}",
            colour=ACCENT,
            weight=600,
            mono=True,
            size=SMALL + 0.5,
        )
    whole = sum(map(len, every))
    drawing.text(
        480,
        end + 41,
        _sum(len(before), [len(row) for _, row in layers], len(after)),
        anchor="end",
        size=TEXT + 2,
        weight=600,
    )
    _legend(drawing, end + 84)
    where = (
        "before the first layer"
        if len(shining) == sum(_name(call) == lit for row in every for call in row)
        else "here and there"
    )
    return drawing.picture(
        f"The {whole:,} module calls of one run, in order: along a row, then on to the next. "
        f"Model: {model}.",
        f"Beads on a string, a row for each of {len(layers)} layers. {lit} is lit: "
        f"{sum(_name(call) == lit for row in every for call in row)} calls, {where}. "
        f"{len(before)} calls stand before the layers, {most} in each layer, {len(after)} after.",
    )


def _layer(call: Called) -> int | None:
    found = LAYER.search(call.path)
    return int(found[1]) if found else None


def _name(call: Called) -> str:
    return call.path.rpartition(".")[2]


def _sum(before: int, layers: Sequence[int], after: int) -> str:
    """ "3 + 8 × 12 + 2 = 101 calls"."""
    whole = f"{before + sum(layers) + after:,} calls"
    if len(set(layers)) > 1:
        return whole
    return f"{before} + {len(layers)} × {layers[0]} + {after} = {whole}"


def _thread(drawing: Drawing, rows: Sequence[tuple[float, float, float]]) -> None:
    """The string: through each row, and from its end back to the beginning of the next."""
    y, left, right = rows[0]
    steps = [f"M{left - 12:g} {y:g}H{right + 8:g}"]
    for (above, _, end), (below, start, reach) in pairwise(rows):
        middle = (above + below) / 2
        bend = min((middle - above) * 1.2, 10)
        steps.append(
            f"C{end + 8 + bend:g} {above:g} {end + 8 + bend:g} {middle:g} {end + 8:g} {middle:g}"
            f"H{start - 8:g}"
            f"C{start - 8 - bend:g} {middle:g} {start - 8 - bend:g} {below:g} {start - 8:g} "
            f"{below:g}H{reach + 8:g}"
        )
    drawing.path("".join(steps), strength=0.3, thick=1)


def _bead(drawing: Drawing, x: float, y: float, call: Called, size: float, lit: bool) -> None:
    if lit:
        drawing.circle(x, y, size + 4.5, fill=ACCENT, strength=0.25)
        drawing.circle(x, y, size + 1, fill=ACCENT, outline=ACCENT)
    elif call.type == "Linear":
        drawing.circle(x, y, size, strength=0.72)
    elif call.type.endswith("Norm"):
        thick = min(1.6, size / 3)
        drawing.circle(
            x,
            y,
            size - 1 if size > 3 else size,
            fill="var(--pst-color-background, Canvas)",
            outline="currentColor",
            thick=thick,
        )
    elif call.type == "Embedding":
        drawing.rect(x - size, y - size, 2 * size, 2 * size, strength=0.72)
    else:
        _diamond(drawing, x, y, size)


def _diamond(drawing: Drawing, x: float, y: float, size: float) -> None:
    wide = 0.55 * size
    drawing.path(
        f"M{x:g} {y - wide:g}L{x + wide:g} {y:g}L{x:g} {y + wide:g}L{x - wide:g} {y:g}Z",
        thick=0.9 * size,
    )


def _labels(
    drawing: Drawing,
    layers: Sequence[tuple[int | None, list]],
    top: float,
    pitch: float,
    step: float,
) -> None:
    _, row = layers[0]
    for at, call in enumerate(row):
        if not call.type.endswith("Norm"):
            name = _name(call)
            words = SHORT.get(name, name.removesuffix("_proj"))
            drawing.text(
                LEFT + step * at + ASIDE.get(words, 0),
                top - 14,
                words,
                anchor="middle",
                size=SMALL,
                quiet=True,
            )
    sparse = -(-14 // int(pitch))  # a label for each row, or for one of so many
    for at, (layer, _) in enumerate(layers):
        if at % sparse == 0 or (at == len(layers) - 1 and at % sparse > sparse / 2):
            words = f"layer {layer}" if at == 0 else str(layer)
            drawing.text(
                LEFT - 21, top + pitch * at + 5, words, anchor="end", size=SMALL, quiet=True
            )


def _legend(drawing: Drawing, y: float) -> None:
    """What the shapes say."""
    x = 30.0
    drawing.circle(x, y - 5, 6, strength=0.72)
    drawing.text(x + 13, y, "linear", size=SMALL)
    drawing.circle(x + 88, y - 5, 5.2, fill="none", outline="currentColor", thick=1.6)
    drawing.text(x + 101, y, "norm", size=SMALL)
    _diamond(drawing, x + 166, y - 5, 6)
    drawing.text(x + 179, y, "activation", size=SMALL)
    drawing.rect(x + 276, y - 11, 12, 12, strength=0.72)
    drawing.text(x + 295, y, "table", size=SMALL)
    drawing.circle(x + 362, y - 5, 7, fill=ACCENT, outline=ACCENT)
    drawing.text(x + 376, y, "angles", size=SMALL)
