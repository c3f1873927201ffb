"""Results as JSON, and what is made of it: the tables of the book, the section of README.md.

README and book quote these files alone: `tests/benchmarks/test_benchmarks.py` makes both again and
compares.
"""

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
JSON, TABLES = RESULTS / "latest.json", RESULTS / "latest.md"
README = ROOT / "README.md"
BEGIN, END = "<!-- make bench writes this -->", "<!-- up to here -->"
NOT_YET = "Nothing was measured yet: `make bench` does, and writes it here.\n"

HEADLINES = {
    "forward": ("trace",),
    "head": ("olmo-explain head", "head, over HTTP"),
    "norms": ("rate of head_norms",),
    "cold": ("olmo-explain config olmo3-7b",),
    "verify": ("verify",),
    "growth": (),
    "pages": ("ready, median page", "key to frame, median page"),
}
"""What README and the top of the book's page show: of each the last row, on the largest model."""


def store(results: dict[str, Any]) -> None:
    """Writes the JSON, the book's tables and README's section."""
    RESULTS.mkdir(exist_ok=True)
    JSON.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    TABLES.write_text(tables(results))
    before, _, rest = README.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(f"{before}{BEGIN}\n{section(results)}{END}{after}")


def stored() -> dict[str, Any] | None:
    """What the last full run wrote, or None."""
    return json.loads(JSON.read_text()) if JSON.is_file() else None


def tables(results: dict[str, Any] | None) -> str:
    """The book's part: the headlines, then a subject's table behind its name."""
    if results is None:
        return NOT_YET
    subjects = map(_table, results["subjects"])
    return "\n".join([*_lines(headlines(results)), "", f"{where(results)}\n", *subjects])


def section(results: dict[str, Any] | None) -> str:
    """README's part: the rows of HEADLINES, in one table."""
    if results is None:
        return NOT_YET
    return "\n".join([*_lines(headlines(results)), "", f"{where(results)}\n"])


def headlines(results: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for subject in results["subjects"]:
        last = {row["what"]: row for row in subject["rows"]}  # those of larger models come later
        for what in HEADLINES.get(subject["name"], ()):
            if what in last:
                yield last[what]


def where(results: dict[str, Any]) -> str:
    """When and on what, in one paragraph."""
    machine = results["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    return (
        f"Measured by `make bench` on {machine['date']}, in {results['minutes']:.0f} minutes: "
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_bytes'] / 2**30:.0f} GiB, "
        f"{machine['system']}; {versions}. "
        f"Medians of at least {results['rounds']} rounds in which the ways took turns; a ratio is "
        "the median of the rounds' ratios."
    )


def _table(subject: dict[str, Any]) -> str:
    skipped = [f"Not measured: {line}.\n" for line in subject["skipped"]]
    body = [*_lines(subject["rows"]), ""] if subject["rows"] else []
    count = f" · {len(subject['rows'])} rows" if subject["rows"] else ""
    summary = f"<summary>{subject['title']}{count}</summary>"
    return "\n".join([f"<details>{summary}\n", *body, *skipped, "</details>\n"])


def _lines(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    yield "| what | of | figure | ratio | to | rounds |"
    yield "|---|---|--:|--:|---|--:|"
    for row in rows:
        what = _name(row["what"]) + (f" ({row['note']})" if row["note"] else "")
        cells = (what, row["model"], figure(row), ratio(row), _name(row["against"] or ""))
        yield f"| {' | '.join(cells)} | {row['rounds']} |"


def _name(what: str) -> str:
    """What is a command is set as code: quotes in it are the shell's."""
    return f"`{what}`" if what.startswith(("olmo-explain ", "python ")) else what


def figure(row: dict[str, Any]) -> str:
    """Its value with three digits, bytes in full; an exponent has no unit.

    >>> figure({"value": 12.3456, "unit": "ms"})
    '12.3 ms'
    """
    value, unit = row["value"], row["unit"]
    if unit in ("bytes", "numbers"):
        return f"{value:,.0f} {unit}"
    if unit == "exponent":
        return f"{value:+.2f}"
    return f"{digits(value)} {unit}"


def ratio(row: dict[str, Any]) -> str:
    return "" if row["ratio"] is None else f"{digits(row['ratio'])} ×"


def digits(number: float) -> str:
    """Three digits that count, and no exponent.

    >>> digits(1.0349), digits(0.01234), digits(1234.5)
    ('1.03', '0.0123', '1,234')
    """
    if abs(number) >= 100:
        return f"{number:,.0f}"
    decimals = 2 - math.floor(math.log10(abs(number))) if number else 2
    return f"{number:.{decimals}f}"
