"""The directive `live-figure`: `oe.explore_model("tiny")` in a page that is not a notebook.

It is saved into the page as myst-nb 1.4 saves the widgets of a notebook.
"""

import json
from importlib.resources import files
from pathlib import Path

from docutils import nodes
from ipywidgets.embed import embed_data
from myst_nb.core.render import WIDGET_STATE_MIMETYPE, WIDGET_VIEW_MIMETYPE
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from olmo_explain import explore_model


class LiveFigure(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        figure = explore_model("tiny")
        saved = embed_data(views=[figure], drop_defaults=False)
        body = json.dumps(saved["manager_state"]).replace("</", r"<\/")
        state = {"type": WIDGET_STATE_MIMETYPE, "body": body}
        self._add("ipywidgets_state", None, state)
        for at, (path, options) in enumerate(self.config.nb_ipywidgets_js.items()):
            self._add(f"ipywidgets_{at}", path, options)
        for part in files("olmo_explain.explorers").iterdir():
            self.env.note_dependency(str(Path(str(part))))
        view = json.dumps(saved["view_specs"][0])
        script = f'<script type="{WIDGET_VIEW_MIMETYPE}">{view}</script>'
        stage = f'<div id="your-sentence" class="oe-stage">{script}</div>'
        return [nodes.raw("", stage, format="html")]

    def _add(self, key: str, path: str | None, options: dict) -> None:
        NbMetadataCollector.add_js_file(self.env, self.env.docname, key, path, options)


def setup(app: Sphinx) -> dict:
    app.add_directive("live-figure", LiveFigure)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
