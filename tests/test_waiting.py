"""Progress: seen in a terminal after a second, nowhere else, gone when the work is done."""

import io
import sys
import time
from contextlib import contextmanager
from unittest import mock

import pytest
from support.commands import as_code
from support.terminals import AT_ONCE, on_a_terminal

from olmo_explain import waiting as room
from olmo_explain.waiting import progress, say


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def no_patience(monkeypatch) -> None:
    monkeypatch.setattr(room, "PATIENCE", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")


@contextmanager
def a_terminal():
    """stderr as a terminal, within a test: pytest has put its own there before."""
    with mock.patch.object(sys, "stderr", Terminal()):
        yield sys.stderr


def wait_for(screen: Terminal, words: str) -> None:
    end = time.monotonic() + 20
    while words not in screen.getvalue() and time.monotonic() < end:
        time.sleep(0.01)
    assert words in screen.getvalue()


def test_a_bar_shows_what_is_done_and_of_how_much():
    with (
        a_terminal() as terminal,
        progress("attention [weights]", total=2_000_000, unit="bytes") as advance,
    ):
        wait_for(terminal, "attention [weights]")
        advance(1_000_000)
        wait_for(terminal, "1.0/2.0 MB")
    assert "\x1b[?25h" in terminal.getvalue()  # the cursor is back


def test_a_bar_without_an_end_has_a_clock():
    with a_terminal() as terminal, progress("Loading tiny"):
        wait_for(terminal, "0:00:0")


def test_other_words():
    with a_terminal() as terminal, progress("Waiting for example.org"):
        say("example.org fell silent: asking again")
        wait_for(terminal, "fell silent: asking again")


def test_what_begins_meanwhile_is_a_part_of_it():
    with a_terminal() as terminal, progress("outer"):
        wait_for(terminal, "outer")
        with progress("inner", total=3) as advance:
            advance(1)
    assert "inner" not in terminal.getvalue()


def test_short_work_shows_nothing(monkeypatch):
    monkeypatch.setattr(room, "PATIENCE", 60.0)
    with a_terminal() as terminal, progress("short", total=1) as advance:
        advance(1)
    assert "short" not in terminal.getvalue() and "\x1b[?25l" not in terminal.getvalue()


def test_nothing_where_there_is_no_terminal():
    screen = io.StringIO()
    with mock.patch.object(sys, "stderr", screen), progress("unseen", total=1) as advance:
        time.sleep(0.05)
        advance(1)
    assert screen.getvalue() == "" and not room._shown


def test_an_error_ends_it():
    with a_terminal() as terminal, pytest.raises(KeyboardInterrupt), progress("broken off"):
        wait_for(terminal, "broken off")
        raise KeyboardInterrupt
    assert not room._shown
    assert "\x1b[?25h" in terminal.getvalue()


# -- the commands, in a real terminal --------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["trace", "tiny"], [b"Loading PyTorch and transformers", b"Loading tiny"]),
        (["verify", "tiny"], [b"Loading tiny", b"Checking the layers"]),
        (["head", "tiny", "--all"], [b"attention weights"]),
        (["diff", "tiny", "tiny"], [b"both checkpoints"]),
        (["doctor"], [b"Looking at this installation"]),
    ],
)
def test_a_command_shows_its_progress_on_stderr(words, says):
    # What is short is still there when the timer runs.
    whole = "stop = room.Timer.cancel; room.Timer.cancel = lambda timer: timer.join()\n"
    code = AT_ONCE + whole + as_code(*words, "--json")
    with on_a_terminal(code) as (process, shown):
        answer = process.stdout.read()
    assert process.returncode == 0 and answer.startswith(b"{")
    for words_shown in says:
        assert words_shown in shown, bytes(shown)
    assert shown.rfind(b"\x1b[?25h") > shown.rfind(b"\x1b[?25l")


def test_transformers_own_bar_is_not_shown():
    from olmo_explain.running import load

    with a_terminal() as terminal:
        load("tiny")
    assert "Loading weights" not in terminal.getvalue()
