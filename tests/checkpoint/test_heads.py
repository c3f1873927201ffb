"""One head and all heads: the slices of the loaded model, its norms, memory, the two commands."""

import json
import math
import time

import numpy as np
import psutil
import pytest
import torch
from support.checkpoints import write_random, write_sparse_7b
from support.commands import answer, as_code, imports, refused, run
from support.terminals import AT_ONCE, on_a_terminal

from olmo_explain.checkpoint import (
    PROJECTIONS,
    Checkpoint,
    frobenius,
    head_norms,
    head_slices,
    initial_norm,
    read_config,
    read_head,
)
from olmo_explain.errors import CheckpointError, OutOfRange
from olmo_explain.running import load


def slices_of(model, layer: int, head: int) -> dict[str, torch.Tensor]:
    """The slices of a head, cut from the loaded model."""
    attention, config = model.model.layers[layer].self_attn, model.config
    Dh = config.hidden_size // config.num_attention_heads
    kv_head = head * config.num_key_value_heads // config.num_attention_heads
    own, shared = (slice(number * Dh, (number + 1) * Dh) for number in (head, kv_head))
    return {
        "q_proj": attention.q_proj.weight[own],
        "k_proj": attention.k_proj.weight[shared],
        "v_proj": attention.v_proj.weight[shared],
        "o_proj": attention.o_proj.weight[:, own],
    }


# -- one head -------------------------------------------------------------------------------------


def test_the_slices_of_head_27_of_layer_17():
    slices = head_slices(read_config("olmo3-7b"), 17, 27)
    assert [(part.axis, part.start, part.stop, part.shape) for part in slices.values()] == [
        (0, 3456, 3584, (128, 4096)),
        (0, 3456, 3584, (128, 4096)),
        (0, 3456, 3584, (128, 4096)),
        (1, 3456, 3584, (4096, 128)),
    ]
    assert slices["k_proj"].tensor == "model.layers.17.self_attn.k_proj.weight"
    assert slices["o_proj"].chosen() == {"cols": slice(3456, 3584)}


def test_five_heads_of_the_32b_share_a_key_value_head():
    slices = head_slices(read_config("olmo3-32b"), 63, 39)
    assert (slices["q_proj"].start, slices["k_proj"].start) == (39 * 128, 7 * 128)


@pytest.mark.parametrize("changes", [{}, {"num_key_value_heads": 4}, {"num_key_value_heads": 1}])
def test_a_head_is_the_slice_of_the_loaded_model(tmp_path, changes):
    write_random(tmp_path, shards=2, **changes)
    model, _ = load(str(tmp_path))
    checkpoint = Checkpoint(str(tmp_path))
    for layer, number in [(0, 0), (2, 3), (3, 1)]:
        head = read_head(checkpoint, layer, number)
        for projection, expected in slices_of(model, layer, number).items():
            part = head.slices[projection]
            read = checkpoint.read(part.tensor, **part.chosen())
            assert part.shape == read.shape and np.array_equal(read, expected.detach().float())
            norm = torch.linalg.vector_norm(expected.detach().double())
            assert head.norms[projection] == pytest.approx(norm.item(), rel=1e-6)


def test_the_head_command_agrees_with_the_loaded_model():
    head = answer("head", "tiny", "--layer", 5, "--head", 1)
    model, _ = load("tiny")
    assert head["model"] == "tiny" and head["kv_head"] == 1
    assert head["layer_type"] == "sliding_attention"
    assert head["slices"]["q_proj"]["rows"] == head["slices"]["o_proj"]["cols"] == [32, 64]
    for projection, expected in slices_of(model, 5, 1).items():
        assert head["slices"][projection]["shape"] == list(expected.shape)
        norm = torch.linalg.vector_norm(expected.detach().double()).item()
        assert head["slices"][projection]["norm"] == pytest.approx(norm, rel=1e-6)


def test_a_layer_or_a_head_that_is_not_there():
    with pytest.raises(OutOfRange, match=r"no layer 8\. Choose a layer from 0 to 7"):
        read_head("tiny", 8, 0)
    said = refused("head", "tiny", "--layer", 0, "--head", 4)
    assert "no head 4. Choose a head from 0 to 3" in said
    assert "Give both --layer and --head" in refused("head", "tiny", "--layer", 1)


def test_weights_that_are_not_those_of_the_config(tmp_path):
    write_random(tmp_path)
    fields = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**fields, "num_key_value_heads": 4}))
    for read in (lambda: read_head(str(tmp_path), 0, 0), lambda: head_norms(str(tmp_path))):
        with pytest.raises(CheckpointError, match=r"k_proj.weight of shape \[16, 32\], but config"):
            read()


# -- all heads ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_all_norms_are_those_of_each_head(tmp_path, dtype):
    write_random(tmp_path, dtype=dtype)
    norms = head_norms(str(tmp_path))
    assert {name: values.shape for name, values in norms.items()} == {
        "q_proj": (4, 4),
        "k_proj": (4, 2),
        "v_proj": (4, 2),
        "o_proj": (4, 4),
    }
    for layer in range(4):
        for number in range(4):
            head = read_head(str(tmp_path), layer, number)
            for projection in PROJECTIONS:
                column = head.kv_head if projection in ("k_proj", "v_proj") else number
                expected = pytest.approx(head.norms[projection], rel=1e-6)
                assert norms[projection][layer, column] == expected


def test_norms_are_summed_well_where_float16_would_overflow():
    bits = np.full((1000, 4096), np.float16(60000)).view("<u2")
    assert frobenius(bits, "F16") == pytest.approx(60_000 * math.sqrt(4_096_000), rel=1e-6)
    large = np.full((2, 8), np.float32(1e20)).view("<u4")
    assert frobenius(large, "F32") == pytest.approx(4e20)
    bfloat16 = np.array([[0x6000, 0xE000]], "<u2")  # ±2**65
    assert frobenius(bfloat16, "BF16") == pytest.approx(2**65.5)
    huge = np.full((2, 8), 1e200).view("<u8")
    assert frobenius(huge, "F64") == pytest.approx(4e200)
    assert frobenius(np.full((2, 8), 1e308).view("<u8"), "F64") == math.inf  # beyond them all


def test_initialisation_gives_the_norm_that_is_expected():
    config = read_config("olmo3-7b")
    assert initial_norm(config) == pytest.approx(14.48, abs=0.005)
    drawn = np.random.default_rng(0).normal(0, 0.02, (128, 4096))
    assert np.linalg.norm(drawn) == pytest.approx(initial_norm(config), rel=0.01)


def test_all_heads_of_tiny_as_json():
    ran = run("head", "tiny", "--all", "--json")
    norms = json.loads(ran.stdout)["norms"]
    for name, expected in head_norms("tiny").items():
        assert np.array_equal(np.float32(norms[name]), expected)
    assert ran.stderr == ""  # no bar where there is no terminal


def test_a_weight_that_is_no_number_is_null_in_json(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.tensor([math.nan])}, tmp_path / "model.safetensors")
    assert answer("weights", tmp_path, "a")["norm"] is None


def test_memory_of_all_heads_at_7b_width_is_bounded_and_a_terminal_sees_a_bar(tmp_path):
    """8 layers, 1.07 GB of attention weights: what the process owns is a tensor or two of 34 MB."""
    write_sparse_7b(tmp_path, layers=8)
    peak = 0
    head = AT_ONCE + as_code("head", str(tmp_path), "--all", "--json")
    with on_a_terminal(head) as (process, shown):
        while process.poll() is None:
            try:
                peak = max(peak, psutil.Process(process.pid).memory_full_info().uss)
            except psutil.Error:
                break
            time.sleep(0.05)
        norms = json.loads(process.stdout.read())["norms"]
    assert process.returncode == 0 and np.shape(norms["k_proj"]) == (8, 32)
    assert 20e6 < peak < 250e6, peak
    assert b"attention weights" in shown and b"1.1 GB" in shown


# -- the commands ---------------------------------------------------------------------------------


def test_the_weights_command():
    o_proj = "model.layers.5.self_attn.o_proj.weight"
    weights = answer("weights", "tiny", o_proj, "--cols", "32:64")
    checkpoint = Checkpoint("tiny")
    place = checkpoint.locate(o_proj, cols=slice(32, 64))
    assert weights["byte_ranges"] == [list(pair) for pair in place.byte_ranges]
    assert (weights["shard"], weights["dtype"]) == ("model.safetensors", "BF16")
    assert weights["shape"] == [128, 32] and weights["tensor_shape"] == [128, 128]
    assert weights["bytes_needed"] == weights["bytes_fetched"] == 128 * 64
    assert weights["norm"] == pytest.approx(read_head("tiny", 5, 1).norms["o_proj"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--rows", "3-5"], "--rows '3-5' cannot be read. Write a:b, as 3456:3584."),
        (["--cols", "1:2:3"], "--cols '1:2:3' cannot be read"),
        (["--rows", "-1:3"], "--rows '-1:3' cannot be read"),
        (["--rows", "0:9999"], "has no rows 0:9999. It has 2048; choose a:b"),
        (["--rows", "7:7"], "has no rows 7:7"),
    ],
)
def test_rows_that_cannot_be_read(words, says):
    assert says in refused("weights", "tiny", "model.embed_tokens.weight", *words)


@pytest.mark.parametrize(
    "words",
    [
        ["weights", "tiny", "model.norm.weight"],
        ["head", "tiny", "--layer", "5", "--head", "1"],
        ["head", "tiny", "--all"],
    ],
)
def test_tables_for_people_without_torch(words):
    assert imports(as_code(*words)) <= {"numpy"}
    said = run(*words).stdout
    assert "tiny" in said and "norm" in said.lower()
