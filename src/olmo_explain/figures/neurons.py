"""The neurons of one MLP at one token: how much each writes, and how far its gate is open."""

import numpy as np
from jaxtyping import Float

from olmo_explain.figures.drawing import ACCENT, SMALL, Drawing, token_label
from olmo_explain.figures.picture import Picture
from olmo_explain.words import minus, percent

LEFT, RIGHT, TOP, FLOOR = 8, 472, 26, 216
CURVE_TOP, CURVE_FLOOR, RUG = 24, 160, 196
REACH = 3.5  # gates that are drawn, on both sides of zero


def draw_neurons(
    writes: Float[np.ndarray, "neurons"], *, layer: int, token: str, model: str
) -> Picture:
    """A bar for each neuron, by the size of what it writes, the largest tenth lit."""
    ranked = np.sort(writes)[::-1]
    tenth = len(ranked) // 10
    share = ranked[:tenth].sum() / (ranked.sum() or 1)
    drawing = Drawing(268)
    step = (RIGHT - LEFT) / len(ranked)
    scale = (FLOOR - TOP) / (ranked[0] or 1)
    for i, size in enumerate(ranked):
        lit = i < tenth
        drawing.rect(
            LEFT + i * step,
            FLOOR - size * scale,
            step * (0.8 if lit else 1.02),
            size * scale,
            fill=ACCENT if lit else "currentColor",
            strength=1 if lit else 0.4,
            radius=0,
        )
    edge = LEFT + tenth * step
    drawing.path(f"M{LEFT} {FLOOR + 8}V{FLOOR + 14}H{edge - 1:.4g}V{FLOOR + 8}", colour=ACCENT)
    drawing.path(f"M{edge + 2:.4g} {FLOOR + 8}V{FLOOR + 14}H{RIGHT}V{FLOOR + 8}", strength=0.5)
    drawing.text(LEFT, FLOOR + 34, f"{tenth} neurons", weight=600, colour=ACCENT)
    drawing.text(RIGHT, FLOOR + 34, f"the other {len(ranked) - tenth}", anchor="end")
    drawing.text(edge + 16, TOP + 42, percent(share), size=34, weight=600)
    drawing.text(edge + 16, TOP + 64, "of what is written", quiet=True)
    drawing.text(RIGHT, FLOOR - 44, percent(1 - share), size=20, anchor="end")
    return drawing.picture(
        f"What each of the {len(ranked)} neurons of layer {layer} writes at the last "
        f"“{token_label(token)}”: a bar is the length of its vector. Model: {model}.",
        f"{len(ranked)} bars, sorted, fall steeply and end in a long tail. The largest is "
        f"{ranked[0]:.2f}, the middle one {ranked[len(ranked) // 2]:.2f}. The first {tenth}, a "
        f"tenth, do {percent(share)} of the writing.",
    )


def draw_gate(
    gates: Float[np.ndarray, "neurons"], *, layer: int, token: str, model: str
) -> Picture:
    """SiLU as a curve, and below it a tick for each neuron, where its gate stands."""
    drawing = Drawing(252)
    middle = (LEFT + RIGHT) / 2
    across = (RIGHT - LEFT) / 2 / REACH
    zero = CURVE_FLOOR - 18
    up = (zero - CURVE_TOP) / REACH
    at = np.linspace(-REACH, REACH, 141)
    silu = at / (1 + np.exp(-at))
    points = [
        f"{middle + x * across:.4g} {zero - y * up:.4g}" for x, y in zip(at, silu, strict=True)
    ]
    drawing.path(
        f"M{LEFT} {zero}H{RIGHT}M{middle} {CURVE_TOP}V{CURVE_FLOOR}", strength=0.3, thick=1
    )
    drawing.path(f"M{middle} {zero}L{RIGHT} {CURVE_TOP}", strength=0.45, dashes="4 5")
    drawing.path("M" + "L".join(points), colour=ACCENT, thick=3)
    drawing.text(LEFT, CURVE_TOP + 4, "SiLU(x)", weight=600, colour=ACCENT)
    drawing.text(RIGHT - 62, CURVE_TOP + 12, "x itself", anchor="end", quiet=True)
    for gate in gates:
        x = middle + float(np.clip(gate, -REACH, REACH)) * across
        drawing.path(
            f"M{x:.4g} {RUG - 14}V{RUG + 6}",
            strength=0.5,
            thick=1.2,
            colour=ACCENT if gate > 0 else "currentColor",
        )
    shut = int((gates <= 0).sum())
    drawing.text(LEFT, RUG + 26, f"{shut} gates at zero or below")
    drawing.text(RIGHT, RUG + 26, f"{len(gates) - shut} above", anchor="end", colour=ACCENT)
    for x in (-3, -2, -1, 0, 1, 2, 3):
        drawing.text(
            middle + x * across,
            RUG + 48,
            minus(str(x)),
            anchor="middle",
            size=SMALL,
            quiet=True,
        )
    return drawing.picture(
        f"SiLU, and where the {len(gates)} gates of layer {layer} stand at the last "
        f"“{token_label(token)}”. Model: {model}.",
        "A curve that runs along zero on the left, dips a little below it, and rises towards the "
        f"line x on the right. Of {len(gates)} gates {shut} are at zero or below, from "
        f"{minus(f'{gates.min():.2f}')} to {minus(f'{gates.max():.2f}')}.",
    )
