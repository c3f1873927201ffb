"""Commands on models that are right, and rare: no window, no spread of weights, no number."""

import math
import re
from io import StringIO
from pathlib import Path

import pytest
import torch
from rich.console import Console
from support.commands import answer, run
from support.old_configs import tiny_with

from olmo_explain.checkpoint import Checkpoint, read_config
from olmo_explain.costs import crossover_seq
from olmo_explain.errors import UsageError
from olmo_explain.proof import verify
from olmo_explain.running import load
from olmo_explain.terminal.verification import print_verification


@pytest.fixture(scope="module")
def all_full(tmp_path_factory) -> Path:
    """An OLMo 3 with full attention in every layer: it has no window to say."""

    def change(fields: dict) -> None:
        fields["layer_types"] = ["full_attention"] * fields["num_hidden_layers"]
        fields["sliding_window"] = None

    return tiny_with(tmp_path_factory.mktemp("full"), change)


def test_every_layer_full_and_no_window(all_full):
    assert answer("config", all_full)["sliding_window"] is None
    assert answer("trace", all_full, "--ids", "5,6")["counts"]["Linear"] == 57
    assert answer("verify", all_full)["ok"]
    assert answer("report", all_full)["ok"]


def test_what_it_has_not_is_said(all_full):
    with pytest.raises(UsageError, match="sliding_attention"):
        crossover_seq(read_config(all_full), "sliding_attention")


def test_weights_that_began_as_zeros(tmp_path):
    model = tiny_with(tmp_path, lambda fields: fields.update(initializer_range=0.0))
    shown = run("head", model, "--layer", 0, "--head", 0).stdout
    assert "–" in shown and "inf" not in shown and "norm is 0.00" in shown
    assert answer("head", model, "--layer", 0, "--head", 0)["initial_norm"] == 0


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_distance_that_is_no_number_is_not_shown_as_zero(value):
    model, _ = load("tiny")
    with torch.no_grad():
        model.get_parameter("model.layers.3.mlp.up_proj.weight")[7, 7] = value
    config, stored = read_config("tiny"), Checkpoint("tiny")
    checked = verify(model, [5, 6, 7], weights=stored, config=config)
    console = Console(file=StringIO(), width=80)
    print_verification(console, "tiny", config, checked)
    row = re.search(r"^ *3  .*$", console.file.getvalue(), re.MULTILINE)[0]
    assert "≠" in row and row.rstrip().endswith("–")
