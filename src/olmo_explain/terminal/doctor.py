"""What `doctor` looks like in a terminal."""

from typing import Any

from rich.console import Console
from rich.table import Table

from olmo_explain.terminal.words import amount


def print_doctor(console: Console, findings: dict[str, Any]) -> None:
    """Versions, room and regime, then every problem in a line."""
    table = Table(show_header=False, box=None)
    for package, number in findings["versions"].items():
        table.add_row(package, number)
    table.add_row("memory", amount(findings["memory_bytes"]))
    table.add_row("free disk", amount(findings["disk_bytes"]))
    table.add_row("RoPE regime", findings["rope_regime"])
    console.print(table)
    for problem in findings["problems"]:
        console.print(f"[bold red]problem[/] {problem}")
    if findings["ok"]:
        console.print("[bold green]ok[/] This installation runs OLMo 3 as it was designed.")
