"""Scripts and styles of explorers without what only their readers need: comments and space.

An explorer's module is saved into each page that shows it, as it stands in the package. What a page
weighs before the first touch is its reader's time.
"""

import json
from functools import cache

from docutils import nodes
from myst_nb.sphinx_ import NbMetadataCollector
from rcssmin import cssmin
from rjsmin import jsmin
from sphinx.application import Sphinx

STATE = "ipywidgets_state"  # what myst-nb 1.4 calls the script that holds it
SMALL = {"_esm": cache(jsmin), "_css": cache(cssmin)}


def shrink(app: Sphinx, doctree: nodes.document) -> None:
    env = app.env
    if env.docname not in getattr(env, "nb_metadata", {}):
        return
    uri, script = NbMetadataCollector.get_js_files(env, env.docname).get(STATE, (None, None))
    if script is None:
        return
    saved = json.loads(script["body"])
    for widget in saved["state"].values():
        for name, small in SMALL.items():
            if text := widget["state"].get(name):
                widget["state"][name] = small(text)
    body = json.dumps(saved, separators=(",", ":"), ensure_ascii=False).replace("</", r"<\/")
    NbMetadataCollector.add_js_file(env, env.docname, STATE, uri, script | {"body": body})


def setup(app: Sphinx) -> dict:
    app.connect("doctree-read", shrink)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
