"""What `doctor` looks like in a terminal."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from olmo_explain.installation import Check, Findings
from olmo_explain.terminal.output import OK, PROBLEM
from olmo_explain.words import gigabytes

NOTE = Text("note", "bold cyan")
WARNING, FAILED = Text("warning", "bold yellow"), Text("failed", "bold red")


def print_doctor(console: Console, found: Findings) -> None:
    """Versions, room and regime, then every problem in a line."""
    table = Table(show_header=False, box=None)
    for package, number in found.versions.items():
        table.add_row(package, number)
    table.add_row("memory", gigabytes(found.memory_bytes))
    table.add_row("free disk", gigabytes(found.disk_bytes))
    table.add_row("RoPE regime", found.rope_regime or "not measured")
    console.print(table)
    for note in found.notes:
        console.print(NOTE, note)
    for problem in found.problems:
        console.print(PROBLEM, problem)
    if found.ok and found.rope_regime:
        console.print(OK, "This installation runs OLMo 3 as it was designed.")
    elif found.ok:
        console.print(OK, "What is installed here is in order.")


def print_preflight(console: Console, checks: list[Check]) -> None:
    """A line a check; beneath one that failed, what is needed and what to do."""
    table = Table(show_header=False, box=None)
    said: set[str] = set()
    for check in checks:
        mark = OK if check.ok else FAILED if check.required else WARNING
        table.add_row(mark, check.name, check.found)
        if not check.ok:
            table.add_row("", "", f"needed: {check.needed}")
            remedy = "as above" if check.remedy in said else check.remedy
            table.add_row("", "", Text(remedy, "bold"))
            said.add(check.remedy)
    console.print(table)
    failed, warnings = (
        sum(not check.ok and check.required is required for check in checks)
        for required in (True, False)
    )
    also = f", {warnings} to look at" if warnings else ""
    if failed:
        console.print(FAILED, f"Not ready: {failed} to mend{also}.")
    else:
        console.print(OK, f"Ready for the workshop{also}.")
