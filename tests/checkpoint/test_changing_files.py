"""Files that change while they are read: one line, whenever it happens, and no half of each."""

import os
import shutil
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from safetensors.numpy import save_file
from support.checkpoints import write_random
from support.commands import refused

from olmo_explain.checkpoint import Checkpoint, preset
from olmo_explain.errors import CheckpointError

CHANGED = "model.safetensors changed while it was read. Start again."


def cut_off(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def rewrite(path: Path) -> None:
    """Other numbers in its place, as a tool does that saves without making a new file."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(bytes(64))


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(bytes(64))


CHANGES = pytest.mark.parametrize("change", [cut_off, rewrite, append])


@pytest.fixture
def model(tmp_path) -> Path:
    """`tiny`, written long ago."""
    shutil.copytree(preset("tiny").directory, tmp_path, dirs_exist_ok=True)
    os.utime(tmp_path / "model.safetensors", (10**9, 10**9))
    return tmp_path


@CHANGES
def test_after_its_header_was_read(model, change):
    checkpoint = Checkpoint(model)
    change(model / "model.safetensors")
    for chosen in ({}, {"rows": slice(2, 3)}, {"cols": slice(0, 2)}):
        with pytest.raises(CheckpointError) as raised:
            checkpoint.read("model.embed_tokens.weight", **chosen)
        assert str(raised.value) == CHANGED


@CHANGES
def test_while_a_view_of_it_is_at_work(tmp_path, change):
    path = tmp_path / "model.safetensors"
    save_file({"large": np.ones((2**9, 2**9), np.float32)}, path)  # a MiB: mapped, not read
    os.utime(path, (10**9, 10**9))
    checkpoint = Checkpoint(tmp_path)
    with (
        pytest.raises(CheckpointError, match="changed while it was read"),
        checkpoint.borrow("large") as bits,
    ):
        assert not bits.flags.owndata
        change(path)


def test_a_file_that_is_replaced_is_read_to_its_end_as_it_was(model):
    checkpoint, path = Checkpoint(model), model / "model.safetensors"
    before = checkpoint.read("model.norm.weight")
    (model / "new").write_bytes(b"another one")
    (model / "new").replace(path)
    np.testing.assert_array_equal(checkpoint.read("model.norm.weight"), before)
    path.unlink()
    np.testing.assert_array_equal(checkpoint.read("model.norm.weight"), before)
    checkpoint.check_unchanged()


@CHANGES
@pytest.mark.parametrize(
    ("words", "step"),
    [
        (["head", "--all"], "olmo_explain.checkpoint.heads.norms_of_columns"),
        (["head", "--layer", 0, "--head", 1], "olmo_explain.checkpoint.heads.frobenius"),
        (["head", "--layer", 0, "--head", 1, "--svd"], "olmo_explain.checkpoint.spectra.widen"),
        (["diff", "tiny"], "olmo_explain.checkpoint.comparing.have_same_bits"),
        (["diff", "tiny", "--layer", 0, "--head", 1], "olmo_explain.checkpoint.heads.frobenius"),
        (["weights", "model.norm.weight"], "olmo_explain.checkpoint.frobenius"),
        (["verify", "--ids", "5,6"], "olmo_explain.proof.verification.layer_by_hand"),
        (["verify", "--ids", "5,6"], "olmo_explain.proof.verification.lm_head"),
    ],
    ids=["all", "one", "svd", "diff", "one of two", "tensor", "layer", "last"],
)
def test_while_a_command_is_at_work(model, words, step, change):
    """At the first call of `step`, whose work goes on."""
    module, _, name = step.rpartition(".")
    real = getattr(__import__(module, fromlist=[name]), name)
    todo = [change]

    def changing(*args, **options):
        if todo:
            todo.pop()(model / "model.safetensors")
        return real(*args, **options)

    with mock.patch(step, changing):
        said = refused(words[0], model, *words[1:])
    assert not todo and said == f"olmo-explain: {CHANGED}\n"


def test_what_changes_between_two_reads_of_one_kind_is_found_at_once(tmp_path):
    """Not only at the end: a value that is of no version never leaves."""
    write_random(tmp_path)
    checkpoint = Checkpoint(tmp_path)
    checkpoint.read("model.norm.weight")
    os.utime(tmp_path / "model.safetensors", (10**9, 10**9))
    with pytest.raises(CheckpointError, match="changed"):
        checkpoint.read("model.norm.weight")
