"""The norms of all heads as heat maps; caption and alt text are computed with the drawing."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from olmo_explain.checkpoint import OlmoConfig
from olmo_explain.figures.drawing import ACCENT, SMALL, WIDTH, Drawing
from olmo_explain.figures.picture import Picture

LEFT, TOP, GAP, BELOW = 58, 24, 16, 44
LARGEST = 26  # of a square's side
SHADES = 24  # squares of one shade are one path: a 7B has 4,096 of them


def plot_head_norms(
    norms: Mapping[str, Float[np.ndarray, "layer head"]], config: OlmoConfig, model: str
) -> Picture:
    """A heat map of layers × heads for each projection, on one scale of greens."""
    low = float(min(values.min() for values in norms.values()))
    high = float(max(values.max() for values in norms.values()))
    layers = config.num_hidden_layers
    heads = max(values.shape[1] for values in norms.values())
    in_a_row = min(len(norms), 4 if heads <= 8 else 2)
    side = min(LARGEST, ((WIDTH - LEFT + GAP) / in_a_row - GAP) / heads)
    tall = TOP + side * layers + BELOW
    rows = -(-len(norms) // in_a_row)
    drawing = Drawing(tall * rows + 26)
    for at, (name, values) in enumerate(norms.items()):
        x = LEFT + at % in_a_row * (side * heads + GAP)
        y = at // in_a_row * tall + TOP
        drawing.text(x, y - 9, name, mono=True, size=SMALL, weight=600)
        _squares(drawing, x, y, side, values, low, high)
        if at % in_a_row == 0:
            for layer in _named_layers(config):
                full = layer in config.full_attention_layers
                words = f"full {layer}" if full else f"{layer}"
                where = LEFT - 8, y + side * (layer + 0.5) + 5
                drawing.text(*where, words, anchor="end", size=SMALL, quiet=not full)
        last = values.shape[1] - 1
        below = y + side * layers + 18
        drawing.text(x, below, "head 0" if last else "one head", size=SMALL, quiet=True)
        if last:
            drawing.text(x + side * (last + 1), below, f"{last}", anchor="end", size=SMALL)
    _legend(drawing, tall * rows + 16, low, high)
    ranges = ", ".join(f"{k} {v.min():.2f} to {v.max():.2f}" for k, v in norms.items())
    return drawing.picture(
        f"Frobenius norm of every head's slice, a layer in each row. Model: {model}.",
        f"{len(norms)} heat maps of layers by heads, one a projection. Norms: {ranges}.",
    )


def _squares(
    drawing: Drawing, x: float, y: float, side: float, values: np.ndarray, low: float, high: float
) -> None:
    """The ground, and on it the accent, the stronger the larger the norm."""
    layers, heads = values.shape
    drawing.rect(x, y, side * heads, side * layers, fill="var(--oe-sunken, #8882)")
    shades = np.rint(SHADES * ((values - low) / ((high - low) or 1.0)) ** 0.6).astype(int)
    inner = f"{max(side - 1, 0.8 * side):.3g}"  # a line between two squares
    for shade in range(1, SHADES + 1):
        steps = "".join(
            f"M{x + side * head:.4g} {y + side * layer:.4g}h{inner}v{inner}h-{inner}z"
            for layer, head in np.argwhere(shades == shade)
        )
        if steps:
            drawing.parts.append(
                f'<path d="{steps}" fill="{ACCENT}" fill-opacity="{shade / SHADES:.2g}"/>'
            )


def _legend(drawing: Drawing, y: float, low: float, high: float) -> None:
    drawing.text(LEFT - 8, y, f"{low:.2f}", anchor="end", size=SMALL)
    for shade in range(SHADES + 1):
        share = (shade / SHADES) ** 0.6
        drawing.rect(LEFT + 4 * shade, y - 12, 4, 14, fill=ACCENT, strength=share, radius=0)
    drawing.text(LEFT + 4 * SHADES + 12, y, f"{high:.2f}", size=SMALL)


def _named_layers(config: OlmoConfig) -> range | list[int]:
    """Every layer of a small model, the full-attention ones of a large."""
    layers = config.num_hidden_layers
    return range(layers) if layers <= 12 else list(config.full_attention_layers)
