"""The tables of config.json's fields, from the very tables by which it is read.

In a page a line `<!-- config-fields -->` becomes a table for config.json itself, and one for each
kind of object inside it. A field that reading learns is in the book with the next build.
"""

import re
from itertools import groupby

from sphinx.application import Sphinx

from olmo_explain.checkpoint import field_table

MARK = "<!-- config-fields -->"
TITLES = {
    "config.json": "In config.json itself:",
    "RoPE": "In `rope_scaling`, in `rope_parameters`, or in the object there for a layer type:",
    "YaRN": 'In the same object, where its `rope_type` is `"yarn"`:',
}
STRING, CODE = re.compile('"[^"]*"'), r"`\g<0>`"


def write_tables(app: Sphinx, docname: str, source: list[str]) -> None:
    if MARK in source[0]:
        by_object = groupby(field_table(), key=lambda row: row[0])
        tables = (f"{TITLES[where]}\n\n{_table(rows)}" for where, rows in by_object)
        source[0] = source[0].replace(MARK, "\n\n".join(tables))


def _table(rows) -> str:
    lines = ["| field | what it is | what it may hold |", "|---|---|---|"]
    for _, name, must_be, default, means in rows:
        ways = {"": "", "required": "; required"}.get(default, f"; left out: {default}")
        # As code, or typographic quotes would be made of JSON's.
        lines.append(f"| `{name}` | {means} | {STRING.sub(CODE, must_be + ways)} |")
    return "\n".join(lines)


def setup(app: Sphinx) -> dict:
    app.connect("source-read", write_tables)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
