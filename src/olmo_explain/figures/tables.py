"""Tables that read well in a notebook and in a published page."""

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from olmo_explain.errors import UsageError
from olmo_explain.words import minus, quoted, text

MOST = 100_000  # rows, or columns; what is given may have no end


@dataclass(frozen=True)
class Table:
    """Rows under named columns. Whole numbers are written with thousands separators.

    The numbers of a column that are not whole have the same digits behind the point, as many as
    give the largest four digits in all, or more where a number is exactly that.

    >>> Table(("tensor", "parameters"), [("norm", 4096)], "One norm").to_text()
    'tensor  parameters\\nnorm         4,096'
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    caption: str

    def _repr_html_(self) -> str:
        # The first column names the rows, and stands at the left, whatever it holds.
        numeric = [False, *self._numeric()[1:]]
        aligned = [' class="oe-number"' if right else "" for right in numeric]
        head = "".join(
            f'<th scope="col"{align}>{html.escape(name)}</th>'
            for name, align in zip(self.columns, aligned, strict=True)
        )
        body = "".join(f"<tr>{_row(row, aligned)}</tr>" for row in self._cells())
        return (
            f'<div class="oe-table"><table><caption>{html.escape(self.caption)}</caption>'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        )

    def to_text(self) -> str:
        """The same as plain text, columns aligned."""
        lines = [list(self.columns), *self._cells()]
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

    def _cells(self) -> list[tuple[str, ...]]:
        """Each row as text."""
        columns = [_written(column) for column in zip(*self.rows, strict=True)]
        return list(zip(*columns, strict=True))

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


def _written(column: Sequence[Any]) -> list[str]:
    """A column as text, its numbers with one count of digits behind the point."""
    fractions = [value for value in column if isinstance(value, float)]
    decimals = _decimals(fractions)
    return (
        [
            minus(text(value))
            if decimals is None or not isinstance(value, float)
            else minus(f"{value:,.{decimals}f}")
            for value in column
        ]
        if _are_numbers(column)
        else [text(value) for value in column]
    )


def _decimals(fractions: Sequence[float]) -> int | None:
    """How many digits behind the point suit all of them; None where no one count does."""
    if not fractions or not all(map(math.isfinite, fractions)):
        return None
    largest = max(map(abs, fractions))
    exact = [_exact(value) for value in fractions]
    places = max((count for count in exact if count is not None), default=0)
    if None in exact:
        places = max(places, 3 - math.floor(math.log10(largest)))
    smallest = min((abs(value) for value in fractions if value), default=1.0)
    return places if largest < 10**6 and smallest >= 10.0**-places and places <= 7 else None


def _exact(value: float) -> int | None:
    """The digits behind the point of a number that has few, as 14.5625; else None."""
    digits = f"{value:.6g}"
    return len(digits.partition(".")[2]) if float(digits) == value and "e" not in digits else None


def _row(row: Sequence[str], aligned: Sequence[str]) -> str:
    first, *others = (_in_one_line(html.escape(cell)) for cell in row)
    cells = "".join(
        f"<td{align}>{cell}</td>" for cell, align in zip(others, aligned[1:], strict=True)
    )
    return f'<th scope="row">{first}</th>{cells}'


def _are_numbers(values: Iterable[Any]) -> bool:
    there = [value for value in values if value is not None]
    return bool(there) and all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in there
    )


def _in_one_line(cell: str) -> str:
    """Breaks no shape, and no number before its sign."""
    return cell.replace(" × ", "&nbsp;×&nbsp;").replace(" %", "&nbsp;%")
