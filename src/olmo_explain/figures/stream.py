"""The residual stream at one token: how large it is, and what each sublayer adds to it."""

from collections.abc import Sequence

from olmo_explain.figures.drawing import ACCENT, SMALL, Drawing, token_label
from olmo_explain.figures.picture import Picture

LEFT, RIGHT = 10, 470
TOP, FLOOR = 34, 122  # of the stream
ADDED_TOP, ADDED_FLOOR = 168, 258  # of what is added


def draw_stream(
    sizes: Sequence[float],
    attention: Sequence[float],
    mlp: Sequence[float],
    normed: float,
    *,
    token: str,
    full: Sequence[int],
    model: str,
) -> Picture:
    """Root mean squares at `token`: of the stream before each layer and after the last (`sizes`,
    one more than there are layers), of what attention and the MLP of each layer add to it, and of
    what the final norm makes of the stream. `full`: the layers that are named so.
    """
    layers = len(attention)
    drawing = Drawing(300)
    column = (RIGHT - LEFT) / (layers + 1)
    _stream(drawing, sizes, normed, column)
    _added(drawing, attention, mlp, column, full)
    loudest = max(range(layers), key=lambda layer: attention[layer])
    others = max(value for layer, value in enumerate(attention) if layer != loudest)
    return drawing.picture(
        f"Root mean square of the stream at the last “{token_label(token)}”, and of what each "
        f"layer adds to it there. Model: {model}.",
        f"Above, the stream grows from {sizes[0]:.2f} to {sizes[-1]:.2f} in {layers} layers, and "
        f"the final norm makes it {normed:.2f}. Below, two bars for each layer, attention and MLP. "
        f"Attention of layer {loudest} adds the most, {attention[loudest]:.2f}; no other attention "
        f"adds more than {others:.2f}. The MLPs add {min(mlp):.2f} to {max(mlp):.2f}.",
    )


def _stream(drawing: Drawing, sizes: Sequence[float], normed: float, column: float) -> None:
    """An area that grows layer by layer; behind a dashed line, what the final norm gives."""
    scale = (FLOOR - TOP) / max(*sizes, normed)
    heights = [FLOOR - size * scale for size in sizes]
    ends = [LEFT + column * layer for layer in range(len(sizes))]
    line = f"M{ends[0]:.4g} {heights[0]:.4g}" + "".join(
        f"L{x:.4g} {y:.4g}" for x, y in zip(ends[1:], heights[1:], strict=True)
    )
    drawing.text(LEFT, 18, "the stream", weight=600)
    drawing.parts.append(f'<path d="{line}V{FLOOR}H{LEFT}Z" fill="{ACCENT}" fill-opacity="0.2"/>')
    drawing.path(line, colour=ACCENT, thick=2.5)
    drawing.path(f"M{LEFT} {FLOOR}H{RIGHT}", strength=0.4, thick=1)
    for x, y in zip(ends, heights, strict=True):
        drawing.circle(x, y, 3, fill=ACCENT)
    drawing.text(ends[0] - 2, heights[0] - 9, f"{sizes[0]:.2f}", weight=600)
    drawing.text(ends[-1] - 6, heights[-1] - 7, f"{sizes[-1]:.2f}", anchor="end", weight=600)
    high = FLOOR - normed * scale
    drawing.rect(ends[-1] + column * 0.32, high, column * 0.5, FLOOR - high, strength=0.3)
    drawing.text(RIGHT + 4, high - 8, f"{normed:.2f} after the norm", anchor="end", weight=600)


def _added(
    drawing: Drawing,
    attention: Sequence[float],
    mlp: Sequence[float],
    column: float,
    full: Sequence[int],
) -> None:
    """Two bars for each layer, from one floor; the largest of each kind bears its number."""
    scale = (ADDED_FLOOR - ADDED_TOP) / max(*attention, *mlp)
    width = column * 0.36
    drawing.text(LEFT, ADDED_TOP - 16, "what each layer adds", weight=600)
    drawing.rect(LEFT + 184, ADDED_TOP - 28, 13, 13, fill=ACCENT)
    drawing.text(LEFT + 202, ADDED_TOP - 16, "attention")
    drawing.rect(LEFT + 284, ADDED_TOP - 28, 13, 13, strength=0.45)
    drawing.text(LEFT + 302, ADDED_TOP - 16, "MLP")
    drawing.path(f"M{LEFT} {ADDED_FLOOR}H{LEFT + column * len(mlp):.4g}", strength=0.4, thick=1)
    for layer, pair in enumerate(zip(attention, mlp, strict=True)):
        x = LEFT + column * layer + column * 0.1
        kinds = (x, ACCENT, 1.0, attention), (x + width + 2, "currentColor", 0.45, mlp)
        for value, (start, fill, strength, kind) in zip(pair, kinds, strict=True):
            high = value * scale
            drawing.rect(start, ADDED_FLOOR - high, width, high, fill=fill, strength=strength)
            if value == max(kind):
                end, side = (start + width, "end") if kind is attention else (start, "start")
                said = f"{value:.2f}"
                drawing.text(end, ADDED_FLOOR - high - 5, said, anchor=side, weight=600)
        drawing.text(
            x + width + 1,
            ADDED_FLOOR + 17,
            str(layer),
            anchor="middle",
            weight=600 if layer in full else 400,
        )
        if layer in full:
            drawing.text(
                x + width + 1, ADDED_FLOOR + 33, "full", anchor="middle", size=SMALL, quiet=True
            )
    drawing.text(RIGHT, ADDED_FLOOR + 17, "layer", anchor="end", quiet=True)
