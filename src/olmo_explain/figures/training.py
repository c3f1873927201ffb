"""How two kinds of heads, and what they are for, appear in the course of a training."""

import numpy as np
from jaxtyping import Float, Int

from olmo_explain.figures.picture import Picture
from olmo_explain.figures.style import ACCENT, INK, QUIET, WARM, finish, start

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
    with start(1, height=2.9, width=4.8) as (figure, (axis,)):
        axis.plot(steps, previous_token, color=ACCENT, linewidth=2.2)
        axis.plot(steps, induction, color=WARM, linewidth=2.2, linestyle=(0, (4, 1.2)))
        axis.plot(steps, loss / loss.max(), color=QUIET, linewidth=1.4)
        axis.set(ylim=(0, 1.04), xlim=(0, steps[-1]), yticks=(0, 0.5, 1), xlabel="training step")
        for values, name, colour, side in (
            (previous_token, "one word back", ACCENT, -1),
            (induction, "induction", WARM, 1),
        ):
            at = first_above(steps, values)
            x = (steps[-1] / 2 if at is None else at) + side * 0.02 * steps[-1]
            ha = "right" if side < 0 else "left"
            axis.annotate(name, (x, 0.4), color=colour, ha=ha, fontweight="bold")
        said = f"loss, {loss.max():.1f} → {loss.min():.1f} nats"
        axis.annotate(said, (0.99 * steps[-1], 0.1), ha="right", color=INK, alpha=0.75)
    named = {"previous-token": previous_token, "induction": induction}
    moments = (_when(name, first_above(steps, values)) for name, values in named.items())
    return finish(
        figure,
        "The best previous-token head and the best induction head at moments of the training, and "
        "the loss on the repetition of random tokens, as a share of its highest. "
        f"Model: {model}.",
        f"Three curves over {steps[-1]:,} steps. {'. '.join(moments)}. The "
        f"loss falls from {loss.max():.1f} to {loss.min():.1f} nats.",
    )


def _when(name: str, step: int | None) -> str:
    said = "stays below" if step is None else f"at step {step} passes"
    return f"The best {name} score {said} {HALF}"


def first_above(
    steps: Int[np.ndarray, " moment"], values: Float[np.ndarray, " moment"], level: float = HALF
) -> int | None:
    """The first step at which the values are above `level`; None where they never are."""
    above = values > level
    return int(steps[above.argmax()]) if above.any() else None
