"""The bibliography with roles that are still in use.

docutils 0.21 gives each entry the role doc-biblioentry, which DPUB-ARIA has deprecated and which
the list around it may not hold (axe: aria-deprecated-role, aria-allowed-role,
aria-required-children).
"""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator


def visit_citation(self: HTML5Translator, node: nodes.citation) -> None:
    HTML5Translator.visit_citation(self, node)
    self.body[-1] = self.body[-1].replace('role="doc-biblioentry"', 'role="listitem"')


def setup(app: Sphinx) -> dict:
    html = (visit_citation, HTML5Translator.depart_citation)
    app.add_node(nodes.citation, override=True, html=html)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
