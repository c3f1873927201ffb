"""Measures everything and says it: tables on stdout, progress on stderr, JSON in a file.

    python -m benchmarks [--only NAME] [--quick] [--seven-b DIRECTORY] [--html _build/html]

A whole run writes benchmarks/results/ and the section of README.md that quotes them, and says there
how long it took. With --only or --quick the JSON goes to build/bench.json, and nothing that is
quoted changes.
"""

import argparse
import importlib
import json
import os
import time
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from benchmarks import results
from benchmarks.frame import Plan, Subject, machine, tell

SUBJECTS = {
    "cold": "cold_start",
    "forward": "forward",
    "verify": "verifying",
    "head": "one_head",
    "norms": "norms",
    "growth": "growth",
    "live": "live_figure",
    "pages": "book_pages",
}
"""Each benchmark by its name, and the module that gives its `measure(plan)`."""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.split("\n")[0]
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=SUBJECTS,
        metavar="NAME",
        help=f"one of {', '.join(SUBJECTS)}; may be said again",
    )
    parser.add_argument("--quick", action="store_true", help="small and few: does it all work?")
    parser.add_argument("--seven-b", type=Path, help="a checkpoint of the 7B's size, on disk")
    parser.add_argument(
        "--html", type=Path, default=results.ROOT / "_build" / "html", help="the built book"
    )
    parser.add_argument("--json", type=Path, help="where to write all results, if elsewhere")
    asked = parser.parse_args()
    if asked.seven_b and not (asked.seven_b / "config.json").is_file():
        parser.error(f"{asked.seven_b} holds no config.json: name the directory of a checkpoint")
    where = asked.json or results.ROOT / "build" / "bench.json"
    if where.is_dir() or not where.parent.parent.is_dir():
        parser.error(f"{where} cannot be written: name a file in a directory that is there")
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's profiler tells of every start
    plan = Plan(asked.quick, asked.seven_b, asked.html)
    found = run(asked.only or list(SUBJECTS), plan)
    if not (asked.only or asked.quick):
        results.store(found)
        tell(f"wrote {results.JSON}, {results.TABLES.name} and README.md")
    where.parent.mkdir(parents=True, exist_ok=True)
    where.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")


def run(names: list[str], plan: Plan) -> dict[str, Any]:
    """Measures these subjects, shows each as it is done, and gives them as they are stored."""
    about, console = machine(), Console()
    subjects, began = [], time.monotonic()
    for name in names:
        subject = importlib.import_module(f"benchmarks.{SUBJECTS[name]}").measure(plan)
        show(console, subject)
        subjects.append(subject.to_dict())
    return {
        "quick": plan.quick,
        "rounds": plan.rounds,
        "minutes": round((time.monotonic() - began) / 60, 1),
        "machine": about,
        "subjects": subjects,
    }


def show(console: Console, subject: Subject) -> None:
    """A table that fits a terminal of 80 columns: words are folded there, figures never."""
    table = Table(title=subject.title, box=SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("what", "of", "figure", "ratio", "to", "rounds"):
        words = name in ("what", "of", "to")
        table.add_column(
            name, justify="left" if words else "right", no_wrap=not words, overflow="fold"
        )
    for row in map(vars, subject.rows):
        what = f"{row['what']}\n[dim]{row['note']}[/]" if row["note"] else row["what"]
        figures = results.figure(row), results.ratio(row)
        table.add_row(what, row["model"], *figures, row["against"] or "", str(row["rounds"]))
    console.print(table)
    for line in subject.skipped:
        console.print(f"Not measured: {line}.")


if __name__ == "__main__":
    main()
