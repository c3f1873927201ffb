"""Answers that a server may give, drawn at random from what breaks a reader."""

import random
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from unittest import mock

from olmo_explain.checkpoint import read_config, resolve
from olmo_explain.errors import ExplainError

SECRET = "doNotShowThis"
BODY = b'{"model_type": "olmo3"}'
STATUS_LINES = (
    *(f"HTTP/1.1 {n} OK" for n in (200, 200, 206, 206, 206, 301, 302, 308, 401, 404, 416)),
    "HTTP/1.1 200 \x1b[31mred\x1b[0m", "HTTP/1.1 418 \xff\x9b\x85", "HTTP/1.1 1000 OK",
    "HTTP/1.1 -1 OK", "HTTP/1.1 99 OK", "HTTP/1.1 abc OK", "HTTP/9.9 200 OK", "HTTP/1.1 204 OK",
    "HTTP/1.1 304 OK", "HTTP/1.1 100 Continue", "HTTP/1.0 200 OK", "ICY 200 OK", "<html>", "",
    "HTTP/1.1 429 OK", "HTTP/1.1 503 OK",
)  # fmt: skip
NUMBERS = ("0", "-5", "3", "4", "²", "inf", "1e400", "9" * 19, "9" * 5000, "x", "", " 4 ", "0x4")
HEADERS = {
    "Content-Length": NUMBERS,
    "Content-Range": (
        "bytes 0-3/4", "bytes 0-3/4", "bytes 0-22/23", "bytes 0-3/*", "bytes */4", "bytes 3-0/4",
        "bytes 5-9/100", "bytes 0-3/" + "9" * 5000, "bytes 0-٣/4", "lines 0-3/4", "",
    ),
    "Retry-After": (*NUMBERS, "Wed, 99 May 99999", "31"),
    "Location": (
        "http://[::1", "http://a..b/", "file:///etc/passwd", "http://h:99999", "//", "/", "/x",
        "http://me:" + SECRET + "@[::1", "\x1b[31m", "javascript:1", "http://127.0.0.1:1/", "",
    ),
    "ETag": ('""', '"../../x"', "W/", "\x1b[31m", '"a"', "x" * 9000),
    "Transfer-Encoding": ("chunked", "chunked", "gzip, chunked", "identity", "x"),
    "Content-Encoding": ("gzip", "br", "zstd", "identity", "deflate", "x"),
    "Content-Type": ("text/html", "text/html; charset=\x1b", "x"),
    "Set-Cookie": ("a=b", "\x1b=\x1b; domain=..", "x" * 9000),
    "\x1b[31mX": ("1",),
    "X": ("y" * 70_000, "y\r\n z", "\x00", "y" * 2**20),
}  # fmt: skip
BODIES = (
    BODY, BODY, BODY[:4], b"", b"<html>Sign in</html>", b"{" * 100_000, b"\x1f\x8b\x08garbage",
    b"4\r\n{\"mo\r\n0\r\n\r\n", b"-5\r\nabc\r\n0\r\n\r\n", b"ffffffffffffffffff\r\nabc",
    b"4;" + b"x" * 70_000, b"x\r\n", b"9" * 70_000, b"\x00" * 100_000,
)  # fmt: skip


@dataclass(frozen=True)
class RandomAnswer:
    """What is sent to every request, byte for byte; then the connection ends.

    `slow_after`: how many bytes come at once; the others come singly, a hundred a second.
    """

    status: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    repeated: int = 1
    """How often each header is sent."""
    slow_after: int | None = None

    @property
    def data(self) -> bytes:
        lines = [self.status, *(f"{name}: {value}" for name, value in self.headers * self.repeated)]
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + self.body


def case(chance: random.Random) -> str:
    """One answer to every request, for a whole file and for a range: each is read or one line."""
    with answering() as server, hasty():
        server.answer = random_answer(chance)
        try:
            return " · ".join(
                read_or_said(lambda ask=ask: ask(server.url)).partition(" ")[2].partition(".")[0]
                for ask in (read_config, lambda url: resolve(url).open("x").read(0, 4))
            )
        except BaseException as error:
            error.add_note(f"{server.answer!r:.2000}")
            raise


@contextmanager
def hasty() -> Iterator[None]:
    """While it lasts, nobody waits long before a server is asked again."""
    web = "olmo_explain.checkpoint.web"
    with (
        mock.patch(f"{web}.LONGEST_PAUSE", 0.5),
        mock.patch(f"{web}.RETRY.backoff_factor", 0.001),
    ):
        yield


def read_or_said(read: Callable[[], object]) -> str:
    """The line that a reader says of an answer, which anybody may see; "" where it was of use."""
    try:
        read()
    except ExplainError as error:
        said = str(error)
        assert said.isprintable() and len(said) < 400, said
        assert SECRET not in said and " inf " not in said, said
        return re.sub(r"\d+\.\d\S*?/", "host/", said)
    return ""


def random_answer(chance: random.Random) -> RandomAnswer:
    """Good in most of its parts, so that the others are reached."""
    names = chance.sample(sorted(HEADERS), chance.randrange(5))
    headers = tuple((name, chance.choice(HEADERS[name])) for name in names)
    repeated = chance.choice((1, 1, 1, 1, 1, 1, 2, 150))
    return RandomAnswer(chance.choice(STATUS_LINES), headers, chance.choice(BODIES), repeated)


@dataclass
class AnswerServer:
    """Answers every request with what `answer` is now, or makes of what was asked."""

    answer: RandomAnswer | Callable[[bytes], RandomAnswer] | None = None
    port: int = 0
    asked: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def answering() -> Iterator[AnswerServer]:
    """A server that listens until the block ends."""
    server = AnswerServer()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server.port = listener.getsockname()[1]
        thread = threading.Thread(target=_serve, args=(listener, server))
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _serve(listener: socket.socket, server: AnswerServer) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection, suppress(OSError):
            connection.settimeout(5)
            server.asked.append(connection.recv(2**16))
            answer = server.answer
            answer = answer(server.asked[-1]) if callable(answer) else answer
            data, at_once = answer.data, answer.slow_after
            connection.sendall(data[:at_once])
            for byte in data[at_once:] if at_once is not None else b"":
                time.sleep(0.01)
                connection.sendall(bytes([byte]))
