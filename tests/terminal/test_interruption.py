"""Ctrl-C at any moment: exit code 130, at most one line, nothing half-written, the cursor shown."""

import json
import os
import pty
import signal
import socket
import sys
import time
from pathlib import Path

import pytest
from support.commands import Ran, run_process, run_python

# Sends SIGINT to its own process at the moment when a module begins to be imported.
AT_IMPORT = """
import os, signal, sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
"""

# The same as soon as a function is called.
AT_CALL = """
import os, signal
from unittest import mock
import {module} as module

real = getattr(module, {name!r})

def interrupted(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGINT)
    return real(*args, **kwargs)

mock.patch.object(module, {name!r}, interrupted).start()
"""

RUN = """
import sys
sys.argv = ["olmo-explain", *{words!r}]
from olmo_explain.__main__ import main
main()
"""


def interrupted(prepare: str, *words: str) -> Ran:
    return run_python("-c", prepare + RUN.format(words=words), code=130)


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("typer", ["config", "tiny"]),
        ("rich.console", ["config", "tiny"]),
        ("olmo_explain.terminal.config", ["config", "tiny"]),
        ("numpy", ["head", "tiny", "--all"]),
        ("numpy.linalg", ["head", "tiny", "--all"]),
        ("torch", ["trace", "tiny"]),
        ("torch.nn", ["trace", "tiny"]),
        ("transformers", ["verify", "tiny"]),
        ("transformers.models.olmo3.modeling_olmo3", ["verify", "tiny"]),
    ],
)
def test_while_a_module_is_imported(module, words):
    ran = interrupted(AT_IMPORT.format(module=module), *words)
    assert ran.stdout == "" and ran.stderr.strip().count("\n") == 0
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("module", "name", "words"),
    [
        ("olmo_explain.checkpoint.norms", "_squares", ["head", "tiny", "--all"]),
        ("olmo_explain.checkpoint.comparing", "have_same_bits", ["diff", "tiny", "tiny"]),
        ("olmo_explain.running.loading", "_tokenizer", ["trace", "tiny"]),
        ("olmo_explain.running.tracing", "_name", ["trace", "tiny"]),
        ("olmo_explain.proof.verification", "layer_by_hand", ["verify", "tiny"]),
    ],
)
def test_while_a_command_is_at_work(module, name, words):
    ran = interrupted(AT_CALL.format(module=module, name=name), *words, "--json")
    assert ran.stdout == "" and "Traceback" not in ran.stderr
    assert ran.stderr.strip().count("\n") == 0


def test_a_second_time_on_the_way_out():
    twice = """
import os, signal

def leave(code, leave=os._exit):
    os._exit = leave
    signal.raise_signal(signal.SIGINT)
    leave(code)

os._exit = leave
"""
    ran = interrupted(twice + AT_IMPORT.format(module="rich.console"), "config", "tiny")
    assert (ran.stdout, ran.stderr.strip()) == ("", "")


def test_after_the_result_while_python_puts_its_things_away():
    """It ends the process, as a shell's 130, and the result has been said."""
    at_exit = "import atexit, signal; atexit.register(signal.raise_signal, signal.SIGINT)\n"
    code = at_exit + RUN.format(words=["config", "tiny", "--json"])
    ran = run_python("-c", code, code=-signal.SIGINT)
    assert json.loads(ran.stdout) and ran.stderr == ""


def test_the_console_script_and_the_module_are_the_same_door():
    config = json.loads(run_process("config", "tiny", "--json").stdout)
    assert config["num_hidden_layers"] == 8
    script = Path(sys.executable).with_name("olmo-explain")
    if script.exists():
        assert "olmo_explain.__main__" in script.read_text()


def test_a_job_in_the_background_ignores_it():
    code = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    code += AT_IMPORT.format(module="typer") + RUN.format(words=["config", "tiny", "--json"])
    assert json.loads(run_python("-c", code).stdout)


def test_by_the_key_in_a_terminal_that_shows_a_bar():
    """A server that never answers is waited for; Ctrl-C ends that, and the cursor comes back."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/olmo"
        child, terminal = pty.fork()
        if child == 0:
            os.environ["TERM"] = "xterm"
            os.execv(sys.executable, [sys.executable, "-m", "olmo_explain", "config", url])
        shown = read_until(terminal, b"Waiting for 127.0.0.1")
        os.write(terminal, b"\x03")
        shown += read_until(terminal, None)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 130, shown.decode()
    assert b"Traceback" not in shown
    assert shown.rfind(b"\x1b[?25h") > shown.rfind(b"\x1b[?25l") >= 0


def read_until(terminal: int, words: bytes | None) -> bytes:
    """What a terminal shows until it shows these words, or to its end."""
    shown, end = b"", time.monotonic() + 60
    while (words is None or words not in shown) and time.monotonic() < end:
        try:
            some = os.read(terminal, 2**12)
        except OSError:  # the other end is closed
            break
        if not some:
            break
        shown += some
    assert words is None or words in shown, shown.decode()
    return shown
