"""Bytes on disk: the same bits as safetensors and torch, the ranges said, damage named."""

import json
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save
from support.checkpoints import (
    framed,
    safetensors_header,
    write_random,
    write_sparse_7b,
)
from support.commands import imports

from olmo_explain.checkpoint import Checkpoint, LocalSource, widen
from olmo_explain.errors import CheckpointError, OutOfRange, UsageError

DTYPES = {
    "BF16": (torch.bfloat16, torch.int16),
    "F16": (torch.float16, torch.int16),
    "F32": (torch.float32, torch.int32),
    "F64": (torch.float64, torch.int64),
}


def open_directory(directory: Path) -> Checkpoint:
    return Checkpoint(LocalSource(directory, "model"))


def open_file(directory: Path, data: bytes) -> Checkpoint:
    (directory / "model.safetensors").write_bytes(data)
    return open_directory(directory)


# -- the same bits --------------------------------------------------------------------------------


def test_every_bfloat16_and_float16_widens_as_in_torch():
    every = np.arange(2**16, dtype="<u2")
    for dtype in ("BF16", "F16"):
        expected = torch.from_numpy(every.view("<i2").copy()).view(DTYPES[dtype][0]).float()
        np.testing.assert_array_equal(widen(every, dtype), expected.numpy())
    bits = widen(every, "BF16").view("<u4")
    assert (bits >> 16 == every).all() and not (bits & 0xFFFF).any()  # NaNs keep their bits too


def test_whole_rows_of_a_local_file_are_a_view_of_it():
    read = Checkpoint("tiny").read_bits("model.embed_tokens.weight", rows=slice(3, 9))
    assert not read.flags.writeable and not read.flags.owndata


# -- the ranges said ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def seven_b(tmp_path_factory) -> Path:
    return write_sparse_7b(tmp_path_factory.mktemp("seven-b"))


@pytest.mark.parametrize("projection", ["q_proj", "k_proj", "v_proj"])
def test_a_head_of_the_7b_is_one_range_of_a_mebibyte(seven_b, projection):
    checkpoint = open_directory(seven_b)
    name = f"model.layers.17.self_attn.{projection}.weight"
    place = checkpoint.locate(name, rows=slice(3456, 3584))
    ((start, end),) = place.byte_ranges
    assert end - start == place.bytes_needed == 1_048_576
    assert start == checkpoint.tensor(name).start + 3456 * 8192
    checkpoint.read_bits(name, rows=slice(3456, 3584))
    assert checkpoint.bytes_fetched == 1_048_576


def test_ranges_of_a_row_and_of_columns_in_the_7b(seven_b):
    checkpoint = open_directory(seven_b)
    row = checkpoint.locate("model.embed_tokens.weight", rows=slice(9906, 9907))
    assert row.bytes_needed == 8192 and len(row.byte_ranges) == 1
    o_proj = "model.layers.17.self_attn.o_proj.weight"
    columns = checkpoint.locate(o_proj, cols=slice(3456, 3584))
    assert columns.shape == (4096, 128) and len(columns.byte_ranges) == 4096
    assert {end - start for start, end in columns.byte_ranges} == {256}
    first, second = columns.byte_ranges[:2]
    assert second[0] - first[0] == 8192
    assert first[0] == checkpoint.tensor(o_proj).start + 3456 * 2


def test_it_opens_only_the_shard_that_it_needs(seven_b):
    checkpoint = open_directory(seven_b)
    checkpoint.tensor("lm_head.weight")
    header = checkpoint.header_bytes
    assert header < 40_000
    checkpoint.tensor("model.norm.weight")
    assert checkpoint.header_bytes == header  # the same, third shard
    checkpoint.tensor("model.embed_tokens.weight")
    assert checkpoint.header_bytes > header


@pytest.mark.parametrize(
    ("rows", "cols", "error", "says"),
    [
        (slice(0, 65), None, OutOfRange, "no rows 0:65. It has 64; choose a:b with 0 <= a < b"),
        (slice(-1, 3), None, OutOfRange, "no rows -1:3"),
        (slice(5, 5), None, OutOfRange, "no rows 5:5"),
        (None, slice(9, 33), OutOfRange, "no columns 9:33. It has 32"),
        (slice(0, 9, 2), None, UsageError, "rows cannot be chosen in steps of 2"),
    ],
)
def test_rows_and_columns_out_of_range(tmp_path, rows, cols, error, says):
    write_random(tmp_path)
    with pytest.raises(error) as raised:
        open_directory(tmp_path).read("model.embed_tokens.weight", rows, cols)
    assert says in str(raised.value)


def test_a_vector_has_rows_but_no_columns(tmp_path):
    stored = write_random(tmp_path)["model.norm.weight"]
    checkpoint = open_directory(tmp_path)
    read = checkpoint.read("model.norm.weight", rows=slice(3, 5))
    np.testing.assert_array_equal(read, stored[3:5].float().numpy())
    with pytest.raises(OutOfRange, match="without columns to choose from"):
        checkpoint.locate("model.norm.weight", cols=slice(0, 1))


def test_an_unknown_tensor_and_a_dtype_that_is_not_read(tmp_path):
    file = save({"model.norm.weight": torch.ones(4), "ids": torch.arange(4)})
    checkpoint = open_file(tmp_path, file)
    with pytest.raises(CheckpointError, match=r"no tensor 'model.norm.wieght'.* model.norm.weight"):
        checkpoint.read("model.norm.wieght")
    assert checkpoint.tensor("ids").dtype == "I64"  # it is located, and checked
    with pytest.raises(CheckpointError, match=r"ids holds I64, which is not read here.*BF16, F16"):
        checkpoint.read("ids")


def test_neither_a_file_nor_an_index(tmp_path):
    with pytest.raises(CheckpointError, match=r"model has no model\.safetensors\."):
        open_directory(tmp_path)


# -- damage ---------------------------------------------------------------------------------------

GOOD = safetensors_header({"a": (4, 8), "b": (8,)}) + bytes(80)


def header_of(**entries) -> bytes:
    return framed(json.dumps(entries).encode())


def entry(start: int, end: int, shape=(4,), dtype="BF16") -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


DAMAGED = {
    "empty": (b"", "0 bytes long"),
    "shorter than a length": (b"1234", "4 bytes long"),
    "truncated in the header": (GOOD[:40], "in a file of 40 bytes"),
    "truncated in the numbers": (GOOD[:-1], "tensor 'b' ends at byte"),
    "header beyond the file": ((10_000).to_bytes(8, "little") + GOOD[8:], "10,000 bytes long"),
    "header of 2**60 bytes": ((2**60).to_bytes(8, "little") + GOOD[8:], f"{2**60:,} bytes"),
    "not JSON": (framed(b"{'a': 1}"), "not JSON"),
    "not text": (framed(b"\xff\xfe{}"), "not JSON"),
    "a JSON array": (framed(b"[1, 2]"), "no JSON object"),
    "nested without end": (framed(b'{"a":' + b"[" * 100_000), "not JSON"),
    "a number without end": (framed(b'{"a":' + b"9" * 10_000 + b"}"), "not JSON"),
    "overlap": (header_of(a=entry(0, 8), b=entry(4, 12)) + bytes(12), "'a' and 'b', which overlap"),
    "the same place": (header_of(a=entry(0, 8), b=entry(0, 8)) + bytes(8), "'a' and 'b', which o"),
    "reversed": (header_of(a=entry(8, 0)) + bytes(8), "tensor 'a' at reversed offsets [8, 0)"),
    "negative": (header_of(a=entry(-8, 0)) + bytes(8), "tensor 'a' at reversed"),
    "outside": (header_of(a=entry(0, 8), b=entry(8, 16)) + bytes(8), "tensor 'b' ends at byte"),
    "a hole": (
        header_of(a=entry(0, 8), b=entry(10, 18)) + bytes(18),
        "2 bytes of no tensor before 'b'",
    ),
    "bytes at the end": (GOOD + b"12345", "5 bytes of no tensor at its end"),
    "shape and size": (
        header_of(a=entry(0, 6)) + bytes(6),
        "'a' 6 bytes, but BF16 of shape [4] needs 8",
    ),
    "a huge shape": (
        header_of(a=entry(0, 8, [2**40, 2**40])) + bytes(8),
        "'a' an impossible shape",
    ),
    "a huge empty shape": (header_of(a=entry(0, 0, [0, 2**62])), "'a' an impossible shape"),
    "many axes": (header_of(a=entry(0, 2, [1] * 99)) + bytes(2), "'a' an impossible shape"),
    "a negative shape": (header_of(a=entry(0, 8, [-4])) + bytes(8), "'a' an impossible shape"),
    "a shape of fractions": (header_of(a=entry(0, 8, [4.0])) + bytes(8), "no dtype, shape and two"),
    "a shape of truths": (header_of(a=entry(0, 2, [True])) + bytes(2), "no dtype, shape and two"),
    "no offsets": (header_of(a={"dtype": "BF16", "shape": [4]}), "two offsets for tensor 'a'"),
    "an entry that is none": (header_of(a=3), "two offsets for tensor 'a'"),
    "a name twice": (
        framed(b'{"a": %s, "a": %s}' % ((json.dumps(entry(0, 8)).encode(),) * 2)) + bytes(8),
        "names 'a' twice",
    ),
    "odd metadata": (header_of(__metadata__=[1]), "__metadata__"),
}


def test_a_header_that_would_be_read_for_minutes(tmp_path):
    """The first number of more than are read; nothing of it is read."""
    file = tmp_path / "model.safetensors"
    for length, says in [
        (2**21, "not JSON"),
        (2**21 + 1, "2,097,153 bytes, longer than the 2,097"),
    ]:
        file.write_bytes(length.to_bytes(8, "little"))
        os.truncate(file, 8 + length)
        with pytest.raises(CheckpointError, match=says):
            open_directory(tmp_path)


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_file_is_one_line_that_names_it(tmp_path, damage):
    data, says = DAMAGED[damage]
    (tmp_path / "model.safetensors").write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError) as raised:
            open_directory(tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    line = str(raised.value)
    assert line.startswith("model/model.safetensors ") and says in line and "\n" not in line
    assert len(line) < 300 and peak < 2_000_000


def index(directory: Path, text: str | dict) -> Checkpoint:
    text = text if isinstance(text, str) else json.dumps(text)
    (directory / "model.safetensors.index.json").write_text(text)
    return open_directory(directory)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not JSON"),
        ("[]", "no JSON object"),
        ("{}", "no weight_map"),
        ('{"weight_map": {"a": "x.safetensors", "a": "y.safetensors"}}', "names 'a' twice"),
        ({"weight_map": {"a": 3}}, "tensor 'a' in 3, which is no file's name"),
        ({"weight_map": {"a": "../x.safetensors"}}, "tensor 'a' in '../x.safetensors'"),
        ({"weight_map": {"a": "/etc/passwd"}}, "tensor 'a' in '/etc/passwd'"),
        ({"weight_map": {"a": "http://x/y.safetensors"}}, "which is no file's name"),
    ],
)
def test_a_damaged_index(tmp_path, text, says):
    with pytest.raises(CheckpointError) as raised:
        index(tmp_path, text)
    assert "model/model.safetensors.index.json" in str(raised.value) and says in str(raised.value)


def test_an_index_that_names_what_is_not_there(tmp_path):
    (tmp_path / "one.safetensors").write_bytes(GOOD)
    places = {"a": "one.safetensors", "c": "one.safetensors", "d": "two.safetensors"}
    checkpoint = index(tmp_path, {"weight_map": places})
    assert checkpoint.read("a").shape == (4, 8)
    with pytest.raises(CheckpointError, match=r"'c' in one.safetensors, which has no such"):
        checkpoint.read("c")
    with pytest.raises(CheckpointError, match=r"'d' in two.safetensors, which is missing"):
        checkpoint.read("d")


def test_reading_needs_no_torch():
    code = (
        "from olmo_explain.checkpoint import Checkpoint\n"
        "Checkpoint('tiny').read('model.norm.weight')"
    )
    assert imports(code) == {"numpy"}


# -- what Git leaves in the place of a large file --------------------------------------------------

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 4959499976\n"


@pytest.mark.parametrize("name", ["model.safetensors", "model.safetensors.index.json"])
def test_a_git_lfs_pointer_is_called_by_its_name(tmp_path, name):
    (tmp_path / name).write_bytes(POINTER)
    with pytest.raises(CheckpointError, match=r"is a Git LFS pointer.*Run git lfs pull") as caught:
        open_directory(tmp_path)
    assert name in str(caught.value)


def test_a_tensor_that_was_released_is_read_again(tmp_path):
    write_random(tmp_path)
    checkpoint = open_directory(tmp_path)
    name = "model.layers.0.mlp.up_proj.weight"
    view = checkpoint.read_bits(name)
    before = view.copy()
    checkpoint.expect(name)
    checkpoint.release(name)
    np.testing.assert_array_equal(view, before)
    np.testing.assert_array_equal(checkpoint.read_bits(name), before)
