"""What takes long says so, on stderr, where a terminal is there to see it. Nothing elsewhere.

A bar appears after a second, so that short work shows none, and is gone when the work is done:

>>> with progress("attention weights", total=4_294_967_296, unit="bytes") as advance:
...     advance(33_554_432)
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer
from typing import Any, Literal

from olmo_explain.undo import Undo
from olmo_explain.words import printable

PATIENCE = 1.0  # seconds before a bar appears

Advance = Callable[..., None]
"""Is told how much more is done, and of how much, where that is known only now."""

_shown: list[Any] = []  # the bar that is there now: what begins meanwhile is a part of it


def is_seen() -> bool:
    """Whether somebody may be looking."""
    return sys.stderr is not None and not sys.stderr.closed and sys.stderr.isatty()


@contextmanager
def progress(
    doing: str, total: int | None = None, unit: Literal["bytes", "steps"] = "steps"
) -> Iterator[Advance]:
    """A bar, for as long as it lasts; one that only moves, and a clock, without a `total`."""
    if _shown or not is_seen():
        yield lambda more, total=None: None
        return
    bar = _bar(total, unit)
    task = bar.add_task(printable(doing), total=total)
    # A timer, since a bar has to appear also while one long call gives no sign of life.
    timer = Timer(PATIENCE, bar.start)
    timer.daemon = True
    with Undo(lambda undo: undo.later(_shown.clear)):
        _shown.append(bar)
        try:
            timer.start()
            yield lambda more, total=None: bar.update(task, advance=more, total=total)
        finally:
            timer.cancel()
            timer.join()
            bar.stop()


def say(doing: str) -> None:
    """Writes other words before the bar that is there now, if there is one."""
    for bar in _shown:
        for task in bar.task_ids:
            bar.update(task, description=doing)


def _bar(total: int | None, unit: str) -> Any:
    from rich import progress as parts
    from rich.console import Console

    counts: tuple[parts.ProgressColumn, ...] = (parts.TimeElapsedColumn(),)
    if total is not None:
        done = parts.DownloadColumn() if unit == "bytes" else parts.MofNCompleteColumn()
        counts = (done, parts.TimeRemainingColumn())
    # Text, not markup: a path may hold [brackets].
    name = parts.TextColumn("{task.description}", markup=False)
    columns = (name, parts.BarColumn(bar_width=24), *counts)
    return parts.Progress(*columns, console=Console(stderr=True), transient=True)
