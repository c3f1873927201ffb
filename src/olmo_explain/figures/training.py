"""What heads become in the course of a training: what they do, and how large their weights are."""

import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int

from olmo_explain.figures.chart import Chart
from olmo_explain.figures.drawing import Drawing
from olmo_explain.figures.picture import Picture

HALF = 0.5


def plot_training(
    steps: Int[np.ndarray, " moment"],
    previous_token: Float[np.ndarray, " moment"],
    induction: Float[np.ndarray, " moment"],
    loss: Float[np.ndarray, " moment"],
    model: str,
    until: int | None = None,
) -> Picture:
    """The best scores of two kinds of heads, above the loss on what repeats; up to step `until`."""
    seen = steps <= (steps[-1] if until is None else until)
    steps, previous_token, induction, loss = (
        values[seen] for values in (steps, previous_token, induction, loss)
    )
    drawing, last = Drawing(262), int(steps[-1])
    chart = Chart(drawing, (0, last), (0, 1))
    chart.frame({0.0: "0", 0.5: "0.5", 1.0: "1"}, _quarters(last), "training step")
    curves = {"one word back": previous_token, "induction": induction, "loss": loss / loss.max()}
    chart.lines({name: (steps.tolist(), values.tolist()) for name, values in curves.items()})
    named = {"previous-token": previous_token, "induction": induction}
    moments = (_when(name, first_above(steps, values)) for name, values in named.items())
    return drawing.picture(
        "The best previous-token head and the best induction head at moments of the training, and "
        "the loss on the repetition of random tokens, as a share of its highest. "
        f"Model: {model}.",
        f"Three curves over {steps[-1]:,} steps. {'. '.join(moments)}. The "
        f"loss falls from {loss.max():.1f} to {loss.min():.1f} nats.",
    )


def plot_growth(
    steps: Int[np.ndarray, " moment"],
    beside_median: Mapping[str, Float[np.ndarray, " moment"]],
    whose: str,
    model: str,
) -> Picture:
    """A head's norms by projection, each divided by the median of all heads' norms of its kind."""
    ends = [value for values in beside_median.values() for value in (values.min(), values.max())]
    low, high = math.floor(10 * min(*ends, 0.95)) / 10, math.ceil(10 * max(*ends, 1.05)) / 10
    drawing, last = Drawing(262), int(steps[-1])
    chart = Chart(drawing, (0, last), (low, high))
    chart.frame({y: f"{y:.1f}" for y in (low, 1.0, high)}, _quarters(last), "training step")
    chart.lines({name: (steps.tolist(), it.tolist()) for name, it in beside_median.items()})
    told = ", ".join(f"{name} {it[0]:.2f} to {it[-1]:.2f}" for name, it in beside_median.items())
    return drawing.picture(
        f"The norms of {whose}, each as a multiple of the median of all heads. Model: {model}.",
        f"{len(beside_median)} curves over {last:,} steps, from the first to the last: {told}.",
    )


def _quarters(last: int) -> dict[int, str]:
    """Steps to write under an axis."""
    return {last * quarter // 4: f"{last * quarter // 4:,}" for quarter in range(5)}


def _when(name: str, step: int | None) -> str:
    said = "stays below" if step is None else f"at step {step} passes"
    return f"The best {name} score {said} {HALF}"


def first_above(
    steps: Int[np.ndarray, " moment"], values: Float[np.ndarray, " moment"], level: float = HALF
) -> int | None:
    """The first step at which the values are above `level`; None where they never are."""
    above = values > level
    return int(steps[above.argmax()]) if above.any() else None
