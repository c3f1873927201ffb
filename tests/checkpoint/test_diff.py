"""Two checkpoints compared: what was planted is found and no more; bytes, memory, odd pairs."""

import json
import time
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file, save_file
from support.checkpoints import plant_norms, write_random, write_sparse_7b
from support.commands import answer, as_code, imports, refused, run
from support.servers import FileServer, running
from support.terminals import AT_ONCE, on_a_terminal

from olmo_explain.checkpoint import Checkpoint, diff, read_head
from olmo_explain.errors import CheckpointError, UsageError
from olmo_explain.terminal.comparing import _share

Q, NORM = "model.layers.2.self_attn.q_proj.weight", "model.norm.weight"


@pytest.fixture
def two(tmp_path) -> tuple[Path, Path, dict[str, torch.Tensor]]:
    """Two directories with the same checkpoint in it, and its tensors."""
    for name in "ab":
        (tmp_path / name).mkdir()
        tensors = write_random(tmp_path / name)
    return tmp_path / "a", tmp_path / "b", tensors


def change(directory: Path, **changes: torch.Tensor) -> None:
    path = directory / "model.safetensors"
    save_file(load_file(path) | changes, path)


def expected(a: torch.Tensor, b: torch.Tensor) -> dict[str, float]:
    """The four numbers by torch in float64."""
    bits = {2: torch.int16, 4: torch.int32, 8: torch.int64}[a.element_size()]
    p, q = a.double().flatten(), b.double().flatten()
    return {
        "equal": (a.view(bits) == b.view(bits)).double().mean().item(),
        "max_abs_diff": (p - q).abs().max().item(),
        "relative": ((p - q).norm() / p.norm()).item(),
        "cosine": torch.dot(p, q).item() / (p.norm() * q.norm()).item(),
    }


# -- every tensor ---------------------------------------------------------------------------------


def test_a_checkpoint_and_itself():
    found = answer("diff", "tiny", "tiny")
    assert found["ok"] and len(found["tensors"]) == 91
    assert {(it["equal"], it["max_abs_diff"], it["relative"], it["cosine"])
            for it in found["tensors"]} == {(1.0, 0.0, 0.0, 1.0)}  # fmt: skip
    assert not found["only_in_a"] + found["only_in_b"] + found["skipped"]
    assert "91 tensors of 91 have the same bits." in run("diff", "tiny", "tiny").stdout
    assert imports(as_code("diff", "tiny", "tiny")) <= {"numpy"}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("rows", [3, 4096])
@pytest.mark.parametrize("changed", [1, 0.02, 1.0])
def test_numbers_are_those_of_torch_in_float64(tmp_path, dtype, rows, changed):
    """Of one number, a fiftieth, and all of them; also where blocks are not filled."""
    generator = torch.Generator().manual_seed(0)
    a = 0.02 * torch.randn((rows, 96), generator=generator)
    which = torch.rand(a.shape, generator=generator) < changed
    if changed == 1:
        which = torch.zeros_like(which)
        which[-1, -1] = True
    b = torch.where(which, a + 0.003 * torch.randn(a.shape, generator=generator), a)
    pair = {"a": a.to(dtype), "b": b.to(dtype)}
    for name, tensor in pair.items():
        (tmp_path / name).mkdir()
        save_file({"x": tensor}, tmp_path / name / "model.safetensors")
    (found,) = diff(str(tmp_path / "a"), str(tmp_path / "b")).tensors
    for name, value in expected(pair["a"], pair["b"]).items():
        assert getattr(found, name) == pytest.approx(value, rel=1e-5, abs=1e-12), name
    assert found.equal == expected(pair["a"], pair["b"])["equal"]
    assert found.dtypes[0] == found.dtypes[1] and "dtypes" not in found.to_dict()


def test_what_only_one_has_and_what_cannot_be_compared(two):
    a, b, tensors = two
    change(
        b,
        extra=torch.ones(3),
        **{
            Q: tensors[Q][:16].clone(),
            NORM: tensors[NORM].float(),
            "lm_head.weight": (10 * tensors["lm_head.weight"]).to(torch.int8),
        },
    )
    change(a, gone=torch.ones(2))
    found = answer("diff", a, b)
    assert found["only_in_a"] == ["gone"] and found["only_in_b"] == ["extra"]
    assert {it["name"]: it["why"] for it in found["skipped"]} == {
        Q: "32 × 32 in the first, 16 × 32 in the second",
        "lm_head.weight": "I8, which is not read here",
    }
    assert not found["ok"] and len(found["tensors"]) == len(tensors) - 2
    apart = [it for it in found["tensors"] if it["equal"] != 1]
    assert [it["name"] for it in apart] == [NORM]  # its numbers are the same, and not its bits
    assert apart[0]["dtypes"] == ["BF16", "F32"] and apart[0]["equal"] is None
    assert (apart[0]["max_abs_diff"], apart[0]["relative"]) == (0, 0)
    said = run("diff", a, b).stdout
    assert "BF16 and F32" in said and f"Only in {a}: 1 tensor, gone" in "".join(
        said.split("\n")[:-1]
    )
    assert "Not compared: lm_head.weight, I8" in said


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_numbers_that_float32_cannot_square(tmp_path, dtype):
    """Huge, tiny, infinite and zero ones; equal infinities are no distance apart."""
    rows = {
        "huge": ([3e30, -1e30, 2e30], [3e30, 1e30, 2e30]),
        "tiny": ([1e-30, 2e-30, 3e-30], [1e-30, 2.5e-30, 3e-30]),
        "few bits": ([1.0, 2.0, 3.0], [1.0, 2.0, 3.015625]),
    }
    for place in (0, 1):
        (tmp_path / "ab"[place]).mkdir()
        tensors = {name: torch.tensor(pair[place]).to(dtype) for name, pair in rows.items()}
        tensors["infinite"] = torch.tensor([torch.inf, 1.0, 2.0 + place]).to(dtype)
        tensors["no number"] = torch.tensor([torch.nan, 1.0, 2.0 + place]).to(dtype)
        tensors["from nothing"] = torch.tensor([0.0, place]).to(dtype)
        tensors["zeros"] = torch.zeros(3, dtype=dtype)
        tensors["none"] = torch.zeros((0, 3), dtype=dtype)
        save_file(tensors, tmp_path / "ab"[place] / "model.safetensors")
    a, b = (load_file(tmp_path / name / "model.safetensors") for name in "ab")
    found = {it["name"]: it for it in answer("diff", tmp_path / "a", tmp_path / "b")["tensors"]}
    for name in rows:
        assert expected(a[name], b[name]) == pytest.approx(
            {key: found[name][key] for key in ("equal", "max_abs_diff", "relative", "cosine")},
            rel=1e-6,
        )
    assert found["infinite"]["equal"] == found["no number"]["equal"] == 2 / 3
    assert (found["infinite"]["max_abs_diff"], found["infinite"]["relative"]) == (1, None)
    assert found["no number"]["cosine"] is None
    assert (found["from nothing"]["relative"], found["from nothing"]["max_abs_diff"]) == (None, 1)
    assert (found["zeros"]["equal"], found["zeros"]["relative"], found["zeros"]["cosine"]) == (
        1, 0, None,
    )  # fmt: skip
    assert found["none"]["equal"] == 1
    assert "inf" in run("diff", tmp_path / "a", tmp_path / "b").stdout


def test_planted_changes_at_7b_width_are_found_in_bounded_memory(tmp_path):
    """Two layers of holes with every tensor as large as the 7B's, twice: 4.9 GB are compared."""
    for name in "ab":
        (tmp_path / name).mkdir()
        write_sparse_7b(tmp_path / name, layers=2)
    norms = {("q_proj", 1, 27): 14.5625, ("o_proj", 0, 0): 2.0}
    plant_norms(tmp_path / "b", norms)
    last = Checkpoint(str(tmp_path / "b")).tensor("lm_head.weight")
    with (tmp_path / "b" / last.shard).open("r+b") as file:
        file.seek(last.end - 1)
        file.write(b"\x40")  # 2.0, in the last number of all
    peak = 0
    words = ("diff", str(tmp_path / "a"), str(tmp_path / "b"), "--json")
    with on_a_terminal(AT_ONCE + as_code(*words)) as (process, shown):
        while process.poll() is None:
            try:
                peak = max(peak, psutil.Process(process.pid).memory_full_info().uss)
            except psutil.Error:
                break
            time.sleep(0.05)
        found = json.loads(process.stdout.read())
    assert {it["name"]: it["max_abs_diff"] for it in found["tensors"] if it["equal"] != 1} == {
        "model.layers.1.self_attn.q_proj.weight": 14.5625,
        "model.layers.0.self_attn.o_proj.weight": 2.0,
        "lm_head.weight": 2.0,
    }
    assert 20e6 < peak < 300e6, peak
    assert b"both checkpoints" in shown and b"4.9 GB" in shown


# -- one head -------------------------------------------------------------------------------------


def test_one_head_of_both(two):
    a, b, tensors = two
    changed = tensors[Q].clone()
    changed[8:16] *= 1.5  # head 1
    change(b, **{Q: changed})
    found = answer("diff", a, b, "--layer", 2, "--head", 1)
    slices = found["slices"]
    assert set(slices) == {"q_proj", "k_proj", "v_proj", "o_proj"} and not found["ok"]
    assert {name for name, it in slices.items() if it["equal"] < 1} == {"q_proj"}
    told = {name: slices["q_proj"][name] for name in ("equal", "max_abs_diff", "relative")}
    of_torch = expected(tensors[Q][8:16], changed[8:16])
    assert told == pytest.approx({name: of_torch[name] for name in told}, rel=1e-6)
    assert slices["q_proj"]["relative"] == pytest.approx(0.5, rel=0.01)
    assert slices["q_proj"]["cosine"] == pytest.approx(1, abs=1e-4)
    assert answer("diff", a, b, "--layer", 2, "--head", 0)["ok"]
    assert "q_proj" in run("diff", a, b, "--layer", 2, "--head", 1).stdout


def test_over_http_one_head_costs_what_head_costs_twice(small):
    with running(FileServer(small)) as alone, running(FileServer(small)) as both:
        read_head(alone.url, 1, 3)
        found = diff(both.url, both.url, 1, 3)
        assert both.sent == 2 * alone.sent and len(both.requests) == 2 * len(alone.requests)
    assert found.ok and found.bytes_fetched == 2 * (3 * 512 + 31 * 64 + 16)


def test_every_tensor_over_http_travels_once(small, two):
    with running(FileServer(small)) as server:
        found = diff(server.url, small)
        checkpoint = Checkpoint(str(small))
        size = sum(checkpoint.tensor(name).nbytes for name in checkpoint.names)
        assert server.sent < 1.02 * size + 2 * checkpoint.header_bytes + 20_000
    assert found.ok and found.bytes_fetched == 2 * size


def test_heads_of_two_shapes(two, tmp_path):
    (tmp_path / "c").mkdir()
    write_random(tmp_path / "c", hidden_size=64)
    with pytest.raises(CheckpointError, match=r"q_proj is 8 × 32 in .*a, and 16 × 64 in .*c"):
        diff(two[0], tmp_path / "c", 0, 0)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("tiny", "tiny", "--layer", 1), "Give both --layer and --head, or neither"),
        (("tiny",), "Missing argument 'B'"),
        (("tiny", "olmo3-7b"), "olmo3-7b comes with this package as a config, without weights"),
        (("tiny", "tiny", "--layer", 8, "--head", 0), "no layer 8. Choose a layer from 0 to 7"),
    ],
)
def test_what_cannot_be_asked(words, says):
    assert says in refused("diff", *words)


def test_models_that_share_nothing(two):
    save_file({"other": torch.ones(2)}, two[1] / "model.safetensors")
    assert "have no tensor of the same name and shape" in refused("diff", *two[:2])
    with pytest.raises(UsageError, match="Give both layer and head"):
        diff("tiny", "tiny", layer=1)


def test_a_share_is_all_only_where_nothing_differs(two):
    a, b, tensors = two
    changed = tensors[NORM].clone()
    changed[5] += 1
    change(b, **{NORM: changed})
    assert "96.8750 %" in run("diff", a, b).stdout
    assert (_share(1.0), _share(1 - 1e-9)) == ("all", "99.9999 %")
