"""A word of the glossary is a link where a page first uses it, with its sentence as the title.

term-card.js shows that sentence where the word stands.

The chapters stay plain Markdown, which Jupyter shows as it is: no role marks a term. Once all pages
are read, this looks through the prose of each: not through headings, code, links, tables, captions
or what a `<details>` hides. A name from the code, such as `o_proj`, counts where it is set as code.
"""

import re
from collections.abc import Iterator

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

NOT_PROSE = (
    nodes.title,
    nodes.rubric,
    nodes.term,
    nodes.reference,
    nodes.caption,
    nodes.table,
    nodes.image,
    nodes.math,
    nodes.math_block,
    nodes.citation,
    nodes.FixedTextElement,  # code blocks
    addnodes.desc,  # what the API page takes from docstrings
    addnodes.glossary,
    addnodes.pending_xref,
)
# Everyday words as well: meant as terms where another of the group stands in the same paragraph.
TOGETHER = [{"query", "key", "value"}]
CODE_NAME = re.compile(r"[a-z]|\w*[_.]\w*")


def plural(term: str) -> str:
    if term.endswith("y") and term[-2] not in "aeiou":
        return term[:-1] + "ies"
    return term if term.endswith("s") else term + "s"


class Terms:
    """The glossary: which words in a text are terms, whatever their number and first letter."""

    def __init__(self, terms: dict[str, tuple[str, str]]):
        """`terms`: by term as the glossary spells it, the page and the anchor that explain it."""
        self.places = terms
        self._terms = {}
        for term in terms:
            if not CODE_NAME.fullmatch(term):
                self._terms |= dict.fromkeys(_spellings(term), term)
        words = sorted(self._terms, key=len, reverse=True)  # "KV cache" before "cache"
        self._pattern = re.compile(
            r"(?<![\w/-])(" + "|".join(map(re.escape, words)) + r")(?![\w/-])"
        )

    def found(self, text: str) -> Iterator[tuple[re.Match, str]]:
        for match in self._pattern.finditer(text):
            yield match, self._terms[match[0]]

    def is_code_name(self, text: str) -> bool:
        return text in self.places and bool(CODE_NAME.fullmatch(text))


def _spellings(term: str) -> set[str]:
    both = {term, plural(term)}
    return both | {word[0].upper() + word[1:] for word in both}


def link_first_uses(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    places = glossary(app)
    if not places or docname in {page for page, _ in places.values()}:
        return
    terms, used, said_there = Terms(places), set(), sentences(app)

    def reference(text: str, term: str, child: nodes.Node) -> nodes.reference:
        used.add(term)
        page, anchor = places[term]
        address = f"{app.builder.get_relative_uri(docname, page)}#{anchor}"
        more = {"reftitle": said_there[anchor], "classes": ["oe-term"]}
        return nodes.reference(text, "", child, internal=True, refuri=address, **more)

    for paragraph in _prose(doctree):
        said = {term for _, term in terms.found(paragraph.astext())}
        alone = {t for group in TOGETHER if len(said & group) == 1 for t in group}
        for node in _words(paragraph):
            if isinstance(node, nodes.literal):
                name = node.astext()
                if terms.is_code_name(name) and name not in used:
                    node.parent.replace(node, reference(name, name, node.deepcopy()))
                continue
            text, at, pieces = node.astext(), 0, []
            for match, term in terms.found(text):
                if term not in used | alone:
                    pieces.append(nodes.Text(text[at : match.start()]))
                    pieces.append(reference(match[0], term, nodes.Text(match[0])))
                    at = match.end()
            if pieces:
                node.parent.replace(node, [*pieces, nodes.Text(text[at:])])


def glossary(app: Sphinx) -> dict[str, tuple[str, str]]:
    """Where each term is explained: {term: (page, anchor)}."""
    objects = app.env.get_domain("std").get_objects()
    return {name: (page, anchor) for name, _, kind, page, anchor, _ in objects if kind == "term"}


def sentences(app: Sphinx) -> dict[str, str]:
    """What the glossary says of each term, by anchor."""
    said = {}
    for page in {page for page, _ in glossary(app).values()}:
        for item in app.env.get_doctree(page).findall(nodes.definition_list_item):
            text = " ".join(item[-1].astext().split())
            said |= {anchor: text for term in item.findall(nodes.term) for anchor in term["ids"]}
    return said


def _prose(doctree: nodes.document) -> Iterator[nodes.paragraph]:
    """The paragraphs and list items that a reader sees at once, in order."""
    hidden = 0
    for node in doctree.findall():
        if isinstance(node, nodes.raw):
            hidden += node.astext().count("<details") - node.astext().count("</details")
        elif isinstance(node, nodes.paragraph) and not hidden and not _within(node, NOT_PROSE):
            yield node


def _words(paragraph: nodes.paragraph) -> list[nodes.Node]:
    """Its text and its inline code, less what is a link or a formula already."""
    found = paragraph.findall(lambda n: isinstance(n, (nodes.Text, nodes.literal)))
    return [node for node in found if not _within(node, (*NOT_PROSE, nodes.literal))]


def _within(node: nodes.Node, kinds: tuple[type, ...]) -> bool:
    while node := node.parent:
        if isinstance(node, kinds):
            return True
    return False


def setup(app: Sphinx) -> dict:
    app.connect("doctree-resolved", link_first_uses)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
