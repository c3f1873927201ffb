"""Where a command speaks: streams that may be closed, full, broken or slow.

What cannot be written to stdout ends the command, as `Unwritten`. What cannot be written to stderr
is lost, and the exit code alone tells: never does it go to stdout instead.
"""

import errno
import io
import os
import select
import signal
import sys
from typing import Any

BROKEN_PIPE = (errno.EPIPE, errno.EINVAL if os.name == "nt" else errno.EPIPE)  # as Windows says it


class Unwritten(Exception):
    """A result that stdout did not take.

    Not an OSError: typer and rich would take that for one of their own.
    """

    def __init__(self, error: OSError):
        super().__init__(error.strerror or str(error))
        self.is_broken_pipe = error.errno in BROKEN_PIPE


def take_over() -> None:
    """Puts streams that know these ends in the place of sys.stdout and sys.stderr.

    Unwritten where stdout is closed: said before the work, not after it.
    """
    for _ in range(3):
        # A file that is opened where a standard stream should be would be read or written as it.
        if (descriptor := os.open(os.devnull, os.O_RDWR)) > 2:
            os.close(descriptor)
            break
    is_closed = sys.stdout is None
    sys.stdout, sys.stderr = (_ours(name) for name in ("stdout", "stderr"))
    if is_closed:
        raise Unwritten(OSError(errno.EBADF, "standard output is closed"))


def _ours(name: str) -> Any:
    stream = getattr(sys, name)
    if stream is None:
        return open(os.devnull, "w")  # noqa: PTH123
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    raw = getattr(stream.buffer, "raw", stream.buffer)
    return io.TextIOWrapper(
        io.BufferedWriter(_Writer(raw, is_result=name == "stdout")),
        encoding=stream.encoding,
        errors="replace",  # a terminal may know neither × nor │
        line_buffering=stream.line_buffering,
    )


class _Writer(io.RawIOBase):
    """Waits for a reader who is slow, and after a fault writes nothing more, of which no later
    flush complains."""

    def __init__(self, raw: Any, is_result: bool):
        self._raw, self._is_result, self._is_lost = raw, is_result, False

    def write(self, data: Any) -> int:
        if self._is_lost:
            return len(data)
        try:
            while (written := self._raw.write(data)) is None:  # a pipe that is full, for now
                select.select([], [self._raw], [])
            return written
        except OSError as error:
            self._is_lost = True
            if self._is_result:
                raise Unwritten(error) from error
            return len(data)

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._raw.isatty()

    def fileno(self) -> int:
        return self._raw.fileno()


# -- the last net ---------------------------------------------------------------------------------

CUT_OFF = (
    "olmo-explain: A file that is mapped into memory could not be read: it was cut short "
    "meanwhile, or its disk has failed. Start again.\n"
)
_handlers: list[Any] = []  # ctypes forgets a function that nobody holds


def catch_bus_error() -> None:
    """Makes SIGBUS one line and exit code 2. It comes where a mapped file lost its bytes.

    `LocalFile` finds that out by itself; weights are also mapped by other libraries. Python's own
    handlers run after the instruction that failed, and it would fail again and again.
    """
    if _handlers or not hasattr(signal, "SIGBUS"):
        return
    import ctypes

    line = CUT_OFF.encode()

    def leave(number: int) -> None:
        try:
            os.write(2, line)
        finally:
            os._exit(2)

    handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(leave)
    _handlers.append(handler)
    set_handler = ctypes.CDLL(None).signal
    set_handler.argtypes, set_handler.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_void_p
    set_handler(signal.SIGBUS, ctypes.cast(handler, ctypes.c_void_p))
