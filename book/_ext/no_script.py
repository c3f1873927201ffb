"""What a page says in an explorer's place to a reader without JavaScript.

myst-nb 1.4 saves a widget as a script element that nothing shows until the page's own script runs.
"""

import re

from sphinx.application import Sphinx

VIEW = re.compile(r'<script type="application/vnd\.jupyter\.widget-view\+json">.*?</script>', re.S)
WORDS = '<noscript><p class="oe-no-script">Here is {}</p></noscript>'
EXPLORER = (
    "an explorer, which needs JavaScript. "
    "The figures and tables beside it say the same for one choice of its controls."
)
FIGURE = "a figure in which the model answers on your sentence: it needs JavaScript."


def say_what_is_missing(app: Sphinx, page: str, template: str, context: dict, doctree) -> None:
    if "body" in context:
        words = WORDS.format(FIGURE if page == app.config.root_doc else EXPLORER)
        context["body"] = VIEW.sub(lambda view: view[0] + words, context["body"])


def setup(app: Sphinx) -> dict:
    app.connect("html-page-context", say_what_is_missing)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
