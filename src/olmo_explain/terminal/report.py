"""What `report` looks like in a terminal: how many claims held, then every one with its verdict."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from olmo_explain.terminal.output import PROBLEM
from olmo_explain.words import text

if TYPE_CHECKING:
    from olmo_explain.report import CheckedClaim, Report

STYLES = {"reproduced": "green", "corrected": "bold yellow", "recorded": "cyan"}
SHORT = 24  # characters; a longer value that is as claimed is not written out again


def print_report(console: Console, report: Report) -> None:
    """Counts by verdict, a table for each section, the corrections in words, then problems."""
    for section, claims in groupby(report.claims, key=lambda claim: claim.section):
        console.print(_table(section, list(claims)))
    for claim in report.claims:
        if claim.verdict == "corrected":
            console.print(_verdict("corrected"), f"{claim.id}: {claim.why}")
    console.print()
    for verdict, count in report.verdicts.items():
        console.print(Text(f"{count:4} {verdict}", STYLES[verdict]))
    console.print(
        f"Sizes measured on {report.seven}, numbers on {report.running}; RoPE {report.rope_regime}."
    )
    for why, ids in report.skipped.items():
        console.print(Text("skipped", "cyan"), f"{why}: {', '.join(ids)}")
    for problem in report.problems:
        console.print(PROBLEM, problem)


def _table(section: str, claims: list[CheckedClaim]) -> Table:
    """A statement says itself what was claimed, so that needs no column here."""
    table = Table(box=SIMPLE, title=section, title_justify="left")
    table.add_column("claim", ratio=3, overflow="fold")
    table.add_column("measured", ratio=2, overflow="fold")
    table.add_column("verdict", no_wrap=True)
    for claim in claims:
        table.add_row(claim.statement, _measured(claim), _verdict(claim.verdict))
    return table


def _verdict(verdict: str) -> Text:
    return Text(verdict, STYLES[verdict])


def _measured(claim: CheckedClaim) -> str:
    measured = text(claim.measured, digits=10)
    return "as claimed" if claim.verdict == "reproduced" and len(measured) > SHORT else measured
