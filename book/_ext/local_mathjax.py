"""MathJax out of a package and into the book: pages typeset their formulas without a network.

Sphinx links a CDN. The PyPI package django-static-mathjax carries all of MathJax 3 (24 MB), of
which a page with TeX input and HTML output needs one script, the fonts, and the TeX extensions
that a formula may ask for (2.1 MB). Sphinx 7.4 adds the script to pages that have a formula, and to
those whose table of contents leads to one: to these it is nothing but weight.
"""

from importlib.resources import as_file, files
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.fileutil import copy_asset

FOLDER = "mathjax"  # under _static
NEEDED = ("tex-chtml.js", "output/chtml/fonts/woff-v2", "input/tex/extensions")


def use_the_copy(app: Sphinx, config: Config) -> None:
    config.mathjax_path = f"{FOLDER}/{NEEDED[0]}"


def only_where_a_formula_is(app: Sphinx, page: str, template: str, context: dict, doctree) -> None:
    if not app.env.get_domain("math").data["has_equations"].get(page):
        files = context["script_files"]
        context["script_files"] = [f for f in files if FOLDER not in str(f.filename)]


def copy_mathjax(app: Sphinx, exception: Exception | None) -> None:
    if exception or app.builder.format != "html":
        return
    with as_file(files("mathjax") / "static" / "mathjax" / "es5") as mathjax:
        for name in NEEDED:
            target = Path(app.outdir, "_static", FOLDER, name)
            folder = target if (mathjax / name).is_dir() else target.parent
            copy_asset(mathjax / name, folder)


def setup(app: Sphinx) -> dict:
    app.connect("config-inited", use_the_copy)
    app.connect("html-page-context", only_where_a_formula_is, priority=900)  # after it was added
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
