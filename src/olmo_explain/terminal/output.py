"""What a command hands on: to a terminal, as JSON, and files that are whole or not there at all."""

import json
import logging
import math
import os
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from olmo_explain.errors import UsageError
from olmo_explain.words import UNSEEN, printable, without_keys

OK, PROBLEM = Text("ok", "bold green"), Text("problem", "bold red")


def show(
    as_json: bool, data: Callable[[], dict[str, Any]], draw: Callable[[Console], None]
) -> None:
    """One of the two: a JSON object on stdout and nothing else, or what a person reads."""
    if as_json:
        print(to_json(data()))
    else:
        draw(_Console())


def grid(title: str, *columns: str, right: Iterable[str] = (), fold: Iterable[str] = ()) -> Table:
    """An empty table. Columns of numbers stand to the `right`; only those that `fold` may break."""
    return Table(
        *(
            Column(
                name,
                justify="right" if name in right else "left",
                no_wrap=name not in fold,
                overflow="fold" if name in fold else "ellipsis",
            )
            for name in columns
        ),
        title=title,
        box=SIMPLE,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )


def to_json(result: dict[str, Any]) -> str:
    """One line, which holds neither NaN nor infinity: JSON has none, and null stands for them.

    What steers a terminal is escaped as JSON does it: the text stays the same.
    """
    line = json.dumps(_without_nan(result), ensure_ascii=False, allow_nan=False)
    return UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


def _without_nan(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return value


class _Console(Console):
    """Takes text as it is: a name may hold brackets, which rich would read as markup, and more."""

    def __init__(self) -> None:
        super().__init__(markup=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """Every text that is printed, and that of every cell, comes this way."""
        return super().render_str(printable(text, keep="\n"), **options)

    def on_broken_pipe(self) -> None:
        leave_pipe()


class PlainRecord(logging.LogRecord):
    """What a library logs, such as names in a checkpoint, or an address that it asks in vain."""

    def getMessage(self) -> str:  # noqa: N802
        plain = re.sub(r"\x1b\[[0-9;]*m", "", super().getMessage())  # bold, also where nobody looks
        return without_keys(printable(plain, keep="\n\t"))


def leave_pipe() -> NoReturn:
    """Whoever read our output has enough; 141 is what a shell calls that."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(141)


# -- files ----------------------------------------------------------------------------------------


def check_output(path: Path | None, endings: tuple[str, ...]) -> None:
    """UsageError where no such file could be written there: said before the work, not after it."""
    if path is None:
        return
    if path.suffix not in endings:
        raise UsageError(
            f"--output {path} has no ending that says what to write",
            f"End it in {' or '.join(endings)}",
        )
    if path.is_dir():
        raise UsageError(f"--output {path} is a directory", "Name a file")
    if not path.parent.is_dir():
        raise UsageError(f"There is no directory {path.parent}", "Make it first")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"{path.parent} cannot be written to", "Choose another place")


def write_whole(path: Path, text: str) -> None:
    """Writes beside the file, then puts it in its place: nobody ever finds half of it."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written ({error.strerror})", "Choose another place"
        ) from error
    finally:
        part.unlink(missing_ok=True)
