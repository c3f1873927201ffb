"""`golden` and `diagnose`: files, exit codes, JSON, and what a person reads."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from support.commands import answer, as_code, imports, refused, run
from support.random_olmo import build, olmo3
from support.servers import FileServer, running
from transformers import PreTrainedTokenizerFast

from olmo_explain.by_hand import run_by_hand
from olmo_explain.checkpoint import Checkpoint, preset, read_config

TOKENIZER = "tokenizer.json"


@pytest.fixture(scope="module")
def golden(tmp_path_factory):
    path = tmp_path_factory.mktemp("golden") / "tiny.safetensors"
    run("golden", "tiny", "--prompt-length", 40, "--output", path)
    return path


def test_golden_is_the_pass_by_hand(golden):
    written = load_file(golden)
    values = run_by_hand(
        Checkpoint("tiny"), written["ids"], config=read_config("tiny"), dtype=torch.float32
    )
    assert len(written) == len(values) + 1
    for (layer, name), value in values.items():
        stored = written[name if layer is None else f"{layer}.{name}"]
        assert stored.dtype == value.dtype and torch.equal(stored, value)
    with safe_open(golden, "pt") as file:
        made = file.metadata()
    assert made["model"] == "tiny" and made["dtype"] == "float32"
    assert set(json.loads(made["versions"])) == {"python", "torch", "olmo-explain"}


def test_golden_of_a_text_has_the_ids_of_the_tokenizer(tmp_path):
    written = answer("golden", "tiny", "--prompt=To be", "--output", tmp_path / "a.safetensors")
    (ids,) = written["ids"]
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(preset("tiny").directory / TOKENIZER))
    assert ids == tokenizer("To be").input_ids and written["values"] == 211
    assert written["bytes"] == (tmp_path / "a.safetensors").stat().st_size
    again = answer(
        "golden", "tiny", "--ids", ",".join(map(str, ids)), "--output", tmp_path / "b.safetensors"
    )
    assert again["ids"] == written["ids"]


def test_golden_is_diagnosed_as_equal(golden):
    found = answer("diagnose", "tiny", golden)
    assert found["ok"] is True and found["diagnosis"] is None
    assert found["max_abs_diff"] == 0 and found["first_difference"] is None
    assert "ok equal within the tolerance" in run("diagnose", "tiny", golden).stdout


@pytest.fixture
def wrong(golden, tmp_path):
    config = read_config("tiny")
    ids = load_file(golden)["ids"]
    values = run_by_hand(
        Checkpoint("tiny"), ids, config=replace(config, sliding_window=31), dtype=torch.float32
    )
    return {"ids": ids, "logits": values["logits"]}


@pytest.mark.parametrize("ending", ["safetensors", "npz", "json"])
def test_a_fault_is_named_with_what_to_look_at_and_exit_code_1(wrong, tmp_path, ending):
    path = tmp_path / f"engine.{ending}"
    match ending:
        case "safetensors":
            save_file(wrong, path)
        case "npz":
            np.savez(path, **{name: it.numpy() for name, it in wrong.items()})
        case "json":
            path.write_text(json.dumps({name: it.tolist() for name, it in wrong.items()}))
    found = answer("diagnose", "tiny", path, code=1)
    keys = {"ok", "max_abs_diff", "first_difference", "diagnosis", "explained_to", "faults"}
    assert keys <= set(found)
    assert found["diagnosis"] == "window-minus-one" and found["explained_to"] > 0.999
    assert {"layer", "step", "name"} <= set(found["first_difference"])
    assert found["faults"][0]["name"] == "window-minus-one"
    shown = run("diagnose", "tiny", path, code=1, columns=200).stdout
    assert "window-minus-one explains 100.00 % of it" in shown and "Look at the window" in shown


def test_unknown_is_said_and_what_came_nearest(tmp_path):
    build(olmo3(), torch.float32).save_pretrained(tmp_path / "model")
    ids, logits = np.arange(20)[None], np.random.default_rng(1).normal(size=(1, 20, 40))
    np.savez(tmp_path / "noise.npz", ids=ids, logits=logits)
    words = ("diagnose", tmp_path / "model", tmp_path / "noise.npz")
    shown = run(*words, code=1, columns=120).stdout
    assert "unknown no known fault, nor two at once, explains it." in shown
    nearest = shown.partition("The nearest, none of them near enough:")[2]
    rows = re.findall(r"^ *([a-z-]+)(?: \(.*\))? +([0-9.]+) *$", nearest, re.MULTILINE)
    names, distances = zip(*rows, strict=True)
    distances = list(map(float, distances))
    assert distances == sorted(distances) and len(set(names)) == len(names)
    right = float(re.search(r"max \|Δ\| of logits ([0-9.]+)", shown)[1])
    assert max(distances) <= right
    assert all(f"({letter}) " in shown for letter in "abc")


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.txt", "", "has no ending that says what it holds"),
        ("a.json", "{", "is not json"),
        ("a.json", "[1]", "holds no JSON object"),
        ("a.json", "{}", "There are no ids"),
        ("a.npz", "no archive", "a.npz"),
        ("a.safetensors", "no header", "is not safetensors"),
        (None, "", "cannot be read (No such file or directory)"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(tmp_path, name, text, says):
    if name:
        (tmp_path / name).write_text(text)
    assert says in refused("diagnose", "tiny", tmp_path / (name or "gone.json"))


def test_other_bad_input_is_one_line(tmp_path, golden):
    out = tmp_path / "a.safetensors"
    assert "Unknown dtype 'int9'" in refused("diagnose", "tiny", golden, "--dtype", "int9")
    assert "has no ending" in refused("golden", "tiny", "--output", tmp_path / "a.bin")
    assert "say the same thing twice" in refused(
        "golden", "tiny", "--ids", 5, "--prompt-length", 2, "--output", out
    )
    assert "There is no token 9999" in refused("golden", "tiny", "--ids", 9999, "--output", out)
    assert "olmo3-7b" in refused("golden", "olmo3-7b", "--ids", 5, "--output", out)
    assert list(tmp_path.iterdir()) == []


def test_weights_that_lie_elsewhere_are_not_fetched_again_and_again(golden):
    with running(FileServer(preset("tiny").directory)) as server:
        said = refused("diagnose", server.url, golden)
    assert "are not on this machine" in said and "Download them first" in said


def test_neither_waits_for_transformers(golden):
    assert "transformers" not in imports(as_code("diagnose", "tiny", str(golden)))
