"""The front page's own directives: `facts`, three numbers, and `calls`, one square a module call.

Their numbers are those of the package: the size of `tiny` from its config.json, the pages of the
book, and the calls from a trace of the 7B, which needs its config.json and no weights.
"""

from html import escape

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from olmo_explain import load, read_config, trace

FACTS = """<dl class="oe-facts">
<dt>{parameters:,}</dt>
<dd>numbers in <strong>tiny</strong>, an OLMo 3 trained on Shakespeare’s plays</dd>
<dt>{chapters}</dt><dd>chapters, and every number in them is computed</dd>
<dt>0</dt><dd>servers: nothing that you type leaves this page</dd>
</dl>"""
FRAMED = 'class="oe-missing"'
SQUARE, WIDTH = 14, 40  # pixels from one to the next, squares in a row


class Facts(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        pages = [name for name in self.env.found_docs if name.startswith("notebooks/")]
        parameters = read_config("tiny").parameters
        words = FACTS.format(parameters=parameters, chapters=len(pages))
        return [nodes.raw("", words, format="html")]


class Calls(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        model, _ = load("olmo3-7b")  # on the meta device: its shapes
        paths = [call.path for call in trace(model, [[1, 2]]).calls]
        return [nodes.raw("", drawing(paths), format="html")]


def drawing(paths: list[str]) -> str:
    """Every call a square, in the order in which they ran; the second of RoPE is framed."""
    missing = [at for at, path in enumerate(paths) if path.endswith("rotary_emb")][1]
    squares = "".join(
        f'<rect x="{x * SQUARE + 1}" y="{y * SQUARE + 1}" width="11" height="11" rx="2" '
        f"{FRAMED if y * WIDTH + x == missing else ''}/>"
        for y, x in (divmod(at, WIDTH) for at in range(len(paths)))
    )
    rows = -(-len(paths) // WIDTH)
    words = (
        f"{len(paths)} squares, one a call of a module of OLMo 3 7B, in the order in which they "
        f"ran. Number {missing + 1} is framed: the second call of rotary_emb, which a report did "
        "not count."
    )
    return (
        f'<figure class="oe-calls"><svg viewBox="0 0 {WIDTH * SQUARE} {rows * SQUARE}" role="img" '
        f'aria-label="{escape(words)}">{squares}</svg><figcaption>{len(paths):,} calls, traced on '
        "the 7B config without weights. The framed one is missing in the report.</figcaption>"
        "</figure>"
    )


def setup(app: Sphinx) -> dict:
    app.add_directive("facts", Facts)
    app.add_directive("calls", Calls)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
