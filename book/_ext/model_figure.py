"""The directive `model-figure`: what `oe.where_we_are` draws, in a page that is not a notebook."""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from olmo_explain import where_we_are


class ModelFigure(SphinxDirective):
    """Its argument is a MODEL; the drawing follows from that config.json."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        picture = where_we_are(model=self.arguments[0])
        return [nodes.raw("", picture._repr_html_(), format="html")]


def setup(app: Sphinx) -> dict:
    app.add_directive("model-figure", ModelFigure)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
