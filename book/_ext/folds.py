"""A fold is announced by the words on it.

myst-nb 1.4 gives the summary of every folded cell the label "Toggle hidden content", which a screen
reader says in place of "The code of this picture" or "Solution".
"""

from sphinx.application import Sphinx

LABEL = ' aria-label="Toggle hidden content"'


def drop_label(app: Sphinx, page: str, template: str, context: dict, doctree: object) -> None:
    if body := context.get("body"):
        context["body"] = body.replace(LABEL, "")


def setup(app: Sphinx) -> dict:
    app.connect("html-page-context", drop_label)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
