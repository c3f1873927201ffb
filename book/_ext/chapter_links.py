"""A link to a chapter in what a cell shows (`05_attention.ipynb`) leads to its page in the book.

Sphinx follows the links of prose only; what a cell shows is raw HTML to it.
"""

import re

from docutils import nodes
from sphinx.application import Sphinx

CHAPTER = re.compile(r'(href="\d\d_\w+)\.ipynb(?=["#])')


def lead_to_pages(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    for shown in doctree.findall(nodes.raw):
        if ".ipynb" in shown.astext():
            text = CHAPTER.sub(r"\1.html", shown.astext())
            shown.replace_self(nodes.raw("", text, format=shown["format"]))


def setup(app: Sphinx) -> dict:
    app.connect("doctree-resolved", lead_to_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
