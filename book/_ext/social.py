"""What a page says of itself to search engines and where it is shared: its first sentences.

sphinxext-opengraph 0.13.0 draws the cards, but its own description cuts a sentence anywhere, and
puts a space around all that is emphasised or linked ("a layer ’s steps").
"""

import html
import re
from textwrap import shorten

from docutils import nodes
from sphinx.application import Sphinx
from sphinxext import opengraph


def first_sentences(doctree: nodes.document, length: int, titles: set[str] = frozenset()) -> str:
    """As many whole sentences from the page's start as fit, safe within an attribute."""
    paragraphs = (
        p for p in doctree.findall(nodes.paragraph) if isinstance(p.parent, nodes.section)
    )
    text = " ".join(" ".join(p.astext().split()) for p in paragraphs)
    said = ""
    for sentence in re.split(r"(?<=[.?!])\s+", text):
        longer = f"{said} {sentence}".strip()
        if len(longer) > length:
            break
        said = longer
    return html.escape(said or shorten(text, length, placeholder=" …"))


def setup(app: Sphinx) -> dict:
    opengraph.get_description = first_sentences
    return {"parallel_read_safe": True, "parallel_write_safe": True}
