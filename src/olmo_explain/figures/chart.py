"""Curves over an axis, in the drawings' own colours: the first is the one to look at."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from olmo_explain.figures.drawing import ACCENT, SMALL, Drawing

Ticks = Mapping[float, str] | Mapping[int, str]  # what is written where
BETWEEN = 20  # two labels on the right are no nearer to each other
# Colour, dashes and thickness of each line, the first the one to look at.
INK = "currentColor"
LINES = ((ACCENT, "", 3.5), (INK, "", 1.8), (INK, "6 4", 1.8), (INK, "1.5 3", 1.8))


@dataclass
class Chart:
    """Where two numbers stand on a drawing; an axis of powers has equal steps for equal factors."""

    drawing: Drawing
    across: tuple[float, float]
    up: tuple[float, float]
    powers: tuple[bool, bool] = (False, False)
    left: float = 60
    right: float = 322
    top: float = 34
    bottom: float = 204

    def x(self, value: float) -> float:
        return self.left + (self.right - self.left) * _share(value, *self.across, self.powers[0])

    def y(self, value: float) -> float:
        return self.bottom - (self.bottom - self.top) * _share(value, *self.up, self.powers[1])

    def frame(self, heights: Ticks, places: Ticks, title: str) -> None:
        """Lines across at `heights`, `places` under them, and below these what they are."""
        for height, words in heights.items():
            y, strength = self.y(height), 0.5 if height == 0 else 0.15
            self.drawing.path(f"M{self.left} {y:.4g}H{self.right}", strength=strength, thick=1)
            self.drawing.text(self.left - 8, y + 5, words, anchor="end", size=SMALL, quiet=True)
        for place, words in places.items():
            where = self.x(place), self.bottom + 22
            self.drawing.text(*where, words, anchor="middle", size=SMALL, quiet=True)
        self.drawing.text(self.left, self.bottom + 46, title, size=SMALL, quiet=True)

    def upright(self, place: float, words: str, anchor: str = "middle") -> None:
        """A dashed line up at a place, with what it is above it."""
        x = self.x(place)
        steps = f"M{x:.4g} {self.top - 8}V{self.bottom}"
        self.drawing.path(steps, strength=0.6, thick=1, dashes="3 3")
        self.drawing.text(x, self.top - 15, words, anchor=anchor, size=SMALL, quiet=True)

    def line(
        self,
        xs: Sequence[float],
        ys: Sequence[float],
        *,
        colour: str = "currentColor",
        thick: float = 1.8,
        dashes: str = "",
    ) -> None:
        points = [f"{self.x(x):.4g} {self.y(y):.4g}" for x, y in zip(xs, ys, strict=True)]
        self.drawing.path("M" + "L".join(points), colour=colour, thick=thick, dashes=dashes)

    def lines(self, lines: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> None:
        """Up to four curves, drawn from the last to the first, each named at its end."""
        styles = list(zip(lines.values(), LINES, strict=False))
        for (xs, ys), (colour, dashes, thick) in reversed(styles):
            self.line(xs, ys, colour=colour, thick=thick, dashes=dashes)
        ends = spread([self.y(ys[-1]) for (_, ys), _ in styles], self.top, self.bottom)
        for name, y, (_, (colour, _, _)) in zip(lines, ends, styles, strict=True):
            weight = 600 if colour == ACCENT else 400
            self.drawing.text(self.right + 9, y + 5, name, colour=colour, weight=weight)


def _share(value: float, low: float, high: float, powers: bool) -> float:
    if powers:
        value, low, high = math.log(value), math.log(low), math.log(high)
    return (value - low) / (high - low)


def spread(wished: Sequence[float], top: float, bottom: float) -> list[float]:
    """Heights near those wished for, in the same order, none nearer than BETWEEN to the next.

    >>> spread([100, 104, 30], top=20, bottom=110)
    [90, 110, 30]
    """
    order = sorted(range(len(wished)), key=lambda i: wished[i])
    found: dict[int, float] = {}
    lowest = bottom
    for place, i in enumerate(reversed(order)):
        room = top + BETWEEN * (len(order) - 1 - place)  # for those above
        lowest = found[i] = max(min(wished[i], lowest), room)
        lowest -= BETWEEN
    return [found[i] for i in range(len(wished))]
