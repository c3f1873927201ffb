"""Names that others chose reach neither a terminal nor JSON with what steers it."""

import io
import json
import logging

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file
from support.checkpoints import write_random
from support.commands import refused, run

from olmo_explain import table, waiting
from olmo_explain.errors import ExplainError
from olmo_explain.words import UNSEEN, printable

NAME = "\x1b[31mred\x9b\u202e\x7f:smile:[bold]"
SHOWN = r"\x1b[31mred\x9b\u202e\x7f:smile:[bold]"


def is_plain(text: str) -> bool:
    return not UNSEEN.search(text.replace("\n", "").replace("\t", ""))


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A checkpoint with one tensor too many, of an odd name, in a directory of an odd name."""
    directory = tmp_path_factory.mktemp("odd") / "\x1b]0;d\x07"
    directory.mkdir()
    write_random(directory)
    file = directory / "model.safetensors"
    save_file(load_file(file) | {NAME: torch.zeros(3)}, file)
    return directory


@pytest.mark.parametrize(
    "words",
    [
        ("config",), ("flops",), ("weights",), ("weights", NAME), ("weights", NAME, "--rows", "9:"),
        ("weights", NAME + "x"), ("head", "--all"), ("diff", "tiny"), ("trace",), ("verify",),
        ("verify", "--ids", NAME),
    ],
)  # fmt: skip
@pytest.mark.parametrize("json", [(), ("--json",)], ids=["text", "json"])
def test_no_command_hands_them_on(odd, words, json):
    command, *others = words
    ran = run(command, odd, *others, *json, code=None, columns=200)
    assert ran.code in (0, 2)
    assert is_plain(ran.stdout) and is_plain(ran.stderr)
    assert ran.stdout or ran.stderr.count("\n") == 1


def test_a_name_is_written_out_and_in_json_it_is_the_same(odd):
    assert SHOWN in run("weights", odd, columns=200).stdout
    tensors = json.loads(run("weights", odd, "--json").stdout)["tensors"]
    assert NAME in {tensor["name"] for tensor in tensors}


def test_bytes_that_are_no_text(tmp_path):
    directory = tmp_path / "d\udcff"
    directory.mkdir()
    write_random(directory)
    assert json.loads(run("config", directory, "--json").stdout)["hidden_size"] == 32
    said = "The directory's name holds bytes that are no UTF-8"
    assert said in refused("verify", directory)
    said = "The prompt holds bytes that are no UTF-8"
    assert said in refused("trace", "tiny", "--prompt", "\udcff")
    assert r"no directory /\udcff/x." in refused("config", "/\udcff/x")


def test_what_a_library_logs(odd):
    """transformers lists the names of tensors that no model wants, in bold."""
    run("weights", odd)
    said = io.StringIO()
    (logger := logging.getLogger("test")).addHandler(handler := logging.StreamHandler(said))
    logger.warning(
        "\x1b[1mREPORT\x1b[0m of %s\n%s", "http://me:secret@host/x?key=secret", "a\x1b]b"
    )
    logger.removeHandler(handler)
    assert said.getvalue() == "REPORT of http://host/x\na\\x1b]b\n"


def test_errors_bars_and_tables():
    assert str(ExplainError(f"There is no {NAME}", "Look")) == f"There is no {SHOWN}. Look."
    assert SHOWN in table([(NAME, 1)], ["name", "n"], "One").to_text()
    assert "\u202e" not in table([(NAME, 1)], ["name", "n"], "One")._repr_html_()
    assert printable("a\tb\n", keep="\n") == "a\\tb\n" and printable("\udcff") == "\\udcff"


def test_a_bar(monkeypatch):
    monkeypatch.setattr(waiting, "is_seen", lambda: True)
    with waiting.progress(NAME):
        (bar,) = waiting._shown
        (console := Console(file=io.StringIO(), width=200)).print(bar.get_renderable())
        assert SHOWN in console.file.getvalue()
