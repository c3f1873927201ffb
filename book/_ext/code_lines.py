"""Each line of code is an element: one wider than the screen goes on below, indented.

CSS alone cannot tell where a line begins. The text stays what it was: selecting and copying give
the same lines.
"""

import re

from sphinx.application import Sphinx

BLOCK = re.compile(r'(<div class="highlight"><pre>)(?:<span></span>)?(.*?)(</pre>)', re.DOTALL)
POINT = '<span class="o">.</span>'  # a chain of names breaks before one
TAG = re.compile("<[^>]*>")


def lines_of(body: str) -> str:
    """A page whose code is cut into lines; Pygments lets no element reach over the end of one."""
    return BLOCK.sub(lambda found: found[1] + _lines(found[2]) + found[3], body)


def _lines(code: str) -> str:
    return "".join(map(_line, code.splitlines(keepends=True)))


def _line(line: str) -> str:
    text = TAG.sub("", line)
    deep = len(text) - len(text.lstrip(" "))
    style = f' style="--oe-in:{deep}"' if deep and text.strip() else ""
    return f'<span class="oe-line"{style}>{line.replace(POINT, "<wbr>" + POINT)}</span>'


def cut(app: Sphinx, page: str, template: str, context: dict, doctree: object) -> None:
    if body := context.get("body"):
        context["body"] = lines_of(body)


def setup(app: Sphinx) -> dict:
    app.connect("html-page-context", cut)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
