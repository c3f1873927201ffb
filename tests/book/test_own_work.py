"""The page "Use it in your own work": every command and every line of Python on it runs.

The hub is a stand-in on this machine, whose 7Bs have zeros for weights, but for planted norms.
"""

import json
import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.checkpoints import RECORDED_NORMS, plant_norms, write_sparse_7b
from support.commands import Ran, run_python
from support.light import commands
from support.servers import HubServer, running

from olmo_explain.checkpoint import preset

PAGE = (Path(__file__).parents[2] / "book" / "own_work.md").read_text(encoding="utf-8")
LINES = [
    tuple(shlex.split(line)) for line in re.findall(r"^\$ olmo-explain (.*)$", PAGE, re.MULTILINE)
]
CODE = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
COMMIT = "7" * 40
REVISIONS = {f"stage1-step{step}": f"{step:040x}" for step in range(1000, 41000, 1000)}


@dataclass
class AnyName(HubServer):
    """Every repository of allenai is the same one."""

    def counts(self, path):
        return "allenai/" in path

    def answer(self, path, headers):
        return super().answer(re.sub("allenai/[^/]+", self.repository, path), headers)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Where the commands are typed: with a model of one's own."""
    folder = tmp_path_factory.mktemp("own")
    shutil.copytree(preset("tiny").directory, folder / "my-olmo")
    (folder / "hub").mkdir()
    write_sparse_7b(folder / "hub", layers=18)
    plant_norms(folder / "hub", {(name, 17, 27): norm for name, norm in RECORDED_NORMS.items()})
    return folder


@pytest.fixture(scope="module")
def said(place) -> list[str]:
    """A line for each command, then what Python shows: in one process, beside the hub."""
    shown = "print(found.head.norms['q_proj'], found.spectra['ov'].shape, len(ids[0]))"
    code = f"import os; os.chdir({str(place)!r})\n{commands(*LINES)}{''.join(CODE)}{shown}"
    with running(AnyName(place / "hub", branches=REVISIONS)) as hub:
        there = {"HF_ENDPOINT": hub.url, "HF_HOME": str(place / "home")}
        there |= {"XDG_CACHE_HOME": str(place / "cache")}
        return run_python("-c", code, **there).stdout.splitlines()


def test_every_command_runs(said):
    answers = [Ran(*json.loads(line)) for line in said[: len(LINES)]]
    for words, ran in zip(LINES, answers, strict=True):
        assert ran.code == 0, (words, ran.stderr)
    assert {name for name, *_ in LINES} == {
        "diagnose", "diff", "golden", "head", "history", "trace", "verify",
    }  # fmt: skip
    out = [ran.stdout for ran in answers]
    head, spectra = (text for (name, *_), text in zip(LINES, out, strict=True) if name == "head")
    assert all(f"{norm:.4f}" in head for norm in RECORDED_NORMS.values())
    assert "singular" in spectra.lower()
    (kept,) = (text for (name, *_), text in zip(LINES, out, strict=True) if name == "history")
    assert kept.count("stage1-step") == len(REVISIONS) / 20


def test_every_line_of_python_runs(said):
    assert said[-1] == "14.5625 (128,) 4"
