"""A number and its sign stand in one line: "74 %" is not broken before the sign."""

from docutils import nodes
from sphinx.application import Sphinx


def keep_together(app: Sphinx, doctree: nodes.document, name: str) -> None:
    for text in list(doctree.findall(nodes.Text)):
        if " %" in text and not isinstance(text.parent, nodes.literal | nodes.literal_block):
            text.parent.replace(text, nodes.Text(text.replace(" %", "\N{NO-BREAK SPACE}%")))


def setup(app: Sphinx) -> dict:
    app.connect("doctree-resolved", keep_together)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
