"""What `doctor` looks like in a terminal."""

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from olmo_explain.terminal.words import OK, PROBLEM, amount

WARNING, FAILED = Text("warning", "bold yellow"), Text("failed", "bold red")


def print_doctor(console: Console, findings: dict[str, Any]) -> None:
    """Versions, room and regime, then every problem in a line."""
    table = Table(show_header=False, box=None)
    for package, number in findings["versions"].items():
        table.add_row(package, number)
    table.add_row("memory", amount(findings["memory_bytes"]))
    table.add_row("free disk", amount(findings["disk_bytes"]))
    table.add_row("RoPE regime", findings["rope_regime"] or "not measured")
    console.print(table)
    for problem in findings["problems"]:
        console.print(PROBLEM, problem)
    if findings["ok"]:
        console.print(OK, "This installation runs OLMo 3 as it was designed.")


def print_preflight(console: Console, findings: dict[str, Any]) -> None:
    """A line a check; beneath one that failed, what is needed and what to do."""
    table = Table(show_header=False, box=None)
    for check in findings["checks"]:
        mark = OK if check["ok"] else FAILED if check["required"] else WARNING
        table.add_row(mark, check["name"], check["found"])
        if not check["ok"]:
            table.add_row("", "", f"needed: {check['needed']}")
            table.add_row("", "", Text(check["remedy"], "bold"))
    console.print(table)
    failed = len(findings["problems"])
    warnings = sum(not check["ok"] and not check["required"] for check in findings["checks"])
    also = f", {warnings} to look at" if warnings else ""
    if findings["ok"]:
        console.print(OK, f"Ready for the workshop{also}.")
    else:
        console.print(FAILED, f"Not ready: {failed} to mend{also}.")
