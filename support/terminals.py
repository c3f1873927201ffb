"""What a command shows on a terminal, read from the terminal's other end."""

import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

AT_ONCE = "import olmo_explain.waiting as room; room.PATIENCE = 0.0\n"
"""Before a command: its bars appear without delay."""


@contextmanager
def on_a_terminal(code: str) -> Iterator[tuple[subprocess.Popen, bytearray]]:
    """A process that runs this code, with its stderr on a terminal, and what appears there.

    All of it has appeared when the block ends, which must read the process's stdout to its end.
    """
    terminal, its_end = pty.openpty()
    shown = bytearray()
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=its_end,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "100"},
    ) as process:
        os.close(its_end)
        reader = threading.Thread(target=_read_all, args=(terminal, shown), daemon=True)
        reader.start()
        yield process, shown
    reader.join(10)
    os.close(terminal)


def _read_all(terminal: int, shown: bytearray) -> None:
    """Adds to `shown` what appears, until the command has ended."""
    try:
        while some := os.read(terminal, 2**12):
            shown += some
    except OSError:  # the terminal's other end is closed
        pass
