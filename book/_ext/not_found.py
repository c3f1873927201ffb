"""The page for what is not found, whole wherever the book is published.

A server sends it in the place of any address, so no relative link holds. sphinx-notfound-page makes
its links start at where the book is meant to be published; under another address they would lead
nowhere, and the page would stand there without its style. So its style is in it, and its script
looks for the folder in which the book lies.
"""

from pathlib import Path
from urllib.parse import quote

from sphinx.application import Sphinx

from olmo_explain.figures import LOOK

FAVICON = Path(__file__).parents[1] / "_static" / "favicon.svg"
NO_SCRIPT = "@media (scripting: none) { form { display: none !important; } }"  # search needs one


def fill(app: Sphinx, page: str, template: str, context: dict, doctree) -> None:
    if page == app.config.notfound_pagename:
        names = [app.config.root_doc, *(n for n in sorted(app.env.found_docs) if "notebooks/" in n)]
        pages = {name: app.env.titles[name].astext() for name in names}
        pages[app.config.root_doc] = "The first page"
        context["icon"] = f"data:image/svg+xml,{quote(FAVICON.read_text(encoding='utf-8'))}"
        context["look"] = f"{LOOK}\n{NO_SCRIPT}"
        context["base"] = app.config.notfound_urls_prefix
        context["pages"] = [(app.builder.get_target_uri(n), title) for n, title in pages.items()]


def setup(app: Sphinx) -> dict:
    app.connect("html-page-context", fill, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
