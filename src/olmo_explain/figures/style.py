"""Drawing with matplotlib in the page's own colours."""

import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from olmo_explain.figures.picture import Picture

INK = "#010203"  # stands for the page's text colour until the SVG is written
ACCENT, WARM, QUIET = "#12967f", "#d9772b", "#8a8f98"  # ≥ 3:1 on white and on near-black
COLOURS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "olmo-explain",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


@contextmanager
def start(panels: int, height: float, shared: bool = False, width: float = 7.2) -> Iterator[tuple]:
    """A figure of panels side by side, in the page's colours, sizes in inches.

    At a width of 4.8 its words are as large as the page's on a phone.
    """
    with plt.rc_context(COLOURS):
        figure, axes = plt.subplots(
            1, panels, figsize=(width, height), sharey=shared, squeeze=False, layout="constrained"
        )
        yield figure, axes[0]


def finish(figure: Figure, caption: str, alt: str) -> Picture:
    """The finished drawing as SVG, without a size and without a colour of its own for text."""
    with plt.rc_context(COLOURS), io.StringIO() as file:
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
        text = file.getvalue()
    plt.close(figure)
    svg = text[text.index("<svg ") :]
    # Sized by the page, not in points; ids made unique, since a page may hold many figures.
    svg = re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2)
    salt = f"{zlib.crc32(svg.encode()):x}-"
    svg = re.sub(r'(id="|href="#|url\(#)', lambda match: match[1] + salt, svg)
    return Picture(svg.replace(INK, "currentColor"), caption, alt)
