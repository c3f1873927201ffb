"""What became of a head from one revision to the next: its norms, and how far it has turned."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from olmo_explain.checkpoint import HeadHistory
from olmo_explain.figures.chart import Chart, Ticks
from olmo_explain.figures.drawing import SMALL, Drawing
from olmo_explain.figures.picture import Picture

TALL = 262  # of each of the two charts
LONGEST = 15  # letters of a revision's name, of which the end tells more


def plot_history(history: HeadHistory) -> Picture:
    """A head's norms at each revision, and the cosine of its slices to the first revision's.

    Against the training step where the names say one, and the steps rise; else one after the other.

    >>> plot_history(head_history("allenai/Olmo-3-1025-7B", 17, 27, "stage1-step*", every=20))
    Norms of head 27 in layer 17, and the cosine … Model: allenai/Olmo-3-1025-7B. …
    """
    moments = history.revisions
    names = [moment.revision for moment in moments]
    norms = {name: [it.norms[name] for it in moments] for name in moments[0].norms}
    cosines = {name: [it.cosine_to_first[name] for it in moments] for name in norms}
    steps = [moment.step for moment in moments]
    known = [step for step in steps if step is not None]
    rise = known == steps and known == sorted(set(known))
    xs = known if rise else list(range(len(names)))
    ends = xs[0], max(xs[-1], xs[0] + 1)
    if rise:
        some = np.linspace(*ends, 4).astype(int).tolist()
        places, title = {step: f"{step:,}" for step in some}, "training step"
    else:
        places, title = _ends(names), "revision"
    drawing = Drawing(2 * TALL)
    least = min((it for it in _finite(cosines) if it < 1), default=1.0)
    for number, (what, curves, heights) in enumerate(
        (
            ("norm", norms, (min(_finite(norms), default=0.0), max(_finite(norms), default=0.0))),
            (f"cosine to {names[0]}", cosines, (math.floor(10 * min(least, 0.99)) / 10, 1.0)),
        )
    ):
        _draw(drawing, number * TALL, what, xs, curves, ends, heights, places, title)
    where = f"head {history.head} in layer {history.layer}"
    return drawing.picture(
        f"Norms of {where}, and the cosine of its slices to those of the first revision. "
        f"Model: {history.model}.",
        f"Two charts of {len(names)} revisions, {names[0]} to {names[-1]}. Norms: "
        f"{_first_and_last(norms)}. Cosines: {_first_and_last(cosines)}.",
    )


def _draw(
    drawing: Drawing,
    down: float,
    what: str,
    xs: Sequence[int],
    curves: Mapping[str, Sequence[float]],
    across: tuple[float, float],
    up: tuple[float, float],
    places: Ticks,
    title: str,
) -> None:
    low, high = up if up[0] < up[1] else (up[0] - 0.5, up[0] + 0.5)
    chart = Chart(drawing, across, (low, high), right=394, top=34 + down, bottom=204 + down)
    heights = {height: f"{height:.4g}" for height in np.linspace(low, high, 3).tolist()}
    chart.frame(heights, places, title)
    drawing.text(0, chart.top - 16, what, size=SMALL, quiet=True)
    there = {}  # what is no number has no place
    for name, values in curves.items():
        points = [(x, y) for x, y in zip(xs, values, strict=True) if math.isfinite(y)]
        if points:
            there[name] = ([x for x, _ in points], [y for _, y in points])
    chart.lines(there)


def _ends(names: Sequence[str]) -> dict[int, str]:
    """The names of the first revision, and of the last."""
    ends = {0: names[0], len(names) - 1: names[-1]}
    return {at: f"…{it[-LONGEST:]}" if len(it) > LONGEST else it for at, it in ends.items()}


def _finite(curves: Mapping[str, Sequence[float]]) -> list[float]:
    return [value for values in curves.values() for value in values if math.isfinite(value)]


def _first_and_last(curves: Mapping[str, Sequence[float]]) -> str:
    return ", ".join(f"{name} {it[0]:.2f} to {it[-1]:.2f}" for name, it in curves.items())
