"""Singular values of a head: those of the whole matrices, by numpy's dense SVD in float64."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from support.checkpoints import write_random, write_sparse_7b
from support.commands import answer, as_code, imports, refused, run

from olmo_explain.checkpoint import Checkpoint, effective_rank, head_spectra, read_config
from olmo_explain.errors import CheckpointError, OutOfRange

DH, HEADS = 8, 4
SHAPES = [
    {},  # two key-value heads of four
    {"num_key_value_heads": 4},
    {"num_key_value_heads": 1},
    {"hidden_size": 48, "head_dim": DH},  # heads are not as wide together as the model
]


def matrices(directory, layer: int, head: int, kv_heads: int) -> dict[str, np.ndarray]:
    """All of the head's matrices whole, in float64: OV and QK of hidden_size × hidden_size."""
    tensors = load_file(directory / "model.safetensors")
    weights = {
        name: tensors[f"model.layers.{layer}.self_attn.{name}.weight"].double().numpy()
        for name in ("q_proj", "k_proj", "v_proj", "o_proj", "q_norm", "k_norm")
    }
    own, shared = (slice(n * DH, (n + 1) * DH) for n in (head, head * kv_heads // HEADS))
    q, k, v = weights["q_proj"][own], weights["k_proj"][shared], weights["v_proj"][shared]
    o = weights["o_proj"][:, own]
    scaled_q, scaled_k = np.diag(weights["q_norm"][own]) @ q, np.diag(weights["k_norm"][shared]) @ k
    return {
        "q_proj": q, "k_proj": k, "v_proj": v, "o_proj": o, "ov": o @ v,
        "qk": scaled_q.T @ scaled_k,
    }  # fmt: skip


@pytest.mark.parametrize("changes", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_spectra_are_those_of_a_dense_svd(tmp_path, changes, dtype):
    write_random(tmp_path, dtype=dtype, **changes)
    kv_heads = changes.get("num_key_value_heads", 2)
    for layer, head in [(0, 0), (3, 3), (1, 2)]:
        found = head_spectra(str(tmp_path), layer, head)
        assert found.head.head == head
        for name, matrix in matrices(tmp_path, layer, head, kv_heads).items():
            dense = np.linalg.svd(matrix, compute_uv=False)
            assert found.spectra[name] == pytest.approx(dense[:DH], rel=1e-5)
            assert dense[DH:] == pytest.approx(0, abs=1e-12)  # the rest are none
            shares = dense[:DH] / dense[:DH].sum()
            rank = np.prod(shares**-shares)
            assert found.effective_rank[name] == pytest.approx(rank, rel=1e-6)


def test_scores_at_one_position_are_what_qk_says():
    """Of the running model: q·k of two tokens at the same place, each divided by its RMS."""
    from olmo_explain.by_hand import run_by_hand
    from olmo_explain.running import load

    model, _ = load("tiny", "float32")
    layer, head = 3, 2  # full attention, with YaRN
    values = run_by_hand(model, [5, 6, 7, 8])
    x = values[layer, "resid_pre"][0].double()  # (T, D): OLMo 3 has no norm before attention
    attention = model.model.layers[layer].self_attn
    q, k = (linear(x.float()).double() for linear in (attention.q_proj, attention.k_proj))
    rms = [1 / it.pow(2).mean(-1, keepdim=True).add(1e-6).sqrt() for it in (q, k)]
    own = slice(head * 32, head * 32 + 32)
    gains = attention.q_norm.weight[own] * attention.k_norm.weight[own]
    W_Q, W_K = (it.weight[own].double() for it in (attention.q_proj, attention.k_proj))
    QK = W_Q.T @ torch.diag(gains.double()) @ W_K
    expected = torch.diagonal((x @ QK @ x.T) * rms[0] * rms[1].T) / 32**0.5
    scores = torch.diagonal(values[layer, "scores"][0, head]).double()
    factor = read_config("tiny").rope["full_attention"].attention_factor
    assert factor > 1 and torch.allclose(scores, factor**2 * expected, rtol=1e-4)
    spectrum = torch.linalg.svdvals(QK)[:32].detach().numpy()
    assert head_spectra("tiny", layer, head).spectra["qk"] == pytest.approx(spectrum, rel=1e-5)


def test_the_command_says_what_head_says_and_more():
    words = ("head", "tiny", "--layer", 5, "--head", 1)
    plain, found = answer(*words), answer(*words, "--svd")
    assert {name: found[name] for name in plain} == plain
    assert set(found) - set(plain) == {"spectra", "effective_rank"}
    for name, part in plain["slices"].items():
        values = found["spectra"][name]
        assert values == sorted(values, reverse=True) and len(values) == 32
        assert np.linalg.norm(values) == pytest.approx(part["norm"], rel=1e-6)
    said = " ".join(run(*words, "--svd").stdout.split())
    assert "effective rank" in said and "At a distance RoPE turns it" in said
    assert imports(as_code(*map(str, words), "--svd")) <= {"numpy"}


def test_each_byte_is_read_once(tmp_path):
    write_random(tmp_path)
    checkpoint = Checkpoint(str(tmp_path))
    head_spectra(checkpoint, 1, 2)
    assert checkpoint.bytes_fetched == 2 * (4 * DH * 32 + 2 * DH)  # four slices and two gains


def test_on_a_head_of_the_7b_it_is_done_before_torch_is_imported(tmp_path):
    write_sparse_7b(tmp_path, layers=1, vocab_size=512, eos_token_id=None, pad_token_id=None)
    checkpoint = Checkpoint(str(tmp_path))
    numbers = np.random.default_rng(0).normal(0, 0.02, (4096, 4096)).astype("f4")
    for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
        tensor = checkpoint.tensor(f"model.layers.0.self_attn.{name}.weight")
        with (tmp_path / tensor.shard).open("r+b") as file:
            file.seek(tensor.start)
            file.write((numbers.view("<u4") >> 16).astype("<u2").tobytes())
    words = ["head", str(tmp_path), "--layer", "0", "--head", "27", "--svd", "--json"]
    ways = {
        "torch": [sys.executable, "-c", "import torch"],
        "svd": [sys.executable, "-m", "olmo_explain", *words],
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(3):
        for name, way in ways.items():
            started = time.perf_counter()
            done = subprocess.run(way, capture_output=True, check=True)
            seconds[name].append(time.perf_counter() - started)
    found = json.loads(done.stdout)
    assert found["effective_rank"]["q_proj"] > 100
    assert min(seconds["svd"]) < min(seconds["torch"])


def test_effective_ranks():
    assert effective_rank(np.ones(7)) == pytest.approx(7)
    assert effective_rank(np.array([3.0, 0, 0])) == 1
    assert effective_rank(np.zeros(5)) == 0


def test_zeros_have_spectra_of_zeros_and_what_is_no_number_has_none(tmp_path):
    tensors = write_random(tmp_path)
    name = "model.layers.0.self_attn.v_proj.weight"
    save_file(tensors | {name: torch.zeros_like(tensors[name])}, tmp_path / "model.safetensors")
    found = head_spectra(str(tmp_path), 0, 0)
    assert not found.spectra["v_proj"].any() and not found.spectra["ov"].any()
    assert found.effective_rank["ov"] == 0 and found.spectra["qk"].all()
    assert "0.0" in run("head", tmp_path, "--layer", 0, "--head", 0, "--svd").stdout
    for wrong in (torch.nan, torch.inf):
        tensors[name][3, 4] = wrong
        save_file(tensors, tmp_path / "model.safetensors")
        with pytest.raises(CheckpointError, match="v_proj of head 0 in layer 0 has no singular"):
            head_spectra(str(tmp_path), 0, 0)
        assert head_spectra(str(tmp_path), 0, 2).spectra["ov"].all()  # another key-value head


def test_what_cannot_be_asked():
    with pytest.raises(OutOfRange, match="no head 4"):
        head_spectra("tiny", 0, 4)
    assert "without --all" in refused("head", "tiny", "--all", "--svd")
    assert "Give both --layer and --head" in refused("head", "tiny", "--layer", 1, "--svd")
