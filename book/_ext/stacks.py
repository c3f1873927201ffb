"""A table wider than a phone becomes a stack there: each row a card, each value with its name.

In any table a long name may break behind a point, an underscore or a stroke, and nowhere else; a
command breaks between its words, a short one not at all.

Whether it fits follows from its words, since CSS cannot ask. A cell carries the name of its column,
which the style sheet writes before it.
"""

import html
import re

from sphinx.application import Sphinx

TABLE = re.compile(r"<table(?: [^>]*)?>.*?</table>", re.DOTALL)
ROW = re.compile(r"<tr[ >].*?</tr>", re.DOTALL)
CELL = re.compile(r"<(t[hd])((?: [^>]*)?)>(.*?)</\1>", re.DOTALL)
TAG = re.compile(r"<[^>]*>|\\[()]")
LONG = re.compile(r"(?<![\w./*<&])[\w./*]{20,}(?![^<]*>)")
CODE = re.compile(r'<code class="(?=docutils literal)(.*?)</code>', re.DOTALL)
SHORT = 16  # letters of code that stay in one line
ACROSS = 47  # letters side by side on a phone, all columns together
WISH = 16  # letters that a column of sentences should have before it breaks them


def stacked(body: str) -> str:
    return TABLE.sub(lambda found: _table(found[0]), body)


def _table(table: str) -> str:
    table = LONG.sub(lambda name: re.sub(r"[._/](?=\w)", r"\g<0><wbr>", name[0]), table)
    table = CODE.sub(_short, table)
    head, found, body = table.partition("</thead>")
    names = [_text(cell) for _, _, cell in CELL.findall(head)]
    rows = [[_text(cell) for _, _, cell in CELL.findall(row)] for row in ROW.findall(body)]
    if not (found and rows) or len(names) < 2 or any(len(row) != len(names) for row in rows):
        return table  # one with cells that span columns
    columns = zip(names, zip(*rows, strict=True), strict=True)
    if sum(_wide(name, cells) + 2 for name, cells in columns) <= ACROSS:
        return table

    def name_cells(row: re.Match) -> str:
        waiting = iter(names)
        return CELL.sub(lambda cell: _named(cell, next(waiting)), row[0])

    head = re.sub("<table", '<table data-stacks=""', head, count=1)
    return f"{head}</thead>{ROW.sub(name_cells, body)}"


def _named(cell: re.Match, name: str) -> str:
    kind, given, inside = cell.groups()
    named = f' data-of="{html.escape(name)}"' if _text(inside) else ""  # an empty one is left out
    return f"<{kind}{given}{named}><div>{inside}</div></{kind}>"


def _short(code: re.Match) -> str:
    return f'<code class="oe-short {code[1]}</code>' if len(_text(code[0])) <= SHORT else code[0]


def _wide(name: str, cells: tuple[str, ...]) -> int:
    """The letters that a column cannot do without, or would not like to."""
    words = max(len(word) for text in (name, *cells) for word in text.split() or [""])
    return max(words, min(WISH, max(map(len, cells))))


def _text(cell: str) -> str:
    return html.unescape(TAG.sub("", cell)).strip()


def name_cells(app: Sphinx, page: str, template: str, context: dict, doctree: object) -> None:
    if body := context.get("body"):
        context["body"] = stacked(body)


def setup(app: Sphinx) -> dict:
    app.connect("html-page-context", name_cells)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
