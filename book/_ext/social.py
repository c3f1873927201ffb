"""What a page says of itself to search engines and where it is shared: its first sentences.

sphinxext-opengraph 0.13.0 writes what a page says into its head and keeps its cards. Its own
description cuts a sentence anywhere, and puts a space around all that is emphasised or linked ("a
layer ’s steps"); its own card has another project's sign on it. So both are made here.
"""

import html
import re
from pathlib import Path
from textwrap import fill, shorten

from docutils import nodes
from look import FONTS, source
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyBboxPatch, Rectangle
from sphinx.application import Sphinx
from sphinxext import opengraph
from sphinxext.opengraph import _social_cards

PAPER, INK, MUTED, ACCENT = "#ffffff", "#14201d", "#53615d", "#0b6b5e"
# The squares of templates/mark.svg, by column and row.
MARK = {
    (0, 0): 1,
    (0, 1): 0.35,
    (1, 1): 1,
    (0, 2): 0.7,
    (1, 2): 0.3,
    (2, 2): 1,
}
CITED = re.compile(r"\s*\[[A-Z]\w*\d\d\]")  # what a citation is in plain text


def first_sentences(doctree: nodes.document, length: int, titles: set[str] = frozenset()) -> str:
    """As many whole sentences from the page's start as fit, safe within an attribute."""
    every = [p for p in doctree.findall(nodes.paragraph) if isinstance(p.parent, nodes.section)]
    first = [p for p in every if p.parent is every[0].parent]  # before the first heading
    text = " ".join(" ".join(p.astext().split()) for p in first)
    text, said = CITED.sub("", text), ""
    for sentence in re.split(r"(?<=[.?!])\s+", text):
        longer = f"{said} {sentence}".strip()
        if len(longer) > length:
            break
        said = longer
    return html.escape(said or shorten(text, length, placeholder=" …"))


def letters(name: str, size: float) -> FontProperties:
    family, file, *_ = FONTS[name]
    return FontProperties(fname=str(source(family, file)), size=size)


def draw_card(path: Path, site: str, title: str, description: str, address: str, _: object) -> None:
    figure = Figure(figsize=(12, 6.28), dpi=100, facecolor=PAPER)
    for (column, row), share in MARK.items():
        place = 0.06 + 0.02 * column, 0.895 - 0.02 * 12 / 6.28 * row
        figure.add_artist(
            FancyBboxPatch(
                place,
                0.015,
                0.0285,
                boxstyle="round,pad=0,rounding_size=0.002",
                transform=figure.transFigure,
                facecolor=ACCENT,
                edgecolor="none",
                alpha=share,
            )
        )
    figure.text(0.135, 0.885, site, font=letters("sans", 26), color=INK, va="center")
    shown = fill(html.unescape(title), 30)
    figure.text(0.06, 0.74, shown, font=letters("serif", 54), color=INK, va="top", linespacing=1.15)
    said = fill(shorten(html.unescape(description), 204, placeholder=" …"), 68)
    figure.text(
        0.06, 0.12, said, font=letters("sans", 22), color=MUTED, va="bottom", linespacing=1.4
    )
    figure.add_artist(Rectangle((0, 0), 1, 0.03, transform=figure.transFigure, color=ACCENT))
    figure.savefig(path)


def setup(app: Sphinx) -> dict:
    _social_cards.create_social_card_objects = lambda **_: None
    _social_cards.render_social_card = draw_card
    opengraph.get_description = first_sentences
    return {"parallel_read_safe": True, "parallel_write_safe": True}
