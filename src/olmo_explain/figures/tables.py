"""Tables that read well in a notebook and in a published page."""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from olmo_explain.errors import UsageError
from olmo_explain.words import quoted, text

MOST = 100_000  # rows, or columns; what is given may have no end


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
        aligned = [' class="oe-number"' if numeric else "" for numeric in self._numeric()]
        head = "".join(
            f'<th scope="col"{align}>{html.escape(name)}</th>'
            for name, align in zip(self.columns, aligned, strict=True)
        )
        body = "".join(f"<tr>{_row(row, aligned)}</tr>" for row in self.rows)
        return (
            f'<div class="oe-table"><table><caption>{html.escape(self.caption)}</caption>'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        )

    def to_text(self) -> str:
        """The same as plain text, columns aligned."""
        lines = [list(self.columns), *([text(value) for value in row] for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        numeric = self._numeric()
        return "\n".join(
            "  ".join(
                cell.rjust(width) if right else cell.ljust(width)
                for cell, width, right in zip(line, widths, numeric, strict=True)
            ).rstrip()
            for line in lines
        )

    __repr__ = to_text

    def _numeric(self) -> list[bool]:
        """Of each column, whether it holds numbers, which stand to the right."""
        columns = zip(*self.rows, strict=True) if self.rows else [()] * len(self.columns)
        return [_are_numbers(column) for column in columns]


def table(rows: Iterable[Sequence[Any]], columns: Sequence[str], caption: str) -> Table:
    """A table to look at: `table([("q_proj", (4096, 4096))], ["tensor", "shape"], "Shapes")`.

    UsageError where a row has not one value for each column.
    """
    try:
        names = list(map(_name, islice(columns, MOST)))
        values = []
        for number, row in enumerate(islice(rows, MOST + 1)):
            values.append(tuple(islice(row, MOST)))
            if len(values[-1]) != len(names) or not names:
                raise UsageError(
                    f"Row {number} has {len(values[-1])} values, for {len(names)} columns",
                    "Give one for each column",
                )
    except TypeError as error:
        raise UsageError(
            f"These are no rows and columns of a table ({error})",
            "Give a list of tuples",
        ) from None
    if len(values) > MOST:
        raise UsageError(f"A table of more than {MOST:,} rows is nothing to look at", "Give fewer")
    return Table(names, values, _name(caption))


def _name(given: Any) -> str:
    return given if isinstance(given, str) else quoted(given)


def _row(row: Sequence[Any], aligned: Sequence[str]) -> str:
    first, *others = (html.escape(text(value)) for value in row)
    cells = "".join(
        f"<td{align}>{cell}</td>" for cell, align in zip(others, aligned[1:], strict=True)
    )
    return f'<th scope="row">{first}</th>{cells}'


def _are_numbers(values: Iterable[Any]) -> bool:
    there = [value for value in values if value is not None]
    return bool(there) and all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in there
    )
