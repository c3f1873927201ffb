"""Where one head lies in four matrices: bands of rows, and a stripe of columns."""

from collections.abc import Mapping

from olmo_explain.checkpoint import HeadSlice, OlmoConfig
from olmo_explain.figures.drawing import ACCENT, SMALL, WIDTH, Drawing
from olmo_explain.figures.picture import Picture

GAP, TOP = 34, 30
MOST = 64  # of more heads every one would be less than two pixels high


def draw_bands(
    slices: Mapping[str, HeadSlice], config: OlmoConfig, norms: Mapping[str, float], model: str
) -> Picture:
    """The four matrices as squares, cut as `head_slices` gave it, with a norm below each."""
    size = (WIDTH - (len(slices) - 1) * GAP) / len(slices)
    drawing = Drawing(TOP + size + 62)
    for number, (name, part) in enumerate(slices.items()):
        x = number * (size + GAP)
        whole = config.shapes[part.tensor][part.axis]
        drawing.text(x + size / 2, 17, name, anchor="middle", weight=600, mono=True, size=SMALL)
        drawing.rect(x, TOP, size, size, strength=0.07)
        width = part.stop - part.start
        if whole // width <= MOST:
            _cut(drawing, x, size, whole // width, part.axis)
        start, length = size * part.start / whole, size * width / whole
        box = (x, TOP + start, size, length) if part.axis == 0 else (x + start, TOP, length, size)
        drawing.rect(*box, fill=ACCENT, radius=0)
        drawing.text(
            x + size / 2, TOP + size + 20, f"{part.start:,}–{part.stop - 1:,}", anchor="middle",
            size=SMALL,
        )  # fmt: skip
        if name in norms:
            drawing.text(
                x + size / 2, TOP + size + 43, f"norm {norms[name]:.2f}", anchor="middle",
                size=SMALL, weight=600, colour=ACCENT,
            )  # fmt: skip
    where = ", ".join(
        f"{('rows', 'columns')[part.axis]} {part.start:,} to {part.stop - 1:,} of {name}"
        for name, part in slices.items()
    )
    said = ", ".join(f"{name} {norm:.2f}" for name, norm in norms.items())
    return drawing.picture(
        f"One head in the four matrices of its layer. {model}.",
        f"Four squares. Lit is one band in each: {where}." + (f" Norms: {said}." if said else ""),
    )


def _cut(drawing: Drawing, x: float, size: float, parts: int, axis: int) -> None:
    """Thin lines between the heads."""
    steps = ""
    for number in range(1, parts):
        at = size * number / parts
        steps += (
            f"M{x:.4g} {TOP + at:.4g}h{size:.4g}"
            if axis == 0
            else f"M{x + at:.4g} {TOP}v{size:.4g}"
        )
    drawing.path(steps, strength=0.16, thick=0.7)
