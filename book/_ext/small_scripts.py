"""Scripts and styles without what only their readers need: comments and space.

An explorer's module is saved into each page that shows it, as it stands in the package; the files
of the book, of its theme and of Sphinx are copied as they are. What a page weighs before the first
touch is its reader's time.
"""

import json
import re
from functools import cache
from pathlib import Path

from docutils import nodes
from myst_nb.sphinx_ import NbMetadataCollector
from rcssmin import cssmin
from rjsmin import jsmin
from sphinx.application import Sphinx

STATE = "ipywidgets_state"  # what myst-nb 1.4 calls the script that holds it
NESTED = re.compile(r"\$\{[^}`]*`")  # a template within a template, whose spaces rjsmin 1.2 eats


def small_script(text: str) -> str:
    return text if NESTED.search(text) else jsmin(text)


FILES = {".js": small_script, ".css": cssmin}
SMALL = {"_esm": cache(small_script), "_css": cache(cssmin)}


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


def shrink_files(app: Sphinx, exception: Exception | None) -> None:
    if exception or app.builder.format != "html":
        return
    for file in Path(app.outdir, "_static").iterdir():
        if small := FILES.get(file.suffix):
            file.write_text(small(file.read_text(encoding="utf-8")), encoding="utf-8")


def setup(app: Sphinx) -> dict:
    app.connect("doctree-read", shrink)
    app.connect("build-finished", shrink_files)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
