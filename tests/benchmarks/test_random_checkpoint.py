"""The random checkpoint of the benchmarks: whole or not there, the same each time, and readable."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest
from benchmarks import seven_b
from benchmarks.random_checkpoint import fields_like, main, shards_of, write_checkpoint
from support.checkpoints import tiny_fields

from olmo_explain.checkpoint import Checkpoint, OlmoConfig
from olmo_explain.errors import ExplainError
from olmo_explain.proof import verify
from olmo_explain.running import load

SMALL = {"shard_bytes": 30_000}


def digests(directory: Path) -> dict[str, str]:
    files = sorted(directory.iterdir())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_it_is_a_checkpoint_that_loads_and_verifies(tmp_path):
    write_checkpoint(tmp_path, tiny_fields(), **SMALL)
    checkpoint = Checkpoint(str(tmp_path))
    assert len({checkpoint.tensor(name).shard for name in checkpoint.names}) > 1
    assert checkpoint.read("model.norm.weight").mean() == pytest.approx(1, abs=0.1)
    model, tokenizer = load(str(tmp_path))
    assert tokenizer is None
    checked = verify(model, range(40), weights=checkpoint)
    assert all(step.equal for step in checked.steps)


def test_shards_of_the_7b_are_those_of_a_published_one():
    shards = shards_of(OlmoConfig.from_dict(fields_like("olmo3-7b")))
    assert len(shards) == 3 and all(shard.size <= 5 * 10**9 for shard in shards)
    weights = sum(shard.size - len(shard.header) for shard in shards)
    assert weights == 2 * 7_298_011_136


def test_interrupted_it_leaves_whole_shards_and_goes_on_from_there(tmp_path):
    whole = digests(write_checkpoint(tmp_path / "whole", tiny_fields(), **SMALL))
    directory, written = tmp_path / "broken", 0

    def interrupt(size: int) -> None:
        nonlocal written
        written += size
        if written > 50_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_checkpoint(directory, tiny_fields(), advance=interrupt, **SMALL)
    left = digests(directory)
    assert left and left.items() < whole.items()  # no half, no index, no config.json
    first = min(directory.iterdir())
    untouched = first.stat().st_mtime_ns
    (directory / "model-00009-of-00009.safetensors.part").write_bytes(b"of one that was killed")
    write_checkpoint(directory, tiny_fields(), **SMALL)
    assert digests(directory) == whole
    assert first.stat().st_mtime_ns == untouched


def test_a_disk_that_is_too_small_is_one_line_and_nothing_is_written(tmp_path, monkeypatch, capsys):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**11, 9 * 10**10, 10**10))
    with pytest.raises(ExplainError, match=r"has 10.0 GB free, and 14.6 GB are needed"):
        write_checkpoint(tmp_path, fields_like("olmo3-7b"))
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(sys, "argv", ["random_checkpoint", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2 and capsys.readouterr().err.count("\n") == 1


# -- what is measured on it ------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_command_is_measured(tmp_path):
    write_checkpoint(tmp_path, tiny_fields(), **SMALL)
    ran = seven_b.run("verify", ["verify", str(tmp_path)])
    assert ran.exit == 0 and ran.note.endswith("values equal, bfloat16")
    assert 5e7 < ran.peak_anonymous_bytes < ran.peak_bytes < 5e9 and ran.seconds > 0.1
    wrong = seven_b.run("config", ["config", str(tmp_path / "nowhere")])
    assert wrong.exit == 2 and "There is no directory" in wrong.note


@pytest.mark.skipif(sys.platform != "linux", reason="cgroups are Linux's")
def test_a_limit_holds_or_says_why_there_is_none():
    with seven_b.limited(200 * 10**6) as limit:
        if isinstance(limit, str):
            assert "cgroup" in limit
            return
        code = "x = bytearray(400_000_000); print(len(x))"
        ran = subprocess.run(limit.wrap([sys.executable, "-c", code]), capture_output=True)
        assert ran.returncode in (-9, 137) and not ran.stdout
        ran = subprocess.run(limit.wrap([sys.executable, "-c", "print(1)"]), capture_output=True)
        assert ran.returncode == 0 and json.loads(ran.stdout) == 1
