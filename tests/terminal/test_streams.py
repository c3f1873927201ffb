"""Streams that are closed, full, broken or slow: one line, the exit code that a shell expects, and
stdout holds the whole result or nothing of it."""

import fcntl
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import refused, run_python

from olmo_explain.checkpoint import preset
from olmo_explain.waiting import is_seen

PYTHON = f"exec {sys.executable} -m olmo_explain"
ENDS = {
    "closed": (f"{PYTHON} config tiny >&-", 2, "standard output is closed"),
    "closed, as JSON": (f"{PYTHON} config tiny --json >&-", 2, "standard output is closed"),
    "full": (f"{PYTHON} config tiny --json >/dev/full", 2, "No space left on device"),
    "a file too large": (f"ulimit -f 0; {PYTHON} config tiny >too_large", 2, "File too large"),
    "broken": (f"({PYTHON} config tiny) | true; exit ${{PIPESTATUS[0]}}", 141, ""),
    "broken, as JSON": (f"set -o pipefail; ({PYTHON} weights tiny --json) | true", 141, ""),
    "broken, the help": (f"set -o pipefail; ({PYTHON} flops --help) | true", 141, ""),
    "stderr closed": (f"{PYTHON} config nosuch --json 2>&-", 2, ""),
    "stderr full": (f"{PYTHON} config nosuch 2>/dev/full", 2, ""),
    "both closed": (f"{PYTHON} config tiny >&- 2>&-", 2, ""),
}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has it")
def test_what_cannot_be_written(tmp_path):
    started = {
        name: subprocess.Popen(
            ["bash", "-c", command],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        )
        for name, (command, _, _) in ENDS.items()
    }  # fmt: skip
    for name, process in started.items():
        _, code, said = ENDS[name]
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (code, ""), (name, err)
        assert said in err and err.count("\n") == bool(said), (name, err)


def test_a_reader_who_is_slow_gets_all_of_it():
    """From a pipe that never waits: what it cannot take at once is not lost."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETFL, os.O_NONBLOCK)
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    words = [sys.executable, "-m", "olmo_explain", "weights", "tiny", "--json"]
    with subprocess.Popen(words, stdout=writing, stderr=subprocess.PIPE) as process:
        os.close(writing)
        with os.fdopen(reading) as pipe:
            said = pipe.read()
        assert process.stderr.read() == b""
    assert process.returncode == 0 and len(said) > 2**13
    assert len(json.loads(said)["tensors"]) == 91


def test_stdin_may_be_closed():
    ran = subprocess.run(["bash", "-c", f"{PYTHON} config tiny --json <&-"], capture_output=True)
    assert ran.returncode == 0 and json.loads(ran.stdout)


def test_json_loses_no_letter_where_a_pipe_is_not_unicode(tmp_path):
    """As on Windows, whose pipes have the letters of one region."""
    shutil.copytree(preset("tiny").directory, tmp_path / "λ")
    words = ("-m", "olmo_explain", "diff", tmp_path / "λ", "tiny", "--json")
    ran = run_python(*words, PYTHONIOENCODING="cp1252")
    found = json.loads(ran.stdout)
    assert ran.stdout.isascii() and found["a"] == str(tmp_path / "λ")


@pytest.mark.parametrize("stream", [None, io.StringIO()], ids=["none", "closed"])
def test_from_python_stderr_may_be_missing(monkeypatch, stream):
    if stream:
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    assert not is_seen()


def test_a_file_that_loses_its_bytes_while_it_is_mapped_is_one_line(tmp_path):
    path = tmp_path / "mapped"
    path.write_bytes(bytes(2**16))
    code = f"""
import mmap, os
from olmo_explain.terminal.streams import catch_bus_error
catch_bus_error()
file = open({str(path)!r}, "r+b")
mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
os.truncate({str(path)!r}, 0)
print(mapped[2**15])
"""
    ran = run_python("-c", code, code=2)
    assert ran.stdout == "" and ran.stderr.count("\n") == 1
    assert "was cut short meanwhile" in ran.stderr


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["flops", "tiny", "--nosuch"], "flops"),
        (["head", "tiny", "--layer"], "head"),
        (["weights"], "weights"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_usage_error_names_the_command_that_can_help(words, command):
    assert refused(*words).endswith(f"Try: olmo-explain {command} --help\n")


def test_no_command_shows_them_all():
    ran = run_python("-m", "olmo_explain", code=2)
    assert "verify" in ran.stdout + ran.stderr and "Usage: olmo-explain" in ran.stdout + ran.stderr
