"""What a command hands on: to a terminal, as JSON, and files that are whole or not there at all."""

import json
import logging
import math
import os
import re
import shutil
import signal
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from olmo_explain.errors import UsageError
from olmo_explain.words import UNSEEN, printable, without_keys

IMPORTING = "Loading PyTorch and transformers"
WIDEST = 10_000  # columns
OK, PROBLEM = Text("ok", "bold green"), Text("problem", "bold red")


def show(
    as_json: bool, data: Callable[[], dict[str, Any]], draw: Callable[[Console], None]
) -> None:
    """One of the two: a JSON object on stdout and nothing else, or what a person reads."""
    if as_json:
        line = to_json(data())
        if not (sys.stdout.encoding or "utf-8").lower().startswith("utf"):  # Windows' pipes
            line = json.dumps(json.loads(line))
        print(line)
    else:
        draw(_Console())


def tell(text: str) -> None:
    """Says something beside the result: a line on stderr."""
    print(printable(without_keys(text), keep="\n"), file=sys.stderr)


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

    def print(self, *objects: Any, **options: Any) -> None:
        """A table that is too wide runs over the edge, where a terminal goes on: none is cut."""
        edge = self.width
        if objects and isinstance(table := objects[0], Table):
            wide = self.options.update(max_width=WIDEST)
            if all(column.no_wrap for column in table.columns):  # else there is one to give way
                self.width = max(edge, self.measure(table, options=wide).maximum)
        super().print(*objects, **options)
        self.width = edge


class PlainRecord(logging.LogRecord):
    """What a library logs, such as names in a checkpoint, or an address that it asks in vain."""

    def getMessage(self) -> str:  # noqa: N802
        plain = re.sub(r"\x1b\[[0-9;]*m", "", super().getMessage())  # bold, also where nobody looks
        return without_keys(printable(plain, keep="\n\t"))


# -- files ----------------------------------------------------------------------------------------


class Document:
    """A file that a command is to write: whole, or not at all, whatever happens meanwhile.

    UsageError where it could not be written there: said before the work, not after it.
    """

    def __init__(self, path: Path, endings: tuple[str, ...]):
        self.path = path
        if path.suffix not in endings:
            raise UsageError(
                f"--output {path} has no ending that says what to write",
                f"End it in {' or '.join(endings)}",
            )
        try:
            # A link stays one: what it points to is written, as editors do.
            self._target = Path(os.path.realpath(path))
            mode = self._target.stat().st_mode if self._target.exists() else None
        except OSError as error:
            raise self._unwritable(error) from error
        if self._target.is_symlink():
            raise UsageError(f"--output {path} is a link to itself", "Name a file")
        if mode is not None and not stat.S_ISREG(mode):
            what = "a directory" if stat.S_ISDIR(mode) else "no file, but a pipe or a device"
            raise UsageError(f"--output {path} is {what}", "Name a file")
        if not (directory := self._target.parent).is_dir():
            raise UsageError(f"There is no directory {directory}", "Make it first")
        # Beside the file, so that it can be put in its place; the length of a name is limited.
        self._part = directory / f".{os.getpid()}.part"
        if mode is not None and not os.access(self._target, os.W_OK):
            raise UsageError(f"--output {path} is there and may not be changed", "Name another")
        self._write("", keep=False)

    def write(self, text: str) -> None:
        """Puts the text there, in the place of what was there. UsageError where that fails."""
        self._write(text, keep=True)

    def write_parts(self, parts: Iterable[bytes]) -> None:
        """The same of bytes that are still being made, which takes long: a signal ends it."""
        before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
        try:
            with self._part.open("wb") as file:
                file.writelines(parts)
            with _undisturbed():
                self._keep()
        except OSError as error:
            raise self._unwritable(error) from error
        finally:
            self._part.unlink(missing_ok=True)
            signal.signal(signal.SIGTERM, before)

    def _write(self, text: str, *, keep: bool) -> None:
        with _undisturbed():
            try:
                self._part.write_text(text, encoding="utf-8", errors="replace")
                if keep:
                    self._keep()
            except OSError as error:
                raise self._unwritable(error) from error
            finally:
                self._part.unlink(missing_ok=True)

    def _keep(self) -> None:
        if self._target.exists():
            shutil.copymode(self._target, self._part)
        self._part.replace(self._target)

    def _unwritable(self, error: OSError) -> UsageError:
        return UsageError(
            f"{self.path} cannot be written ({error.strerror})", "Choose another place"
        )


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Signals that would end this process do so after the block, which is short."""
    came: list[int] = []
    signals = signal.SIGINT, signal.SIGTERM
    before = [signal.signal(number, lambda number, _: came.append(number)) for number in signals]
    try:
        yield
    finally:
        for waiting, handler in zip(signals, before, strict=True):
            signal.signal(waiting, handler)
        for number in came[:1]:
            signal.raise_signal(number)
