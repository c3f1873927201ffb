"""One number of a matrix product being made: the vector, one row of weights, product by product."""

import numpy as np
from jaxtyping import Float

from olmo_explain.figures.drawing import ACCENT, Drawing, token_label
from olmo_explain.figures.picture import Picture
from olmo_explain.words import minus

LEFT, RIGHT = 8, 404  # of the bars; right of them stands what comes out
MIDDLES, REACH = (46, 118, 190), 23  # of the three rows of bars, and how far a bar may go
SUM_TOP, SUM_BOTTOM = 240, 292


def draw_dot_product(
    x: Float[np.ndarray, "columns"],
    row: Float[np.ndarray, "columns"],
    *,
    token: str,
    name: str,
    output: int,
    model: str,
) -> Picture:
    """A vector times row `output` of the weight `name`: bars, one below the other, and their sum.

    >>> draw_dot_product(x[4], W[3], token=" France", name="q_proj", output=3, model="tiny").alt
    'A vector of 128 numbers, 128 weights below it, and below each pair its product. …'
    """
    products = x * row
    so_far = np.cumsum(products)
    most = int(np.abs(products).argmax())
    step = (RIGHT - LEFT) / len(x)
    drawing = Drawing(300)
    at = LEFT + (most + 0.5) * step
    drawing.rect(at - 5, MIDDLES[0] - 25, 10, SUM_BOTTOM - MIDDLES[0] + 25, strength=0.12)
    said = (
        f"{token_label(token)}, {len(x)} numbers",
        f"× row {output} of {name}, {len(x)} weights",
        f"= {len(x)} products",
    )
    for middle, words, values in zip(MIDDLES, said, (x, row, products), strict=True):
        _bars(drawing, middle, values, step)
        drawing.text(LEFT, middle - 29, words)
        drawing.text(RIGHT + 12, middle + 5, _signed(values[most]), weight=600)
    _sum(drawing, so_far, step)
    result = _signed(so_far[-1])
    up = int((products > 0).sum())
    return drawing.picture(
        f"One number of {name}, for “{token_label(token)}”: bars down are below zero. "
        f"In grey, the largest product. Model: {model}.",
        f"A vector of {len(x)} numbers, {len(x)} weights below it, and below each pair its "
        f"product. {up} products are above zero, {len(x) - up} are not. The largest is "
        f"{_signed(x[most])} × {_signed(row[most])} = {_signed(products[most])}, at number "
        f"{most}. Added from left to right they come to {result}: that is output {output}.",
    )


def _bars(drawing: Drawing, middle: float, values: np.ndarray, step: float) -> None:
    """A bar for each number, up or down from the middle."""
    scale = REACH / (np.abs(values).max() or 1)
    drawing.path(f"M{LEFT} {middle}H{RIGHT}", strength=0.3, thick=1)
    for i, value in enumerate(values):
        high = abs(value) * scale
        top = middle - high if value > 0 else middle
        fill, strength = (ACCENT, 1) if value > 0 else ("currentColor", 0.55)
        drawing.rect(
            LEFT + i * step, top, step * 0.75, high, fill=fill, strength=strength, radius=0
        )


def _sum(drawing: Drawing, so_far: np.ndarray, step: float) -> None:
    """The sum after each product, a line that ends in the result."""
    low, high = min(0, so_far.min()), max(0, so_far.max())
    scale = (SUM_BOTTOM - SUM_TOP) / ((high - low) or 1)
    height = [SUM_BOTTOM - (value - low) * scale for value in so_far]
    zero = SUM_BOTTOM + low * scale
    drawing.text(LEFT, SUM_TOP - 6, "their sum, as it grows")
    drawing.path(f"M{LEFT} {zero:.4g}H{RIGHT}", strength=0.3, thick=1)
    line = "".join(f"L{LEFT + (i + 0.5) * step:.4g} {y:.4g}" for i, y in enumerate(height))
    drawing.path(f"M{LEFT} {zero:.4g}{line}", colour=ACCENT, thick=2.5)
    end = LEFT + (len(so_far) - 0.5) * step
    drawing.circle(end, height[-1], 5.5, fill=ACCENT)
    drawing.text(end + 12, height[-1] + 7, _signed(so_far[-1]), size=22, weight=700, colour=ACCENT)


def _signed(value: float) -> str:
    return minus(f"{value:.2f}")
