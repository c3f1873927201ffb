"""What a command shows on a terminal, read from the terminal's other end."""

import os


def read_all(terminal: int, shown: bytearray) -> None:
    """Adds to `shown` what appears, until the command has ended."""
    try:
        while some := os.read(terminal, 2**12):
            shown += some
    except OSError:  # the terminal's other end is closed
        pass
