"""The sitemap names every page of the book.

sphinx-sitemap 2.9.0 names what a build writes: after a second build, only the pages that changed.
"""

from sphinx.application import Sphinx


def name_every_page(app: Sphinx, exception: Exception | None) -> None:
    if exception or app.builder.format != "html":
        return
    links = app.sitemap_links
    while not links.empty():
        links.get()
    for name in sorted(app.env.found_docs):
        links.put((app.builder.get_target_uri(name), None))


def setup(app: Sphinx) -> dict:
    app.connect("build-finished", name_every_page, priority=400)  # before it is written
    return {"parallel_read_safe": True, "parallel_write_safe": True}
