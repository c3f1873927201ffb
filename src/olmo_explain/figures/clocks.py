"""Pairs of a head as the hands of clocks: how far each has turned, and which made a whole turn."""

import math
from collections.abc import Mapping, Sequence

from olmo_explain.figures.drawing import ACCENT, SMALL, WIDTH, Drawing
from olmo_explain.figures.picture import Picture

LEFT, HEADING, CAPTION = 118, 32, 24  # room for the rows' names, for the pairs, for a row's numbers
RADIUS = 21
ROW = 2 * RADIUS + CAPTION + 8


def draw_clocks(
    turns: Mapping[str, Sequence[float]], pairs: Sequence[int], model: str, what: str
) -> Picture:
    """A row of clocks for each of `turns`: by its name, how many turns each of `pairs` has made.

    A name may have two lines. A clock whose hand has been all the way round is filled.
    """
    assert all(len(values) == len(pairs) for values in turns.values())
    drawing = Drawing(HEADING + ROW * len(turns))
    column = (WIDTH - LEFT) / len(pairs)
    for i, pair in enumerate(pairs):
        drawing.text(LEFT + column * (i + 0.5), 17, f"pair {pair}", anchor="middle", size=SMALL)
    for row, (name, values) in enumerate(turns.items()):
        y = HEADING + ROW * row + RADIUS
        for line, words in enumerate(lines := name.split("\n")):
            drawing.text(0, y + 5 + 19 * (line - (len(lines) - 1) / 2), words, quiet=line > 0)
        for i, made in enumerate(values):
            x = LEFT + column * (i + 0.5)
            _clock(drawing, x, y, made)
            drawing.text(x, y + RADIUS + 18, _said(made), anchor="middle", size=SMALL, quiet=True)
    said = "; ".join(
        ": ".join((" ".join(name.split()), ", ".join(map(_said, values))))
        for name, values in turns.items()
    )
    return drawing.picture(
        f"{what} A full disc has been all the way round; the number says how many turns. "
        f"Model: {model}.",
        f"{len(turns)} rows of {len(pairs)} clocks. Turns made by pairs "
        f"{', '.join(map(str, pairs))}, {said}.",
    )


def _clock(drawing: Drawing, x: float, y: float, made: float) -> None:
    """A clock whose hand began at the top and has swept the part that is filled."""
    drawing.circle(x, y, RADIUS, strength=0, outline="currentColor", thick=1)
    angle = 2 * math.pi * made
    tip = x + RADIUS * math.sin(angle), y - RADIUS * math.cos(angle)
    if made >= 1:
        drawing.circle(x, y, RADIUS, fill=ACCENT, strength=0.45)
    else:
        swept = f"M{x:.5g} {y:.5g}V{y - RADIUS:.5g}A{RADIUS} {RADIUS} 0 {int(made > 0.5)} 1 "
        drawing.parts.append(
            f'<path d="{swept}{tip[0]:.5g} {tip[1]:.5g}Z" fill="{ACCENT}" fill-opacity="0.45"/>'
        )
    drawing.path(f"M{x:.5g} {y:.5g}L{tip[0]:.5g} {tip[1]:.5g}", colour=ACCENT, thick=3)
    drawing.circle(x, y, 2.5, fill=ACCENT)


def _said(made: float) -> str:
    """Turns, as many digits as say something.

    >>> [_said(turns) for turns in (1303.8, 6.05, 0.6049, 0.002)]
    ['1,304', '6.0', '0.60', '0.00']
    """
    return f"{made:,.0f}" if made >= 100 else f"{made:.1f}" if made >= 1 else f"{made:.2f}"
