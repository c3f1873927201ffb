"""Curves over distance: what is left of an answer, or of a score, ever further back."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from olmo_explain.figures.drawing import ACCENT, SMALL, TEXT, Drawing
from olmo_explain.figures.picture import Picture
from olmo_explain.words import minus, percent

LEFT, RIGHT, TOP, BOTTOM = 52, 336, 34, 204
BETWEEN = 20  # two labels on the right are no nearer to each other
# Colour, dashes and thickness of each line, the first the one to look at.
LINES = ((ACCENT, "", 3.5), ("currentColor", "", 1.8), ("currentColor", "6 4", 1.8))

CALLED = {  # the RoPE regimes, as the live figure calls them
    "per-layer": "as designed",
    "yarn-everywhere": "YaRN everywhere",
    "yarn-lost": "YaRN lost",
}


@dataclass
class _Plot:
    """Where a distance and a height stand on the drawing."""

    across: tuple[float, float]
    up: tuple[float, float]
    drawing: Drawing

    def x(self, distance: float) -> float:
        low, high = self.across
        return LEFT + (RIGHT - LEFT) * (distance - low) / (high - low)

    def y(self, height: float) -> float:
        low, high = self.up
        return BOTTOM - (BOTTOM - TOP) * (height - low) / (high - low)

    def frame(self, ticks: Mapping[float, str], distances: Sequence[float], title: str) -> None:
        """Lines across at `ticks`, `distances` under them, and below these what they are."""
        for height, words in ticks.items():
            y, strength = self.y(height), 0.5 if height == 0 else 0.15
            self.drawing.path(f"M{LEFT} {y:.4g}H{RIGHT}", strength=strength, thick=1)
            self.drawing.text(LEFT - 8, y + 5, words, anchor="end", size=SMALL, quiet=True)
        for distance in distances:
            where = self.x(distance), BOTTOM + 22
            self.drawing.text(*where, f"{distance:g}", anchor="middle", size=SMALL, quiet=True)
        self.drawing.text(LEFT, BOTTOM + 46, title, size=SMALL, quiet=True)

    def edge(self, window: int, words: str) -> None:
        """Where the window of the sliding layers ends, and all that lies beyond."""
        x = self.x(window)
        self.drawing.rect(x, TOP - 8, RIGHT - x, BOTTOM - TOP + 8, strength=0.06, radius=0)
        self.drawing.path(f"M{x:.4g} {TOP - 8}V{BOTTOM}", strength=0.6, thick=1, dashes="3 3")
        self.drawing.text(x, TOP - 15, words, anchor="middle", size=SMALL, quiet=True)

    def lines(self, lines: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> None:
        """The curves, drawn from the last to the first, each named at its end."""
        styles = list(zip(lines.values(), LINES, strict=False))
        for (xs, ys), (colour, dashes, thick) in reversed(styles):
            points = [f"{self.x(x):.4g} {self.y(y):.4g}" for x, y in zip(xs, ys, strict=True)]
            self.drawing.path("M" + "L".join(points), colour=colour, thick=thick, dashes=dashes)
        ends = spread([self.y(ys[-1]) for (_, ys), _ in styles], TOP, BOTTOM)
        for name, y, (_, (colour, _, _)) in zip(lines, ends, styles, strict=True):
            weight = 600 if colour == ACCENT else 400
            self.drawing.text(RIGHT + 9, y + 5, name, colour=colour, weight=weight)


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


def draw_apart(
    back: Sequence[int],
    shares: Mapping[str, Sequence[float]],
    window: int,
    model: str,
    word: str = "France",
) -> Picture:
    """The probability of a word against how far back it was said: a curve for each RoPE.

    `shares`: for each curve, by its name, one for each distance in `back`.
    """
    assert all(len(values) == len(back) for values in shares.values())
    shares = {CALLED.get(name, name): [*map(float, values)] for name, values in shares.items()}
    drawing = Drawing(BOTTOM + 58)
    plot = _Plot((0, max(back)), (0, 1), drawing)
    plot.frame(
        {n / 4: f"{25 * n} %" for n in range(5)}, back, f"how many tokens back {word} was said"
    )
    plot.edge(window, "the window ends")
    plot.lines({name: (back, values) for name, values in shares.items()})
    beyond = next((n for n in back if n >= window), back[-1])
    for values, (colour, *_) in zip(shares.values(), LINES, strict=False):
        for distance, share in zip(back, values, strict=True):
            if colour == ACCENT or distance == beyond:
                x, y = plot.x(distance), plot.y(share)
                drawing.circle(x, y, 5 if colour == ACCENT else 3.5, fill=colour)
                if distance != back[-1]:
                    words = percent(share)
                    below = colour != ACCENT and y < BOTTOM - 24
                    where = (x - 6, y + 18) if below else (x + 3, y - 9)
                    side = "end" if below else "start"
                    drawing.text(*where, words, anchor=side, size=SMALL, colour=colour)
    said = "; ".join(
        f"{name}: " + ", ".join(map("{:.1%} at {}".format, values, back))
        for name, values in shares.items()
    ).replace("%", " %")
    return drawing.picture(
        f"Probability of {word} as the next word, the halves of the sentence ever further apart: "
        f"the same weights, their positions told in {len(shares)} ways. Shaded: out of sight of "
        f"the sliding layers. Model: {model}.",
        f"{len(shares)} curves of the probability of {word} against how many tokens back it was "
        f"said. {said}. The sliding layers' window ends at {window}.",
    )


def draw_scores(scores: Mapping[str, Sequence[float]], model: str, what: str) -> Picture:
    """What a query and a key score at each distance from 0 on; the first curve's top is marked."""
    drawing = Drawing(BOTTOM + 58)
    reach = len(next(iter(scores.values()))) - 1
    low, high = min(map(min, scores.values())), max(map(max, scores.values()))
    step = 10 if high - low > 25 else 5
    marks = range(math.floor(min(low, 0) / step), math.ceil(high / step) + 1)
    plot = _Plot((0, reach), (step * marks[0], step * marks[-1]), drawing)
    ticks = {float(step * mark): minus(f"{step * mark}") for mark in marks}
    plot.frame(ticks, range(0, reach + 1, 10), "how many tokens the key stands behind the query")
    plot.lines({name: (range(reach + 1), values) for name, values in scores.items()})
    best = [max(range(reach + 1), key=values.__getitem__) for values in scores.values()]
    peak = next(iter(scores.values()))[best[0]]
    drawing.circle(plot.x(best[0]), plot.y(peak), 5, fill=ACCENT)
    words = minus(f"{peak:.1f} at {best[0]}")
    drawing.text(plot.x(best[0]) + 10, plot.y(peak) - 6, words, size=TEXT, colour=ACCENT)
    said = [
        f"{name}: highest at distance {n}, {minus(f'{values[n]:.1f}')}, and never below "
        f"{minus(f'{min(values):.1f}')}"
        for (name, values), n in zip(scores.items(), best, strict=True)
    ]
    return drawing.picture(
        f"{what} Model: {model}.",
        f"{len(scores)} curves of a score against the distance of query and key, from 0 to "
        f"{reach}. {'. '.join(said)}.",
    )
