"""What a terminal of 80 columns shows: no number and no name is cut, and layers are told once."""

import json
import math
import re

import pytest
from support.checkpoints import tiny_fields
from support.commands import answer, run

from olmo_explain.checkpoint import read_config

ROW = re.compile(r"^ *\d+  [ a-z_]", re.MULTILINE)


@pytest.mark.parametrize("model", ["tiny", "olmo3-7b", "olmo3-32b"])
@pytest.mark.parametrize(
    "words",
    [
        ("config",),
        ("flops",),
        ("flops", "--seq", "65536", "--batch", "64"),
        ("flops", "--seq", "65536", "--decode"),
        ("trace",),
        ("trace", "--prompt-length", "1000", "--all"),
    ],
    ids=" ".join,
)
def test_nothing_is_cut(words, model):
    command, *options = words
    shown = run(command, model, *options).stdout
    assert "…" not in shown.replace("…_", "").replace("as …", "").replace("… the", "")
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize(
    "words", [["config"], ["flops"], ["trace"], ["trace", "--all"], ["verify"]], ids=" ".join
)
def test_where_a_table_has_no_room_no_digit_is_cut(words):
    """It runs over the edge, where a terminal goes on in the next line."""
    narrow, wide = (run(words[0], "tiny", *words[1:], columns=n).stdout for n in (40, 120))
    assert "…" not in narrow.replace("as …", "").replace("… the", "")
    assert set(re.findall(r"\d[\d,.]{3,}", wide)) <= set(re.findall(r"\d[\d,.]{3,}", narrow))


def test_config_breaks_no_name():
    shown = run("config", "olmo3-7b").stdout
    for component in read_config("olmo3-7b").components:
        name = component.name.removeprefix("model.").removeprefix("layers.{layer}.")
        assert f" {name.removesuffix('.weight')} " in shown
        assert f" {component.parameters:,} " in shown


def test_the_roofline_fits_too(monkeypatch):
    monkeypatch.setattr("olmo_explain.costs.roofline.MATRIX", 64)
    monkeypatch.setattr("olmo_explain.costs.roofline.READ_BYTES", 2**16)
    shown = run("flops", "olmo3-7b", "--seq", "65536", "--roofline").stdout
    table = shown.partition("Whole model")[0]
    assert "…" not in table and "post_feedforward_layernorm" in table


def test_exact_digits_are_in_json():
    costs = answer("flops", "olmo3-7b", "--seq", "65536")
    scores = next(row for row in costs["operations"] if row["name"] == "scores")
    assert scores["macs"] == 32 * 65536**2 * 128
    assert "17.6 T" in run("flops", "olmo3-7b", "--seq", "65536").stdout


@pytest.mark.parametrize(("model", "calls", "rows"), [("tiny", 101, 17), ("olmo3-7b", 389, 17)])
def test_layers_that_ran_alike_are_told_once(model, calls, rows):
    folded, every = (run("trace", model, *more, columns=120).stdout for more in ((), ("--all",)))
    assert len(ROW.findall(folded)) == rows and len(ROW.findall(every)) == calls
    layers = read_config(model).num_hidden_layers
    assert f"layers 0–{layers - 1}, each:" in folded and "--all" in folded
    assert f"{calls} in all" in " ".join(folded.split())


def test_operators_fold_as_well():
    folded, every = (run("trace", "tiny", "--ops", *more).stdout for more in ((), ("--all",)))
    assert "layers 0–7, each:" in folded
    assert len(folded.splitlines()) < len(every.splitlines()) / 3


@pytest.mark.parametrize(("dtype", "size"), [("float32", 4), ("bfloat16", 2)])
def test_the_kv_cache_is_in_the_dtype_of_the_config(tmp_path, dtype, size):
    (tmp_path / "config.json").write_text(json.dumps(tiny_fields(torch_dtype=dtype)))
    for command in ("flops", "config"):
        shown = " ".join(run(command, tmp_path).stdout.split())
        assert f"KV cache ({dtype}" in shown
    config = read_config(tmp_path)
    assert config.kv_cache_bytes(1) == 2 * math.prod((4, 2, 8, size))
