"""Curves over distance: what is left of an answer, or of a score, ever further back."""

import math
from collections.abc import Mapping, Sequence

from olmo_explain.figures.chart import LINES, Chart
from olmo_explain.figures.drawing import ACCENT, SMALL, TEXT, Drawing
from olmo_explain.figures.picture import Picture
from olmo_explain.words import minus, percent

BOTTOM = 204  # where distances stand

CALLED = {  # the RoPE regimes, as the live figure calls them
    "per-layer": "as designed",
    "yarn-everywhere": "YaRN everywhere",
    "yarn-lost": "YaRN lost",
}


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
    plot = Chart(drawing, (0, max(back)), (0, 1), bottom=BOTTOM)
    heights, places = {n / 4: f"{25 * n} %" for n in range(5)}, {n: f"{n}" for n in back}
    plot.frame(heights, places, f"how many tokens back {word} was said")
    edge = plot.x(window)  # of what the sliding layers see
    drawing.rect(
        edge, plot.top - 8, plot.right - edge, BOTTOM - plot.top + 8, strength=0.06, radius=0
    )
    plot.upright(window, "the window ends")
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
    plot = Chart(drawing, (0, reach), (step * marks[0], step * marks[-1]), bottom=BOTTOM)
    heights = {float(step * mark): minus(f"{step * mark}") for mark in marks}
    places = {n: f"{n}" for n in range(0, reach + 1, 10)}
    plot.frame(heights, places, "how many tokens the key stands behind the query")
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
