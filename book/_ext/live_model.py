"""`olmo` in every page: a small script in each, and the model beside it for the first call.

Jupyter Book puts the scripts of a source's `_static` into every page, megabytes of weights too.
These are written into the built book, before its pages: Sphinx then gives the small one a version.
"""

from pathlib import Path

from sphinx.application import Sphinx

from olmo_explain.live import page_scripts


def write_scripts(app: Sphinx) -> None:
    if app.builder.format != "html":
        return
    static = Path(app.outdir, "_static")
    for name, text in page_scripts().items():
        path = static / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    app.add_js_file("live.js", loading_method="defer")


def setup(app: Sphinx) -> dict:
    app.connect("builder-inited", write_scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
