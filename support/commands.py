"""Commands as their users call them: in this process, or in one of their own."""

import io
import json
import os
import subprocess
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple
from unittest import mock

import pytest

HEAVY = ("torch", "transformers", "numpy", "requests", "huggingface_hub")
"""What a command that needs no model, no network and no picture does not wait for."""


class Ran(NamedTuple):
    """How a command ended, and what it said."""

    code: int
    stdout: str
    stderr: str


def run(*words: object, code: int | None = 0, columns: int = 80, **environment: str) -> Ran:
    """`olmo-explain` with these words, in this process, which has loaded torch already.

    `code`: the exit code that it must end with; None for any. `columns`: of the terminal.
    """
    from olmo_explain.terminal import main

    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["olmo-explain", *map(str, words)]),
        mock.patch.dict(os.environ, COLUMNS=str(columns), **environment),
        warnings.catch_warnings(),  # a command shows them in its own way
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    ran = Ran(ended.value.code, out.getvalue(), err.getvalue())
    assert code in (None, ran.code), ran.stderr
    return ran


def answer(*words: object, code: int = 0) -> dict:
    """What a command says with --json."""
    return json.loads(run(*words, "--json", code=code).stdout)


def refused(*words: object, **environment: str) -> str:
    """The one line that a command says of its bad input."""
    ran = run(*words, code=2, **environment)
    assert not ran.stdout
    assert ran.stderr.startswith("olmo-explain: ") and ran.stderr.count("\n") == 1, ran.stderr
    return ran.stderr


def run_process(*words: object, code: int | None = 0, **environment: str) -> Ran:
    """The same in a process of its own, where the process is what is tested."""
    return run_python("-m", "olmo_explain", *words, code=code, **environment)


def run_python(*words: object, code: int | None = 0, **environment: str) -> Ran:
    """This Python with these words; what is set for the hub here is not set there."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True,
        text=True,
        env=ours | environment,
        timeout=120,
    )
    assert code in (None, done.returncode), done.stderr
    return Ran(done.returncode, done.stdout, done.stderr)


def as_code(*words: str, code: int = 0) -> str:
    """Python that runs a command, which must end with this code, and goes on after its end."""
    return (
        f"import sys; sys.argv = ['olmo-explain', *{words!r}]\n"
        "from olmo_explain.__main__ import main\n"
        "try: main()\n"
        f"except SystemExit as end: assert (end.code or 0) == {code}\n"
    )


def imports(code: str) -> set[str]:
    """Which of HEAVY has been imported when a Python of its own has run this code."""
    ran = run_python("-c", f"{code}\nimport sys; print(*sys.modules, file=sys.stderr)")
    return set(HEAVY) & set(ran.stderr.split())
