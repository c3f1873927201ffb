"""Tables that read well in a notebook and in a published page."""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Table:
    """Rows under named columns. Whole numbers are written with thousands separators.

    >>> Table(("tensor", "parameters"), [("norm", 4096)], "One norm").to_text()
    'tensor  parameters\\nnorm         4,096'
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    caption: str

    def _repr_html_(self) -> str:
        head = "".join(
            f'<th scope="col"{_align(column)}>{html.escape(name)}</th>'
            for name, column in zip(self.columns, self._by_column(), strict=True)
        )
        body = "".join(f"<tr>{self._row(row)}</tr>" for row in self.rows)
        return (
            f'<div class="oe-table"><table><caption>{html.escape(self.caption)}</caption>'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        )

    def _row(self, row: Sequence[Any]) -> str:
        first, *others = row
        aligned = [_align(column) for column in self._by_column()[1:]]
        cells = "".join(
            f"<td{align}>{html.escape(_text(value))}</td>"
            for value, align in zip(others, aligned, strict=True)
        )
        return f'<th scope="row">{html.escape(_text(first))}</th>{cells}'

    def to_text(self) -> str:
        """The same as plain text, columns aligned."""
        lines = [list(self.columns), *([_text(value) for value in row] for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        numeric = [bool(_align(column)) for column in self._by_column()]
        return "\n".join(
            "  ".join(
                text.rjust(width) if right else text.ljust(width)
                for text, width, right in zip(line, widths, numeric, strict=True)
            ).rstrip()
            for line in lines
        )

    __repr__ = to_text

    def _by_column(self) -> list[tuple]:
        return list(zip(*self.rows, strict=True)) or [()] * len(self.columns)


def table(rows: Iterable[Sequence[Any]], columns: Sequence[str], caption: str) -> Table:
    """A table to look at: `table([("q_proj", (4096, 4096))], ["tensor", "shape"], "Shapes")`."""
    return Table(list(columns), [tuple(row) for row in rows], caption)


def _align(values: Iterable[Any]) -> str:
    there = [value for value in values if value is not None]
    numeric = there and all(isinstance(v, int | float) and not isinstance(v, bool) for v in there)
    return ' class="oe-number"' if numeric else ""


def _text(value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.6g}"
        case tuple():
            return " × ".join(f"{size:,}" if isinstance(size, int) else str(size) for size in value)
        case None:
            return "–"
    return str(value)
