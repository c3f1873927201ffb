"""A fold is announced by the words on it, and says how much code it holds.

myst-nb 1.4 gives the summary of every folded cell the label "Toggle hidden content", which a screen
reader says in place of "The code of this picture" or "Solution"; and it writes the words twice, one
for open and one for closed.
"""

import re

from sphinx.application import Sphinx

LABEL = ' aria-label="Toggle hidden content"'
CODE = re.compile(
    r'(<details class="[^"]*above-input[^"]*">\s*<summary>)\s*<p class="collapsed[^"]*">(.*?)</p>'
    r"\s*<p class=\"expanded.*?</p>\s*(</summary>)(.*?</pre>)",
    re.DOTALL,
)


def mend(body: str) -> str:
    return CODE.sub(_said_once, body.replace(LABEL, ""))


def _said_once(found: re.Match) -> str:
    opening, words, closing, code = found.groups()
    if words == "Solution":  # how long it is tells too much
        return f"{opening}<span>{words}</span>{closing}{code}"
    lines = code.count("\n", code.index("<pre>"))
    many = f"{lines} line{'s' if lines != 1 else ''}"
    return f'{opening}<span>{words}</span> <span class="oe-long">{many}</span>{closing}{code}'


def mend_page(app: Sphinx, page: str, template: str, context: dict, doctree: object) -> None:
    if body := context.get("body"):
        context["body"] = mend(body)


def setup(app: Sphinx) -> dict:
    app.connect("html-page-context", mend_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
