"""A floor under the speed of a server: one that sends a byte now and then holds nobody for ever.

A timeout of a socket ends a silence, which a single byte breaks. So all that comes from a socket is
counted here, be it headers, the length of a chunk or a body. Nor does one that never comes to its
point: lines, which are all but the body, are bounded.
"""

import io
import time
from http.client import HTTPException, HTTPResponse
from typing import Any

from requests.adapters import HTTPAdapter

GRACE_SECONDS = 30.0
SLOWEST = 1000  # bytes a second
LONGEST_LINES = 2**20  # bytes of status lines, headers, lengths of chunks, beyond those of the body


class TooSlow(TimeoutError):
    """What came since the beginning is less than the floor."""


class Pace:
    """Counts bytes since it was made. TooSlow, after half a minute, below 1 kB/s on average."""

    def __init__(self) -> None:
        self._began, self._bytes = time.monotonic(), 0

    def count(self, more: int) -> None:
        self._bytes += more
        elapsed = time.monotonic() - self._began
        if elapsed > GRACE_SECONDS and self._bytes < SLOWEST * elapsed:
            raise TooSlow


class PacedAdapter(HTTPAdapter):
    """How a requests.Session talks to servers: each answer of theirs with a pace of its own."""

    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **options)
        if pool.ConnectionCls.response_class is not _Answer:
            pool.ConnectionCls = type("Paced", (pool.ConnectionCls,), {"response_class": _Answer})
        return pool


class _Answer(HTTPResponse):
    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)
        self.fp = _Lines(_Paced(self.fp))


class _Lines(io.BufferedReader):
    """Bounds what is read line by line, as the body is not. HTTPException beyond it."""

    _of_lines = _of_body = 0

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        self._of_lines += len(line)
        if self._of_lines > LONGEST_LINES + self._of_body:
            raise HTTPException
        return line

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self._of_body += len(data)
        return data


class _Paced(io.RawIOBase):
    def __init__(self, stream: io.BufferedReader):
        self._stream, self._pace = stream, Pace()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read1(len(buffer))
        buffer[: len(data)] = data
        self._pace.count(len(data))
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()
