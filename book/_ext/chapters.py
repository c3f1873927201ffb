"""What a chapter says of itself, where a reader meets it: above its title, and on the way there.

A chapter begins with its title, a paragraph that ends in its question, and a line of its minutes
and its model. Plain Jupyter shows these as they stand. Here the line moves above the title, the
places to open the chapter stand below the question, and the question is told where something leads
to the chapter: in the cards before and after, and in the directive `chapter-list`.
"""

import re
from html import escape

from docutils import nodes
from launch_links import buttons
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

FOLDER = "notebooks/"


def chapters(app: Sphinx) -> list[str]:
    return sorted(name for name in app.env.found_docs if name.startswith(FOLDER))


def question(doctree: nodes.document) -> str:
    """The questions at the end of a chapter's first paragraph."""
    text = " ".join(next(doctree.findall(nodes.paragraph)).astext().split())
    asked: list[str] = []
    for sentence in reversed(re.split(r"(?<=[.?!…])\s+", text)):
        if not sentence.endswith("?"):
            break
        asked.insert(0, sentence)
    return " ".join(asked)


def dress(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    if not docname.startswith(FOLDER):
        return
    every, title = chapters(app), next(doctree.findall(nodes.title))
    asks, about = list(doctree.findall(nodes.paragraph))[:2]
    asks["classes"].append("oe-question")
    said = [node.deepcopy() for part in about.children for node in part.children or [part]]
    where = nodes.Text(f"Chapter {every.index(docname) + 1} of {len(every)} · ")
    line = nodes.compound("", nodes.paragraph("", "", where, *said), classes=["oe-meta"])
    title.parent.insert(title.parent.index(title), line)
    number, *words = title.astext().split(" ", 1)
    title[0] = nodes.Text(words[0] if number.rstrip(".").isdigit() else title.astext())
    about.replace_self(nodes.raw("", buttons(app, docname), format="html"))


class ChapterList(SphinxDirective):
    """Every chapter with its question; they come when every chapter is read."""

    def run(self) -> list[nodes.Node]:
        return [Chapters()]


class Chapters(nodes.General, nodes.Element):
    """Where the list will stand."""


def fill(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    for place in doctree.findall(Chapters):
        place.replace_self(nodes.raw("", _list(app, docname), format="html"))


def _list(app: Sphinx, docname: str) -> str:
    lines = []
    for chapter in chapters(app):
        number, title = app.env.titles[chapter].astext().split(". ", 1)
        to = app.builder.get_relative_uri(docname, chapter)
        asks = question(app.env.get_doctree(chapter))
        lines.append(
            f'<li><a href="{to}"><span class="oe-at">{number}</span> '
            f'<strong>{escape(title)}</strong> <span class="oe-asks">{escape(asks)}</span></a></li>'
        )
    return f'<ol class="oe-chapters">{"".join(lines)}</ol>'


def tell_questions(app: Sphinx, page: str, template: str, context: dict, doctree) -> None:
    _, before, after = app.builder.relations.get(page, (None, None, None))
    for way, name in ("prev", before), ("next", after):
        if context.get(way) and name and name.startswith(FOLDER):
            asks = question(app.env.get_doctree(name))
            context[way] = {**context[way], "question": asks}


def setup(app: Sphinx) -> dict:
    app.add_node(Chapters)
    app.add_directive("chapter-list", ChapterList)
    app.connect("doctree-resolved", fill)
    app.connect("doctree-resolved", dress, priority=600)  # once the terms are linked
    app.connect("html-page-context", tell_questions)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
