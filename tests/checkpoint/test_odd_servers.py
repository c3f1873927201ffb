"""Servers that break readers, or hold them for ever: each ends in one line."""

import random
import re
import socket
import threading
import time
from contextlib import suppress

import pytest
from support.commands import refused, run_python
from support.fuzz.answers import BODY, AnswerServer, RandomAnswer, answering, case, hasty

from olmo_explain.checkpoint import pace, read_config, web
from olmo_explain.checkpoint.web import RemoteFile
from olmo_explain.errors import ExplainError, RemoteError

OK = "HTTP/1.1 200 OK"
CHUNKED = (("Transfer-Encoding", "chunked"),)
AWAY_IN_BROTLI = (
    ("Location", "http://a..b/"),
    ("Content-Encoding", "br"),
    ("Content-Length", "4"),
)
LENGTH = (("Content-Length", "100000"),)


@pytest.fixture(autouse=True)
def _quickly():
    with hasty():
        yield


@pytest.fixture(scope="module")
def server():
    with answering() as server:
        yield server


def said_of(server: AnswerServer, answer: RandomAnswer) -> str:
    server.answer = answer
    with pytest.raises(ExplainError) as raised:
        read_config(server.url)
    return str(raised.value)


@pytest.mark.parametrize("number", range(40))
def test_answers_at_random(number):
    """Of a whole file and of a range: all that is said is one line that anybody may see."""
    case(random.Random(f"answers {number}"))


A_HUB = """
import os, random
from support.fuzz.answers import answering, hasty, random_answer, read_or_said
with answering() as server:
    os.environ["HF_ENDPOINT"] = server.url  # before huggingface_hub is imported
    from olmo_explain.checkpoint import read_config
    chance = random.Random(0)
    with hasty():
        for _ in range(40):
            server.answer = random_answer(chance)
            print(read_or_said(lambda: read_config("someone/olmo")))
"""


def test_answers_at_random_of_a_hub(tmp_path):
    said = run_python("-c", A_HUB, HF_HOME=str(tmp_path)).stdout.splitlines()
    assert len(said) == 40 and len(set(said)) > 3, said


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (RandomAnswer("<html>", (), BODY), "does not answer as HTTP asks for. Check the address."),
        (RandomAnswer("", (), b""), "does not answer as HTTP asks for"),
        (RandomAnswer(OK, (), b""), "config.json is not JSON"),
        (RandomAnswer(OK, CHUNKED, b"-5\r\nabc"), "answered what cannot be read (ValueError)"),
        (RandomAnswer(OK, (("X", "y" * 2**20),), BODY), "does not answer as HTTP asks for"),
        (RandomAnswer(OK, LENGTH, BODY), "config.json cut the connection, 5 times in a row."),
        (RandomAnswer("HTTP/1.1 302 OK", (("ETag", ""),), b""), "config.json answered 302."),
        (RandomAnswer("HTTP/1.1 308 OK", AWAY_IN_BROTLI, BODY), "answered what cannot be read"),
        (RandomAnswer("HTTP/1.1 \x1b[31m", (), b""), "does not answer as HTTP asks for"),
    ],
    ids=["html", "nothing", "empty", "chunk", "megabyte", "short", "redirect", "brotli", "escape"],
)
def test_answers_of_no_use(server, answer, says):
    assert says in said_of(server, answer)


@pytest.mark.parametrize(
    "answer",
    [
        RandomAnswer(OK, LENGTH, b"x" * 1000, slow_after=3),
        RandomAnswer(OK, (("X", "y" * 1000),), BODY, slow_after=30),
        RandomAnswer(OK, CHUNKED, b"0" * 1000, slow_after=60),
        RandomAnswer(OK, LENGTH, b"x" * 1000, slow_after=60),
    ],
    ids=["status", "header", "length of a chunk", "body"],
)
def test_a_byte_now_and_then_holds_nobody(server, monkeypatch, answer):
    """Each byte ends a silence; the average is what counts. It is not asked again, either."""
    monkeypatch.setattr(pace, "GRACE_SECONDS", 0.1)
    began, asked = time.monotonic(), len(server.asked)
    says = r"config\.json sends less than 1 kB/s\. Try again later\."
    assert re.search(says, said_of(server, answer))
    assert time.monotonic() - began < 2
    assert len(server.asked) == asked + 1


@pytest.mark.parametrize(
    ("head", "line"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"x: y\r\n"),
    ],
    ids=["status lines", "trailers"],
)
def test_lines_without_end_hold_nobody(monkeypatch, head, line):
    """They are never silent, and never slow."""
    monkeypatch.setattr(pace, "LONGEST_LINES", 2**16)
    sent = []

    def answer(listener: socket.socket) -> None:
        with suppress(OSError):  # the reader has hung up, or nobody comes any more
            while True:
                with listener.accept()[0] as peer, suppress(ConnectionError):
                    peer.sendall(head)
                    while sum(sent) < 2**25:
                        sent.append(peer.send(line * 1000))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answer, args=[listener], daemon=True).start()
        with pytest.raises(RemoteError):
            read_config(f"http://127.0.0.1:{listener.getsockname()[1]}/d")
        listener.shutdown(socket.SHUT_RDWR)
    assert sum(sent) < 2**25


def test_a_byte_a_connection_holds_nobody(server):
    """Tries count on, also when each of them has brought a byte."""

    def one_more(asked: bytes) -> RandomAnswer:
        start = int(re.search(rb"bytes=(\d+)-", asked)[1])
        return RandomAnswer(
            "HTTP/1.1 206 OK", (("Content-Range", f"bytes {start}-98/99"), *CHUNKED), b"1\r\nx\r\n"
        )

    server.answer, before = one_more, len(server.asked)
    with pytest.raises(RemoteError, match=r"/x cut the connection, 5 times in a row\."):
        RemoteFile(f"{server.url}/x").read(0, 99)
    assert len(server.asked) == before + 5


def test_how_long_a_silence_was_is_measured(monkeypatch):
    monkeypatch.setattr(web, "SILENCE_SECONDS", 0.6)
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.raises(RemoteError, match=r"/x fell silent for 1 s\."),
    ):
        RemoteFile(f"http://127.0.0.1:{listener.getsockname()[1]}/x").read(0, 4)


def test_a_name_in_an_answer_reaches_no_terminal(server):
    server.answer = RandomAnswer(OK, (), b'{"model_type": "\\u001b[31m\\u009b\\u202e"}')
    said = refused("config", server.url).strip()
    assert said.isprintable() and r"\u202e" in said
