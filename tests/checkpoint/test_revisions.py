"""One head at many revisions of a hub: right norms, no byte twice, and what is missing is said."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from support.checkpoints import write_random
from support.commands import Ran, refused
from support.servers import TOKEN, FileServer, HubServer, running

from olmo_explain.checkpoint.revisions import HeadMoment, _by_numbers

SHAPE = {
    "hidden_size": 512,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 2,
}
LAYER, HEAD, KV_HEAD, DH = 1, 3, 1, 128
SLICE = 2 * DH * 512  # bytes
STEPS = tuple(range(0, 900, 100))  # one of them without weights
WHERE = f"model.layers.{LAYER}.self_attn"
WORDS = ("history", "someone/olmo", "--layer", str(LAYER), "--head", str(HEAD))


def commit_of(step: int) -> str:
    return f"{step:040x}"


@dataclass
class History(HubServer):
    """A hub that moves a branch as soon as it has been listed, and that is busy where it is told.

    `busy_for`: how often to answer 429 to what is asked of a commit. `holds`: of these commits
    nothing is given before `let_go`.
    """

    moves: dict[str, str] = field(default_factory=dict)
    busy_for: dict[str, int] = field(default_factory=dict)
    holds: set[str] = field(default_factory=set)
    let_go: threading.Event = field(default_factory=threading.Event)

    def answer(self, path, headers):
        asked = re.search(r"/(?:revision|resolve)/([0-9a-f]{40})", path)
        commit = asked[1] if asked else ""
        if self.busy_for.get(commit):
            self.busy_for[commit] -= 1
            return 429, {"Retry-After": "0"}, b""
        if commit in self.holds:
            self.let_go.wait(30)
        answered = super().answer(path, headers)
        if path.endswith("/refs"):
            self.branches |= self.moves
            self.moves = {}
        return answered

    def commits_asked(self) -> list[str]:
        """Of each resolved file its commit, in order."""
        found = (re.search("/(?:revision|tree|resolve)/([^/]+)", r.path) for r in self.requests)
        return [it[1] for it in found if it]


@pytest.fixture(scope="session")
def trees(tmp_path_factory) -> dict[str, Path]:
    """A checkpoint for each step, which differ in the head's slices and in all others."""
    root = tmp_path_factory.mktemp("trees")
    (base := root / commit_of(0)).mkdir()
    write_random(base, **SHAPE)
    tensors = load_file(base / "model.safetensors")
    for step in (*STEPS[1:], 1000):
        generator = torch.Generator().manual_seed(step)
        later = {
            name: (it + step * 1e-5 * torch.randn(it.shape, generator=generator)).to(it.dtype)
            for name, it in tensors.items()
        }
        (tree := root / commit_of(step)).mkdir()
        (tree / "config.json").write_bytes((base / "config.json").read_bytes())
        save_file(later, tree / "model.safetensors")
    (root / commit_of(500) / "model.safetensors").unlink()
    return {tree.name: tree for tree in root.iterdir()}


def slices(tree: Path) -> dict[str, np.ndarray]:
    """The head's slices in float64, by safetensors and torch."""
    tensors = load_file(tree / "model.safetensors")
    own, shared = (slice(number * DH, (number + 1) * DH) for number in (HEAD, KV_HEAD))
    return {
        "q_proj": tensors[f"{WHERE}.q_proj.weight"][own].double().numpy(),
        "k_proj": tensors[f"{WHERE}.k_proj.weight"][shared].double().numpy(),
        "v_proj": tensors[f"{WHERE}.v_proj.weight"][shared].double().numpy(),
        "o_proj": tensors[f"{WHERE}.o_proj.weight"][:, own].double().numpy(),
    }


@pytest.fixture
def hub(trees):
    """Eleven revisions: nine steps, of which one has no weights, `main`, and one that moves."""
    base = trees[commit_of(0)]
    branches = {f"stage1-step{step}": commit_of(step) for step in reversed(STEPS)}
    branches |= {"main": commit_of(800), "moving": commit_of(700)}
    with (
        running(FileServer(base.parent)) as store,
        running(History(base, store=store, branches=branches, trees=trees)) as server,
    ):
        server.moves = {"moving": commit_of(1000)}
        server.busy_for = {commit_of(300): 2}
        yield server


@pytest.fixture
def start(tmp_path, hub):
    """Starts the command in a process of its own, with a cache of its own."""

    def start(*words: str, **settings: str) -> subprocess.Popen:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        there = {
            "HF_HOME": str(tmp_path / "hf"),
            "HF_ENDPOINT": hub.url,
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
        }
        return subprocess.Popen(
            [sys.executable, "-m", "olmo_explain", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ours | there | settings,
        )

    return start


@pytest.fixture
def ask(start):
    def ask(*words: str, code: int = 0, **settings: str) -> Ran:
        process = start(*words, **settings)
        out, err = process.communicate(timeout=100)
        assert process.returncode == code, err
        return Ran(process.returncode, out, err)

    return ask


ALL = ("--revisions", "stage1-step*,main,moving,stage1-step1234", "--json")


def test_twelve_revisions_of_which_two_are_missing(hub, ask, trees):
    ran = ask(*WORDS, *ALL)
    found = json.loads(ran.stdout)
    assert "11 revisions, of which 9 commits not yet read: 3.4 MiB" in ran.stderr
    names = [f"stage1-step{step}" for step in STEPS if step != 500] + ["main", "moving"]
    assert [it["revision"] for it in found["revisions"]] == names
    assert {it["revision"]: it["why"].split(". ")[0] for it in found["skipped"]} == {
        "stage1-step1234": "No branch, tag or commit of that name",
        "stage1-step500": "someone/olmo@stage1-step500 has no model.safetensors",
    }
    first = slices(trees[commit_of(0)])
    for moment in found["revisions"]:
        expected = slices(trees[moment["commit"]])
        assert set(moment["norms"]) == {"q_proj", "k_proj", "v_proj"}
        for name, norm in moment["norms"].items():
            assert norm == pytest.approx(np.linalg.norm(expected[name]), rel=1e-6)
            a, b = first[name].ravel(), expected[name].ravel()
            cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
            assert moment["cosine_to_first"][name] == pytest.approx(cosine, abs=1e-6)
    last = found["revisions"][-1]
    assert last["commit"] == commit_of(700)  # what it was when it was listed
    assert last["norms"] == found["revisions"][names.index("stage1-step700")]["norms"]


def test_bytes_are_those_that_are_needed_and_each_commit_is_read_once(hub, ask, trees):
    found = json.loads(ask(*WORDS, *ALL).stdout)
    commits = {moment["commit"] for moment in found["revisions"]}
    assert found["bytes_fetched"] == 3 * SLICE * len(commits) == 3 * SLICE * 8
    headers = [(trees[it] / "model.safetensors").open("rb").read(8) for it in commits]
    header_bytes = sum(8 + int.from_bytes(it, "little") for it in headers)
    assert found["header_bytes"] == header_bytes
    assert hub.store.sent == found["bytes_fetched"] + header_bytes
    assert hub.sent + hub.store.sent < 1.1 * (found["bytes_fetched"] + header_bytes)
    ranges = [(r.path, r.headers["range"]) for r in hub.store.requests]
    assert len(ranges) == len(set(ranges)) == 5 * 8  # of a header two, and three slices
    assert hub.busy_for[commit_of(300)] == 0
    # After the names have been resolved, nothing is asked for by its name.
    assert set(hub.commits_asked()) - {"main"} <= set(trees)


def test_a_second_run_reads_nothing_but_what_has_moved(hub, ask):
    first = json.loads(ask(*WORDS, *ALL).stdout)
    before = hub.store.sent
    again = ask(*WORDS, *ALL)
    found = json.loads(again.stdout)
    assert found["bytes_fetched"] == 3 * SLICE == hub.store.sent - before - found["header_bytes"]
    assert found["revisions"][:-1] == first["revisions"][:-1]
    assert found["revisions"][-1]["commit"] == commit_of(1000)
    before = len(hub.store.requests)
    found = json.loads(ask(*WORDS, *ALL).stdout)
    assert found["bytes_fetched"] == found["header_bytes"] == 0
    assert len(hub.store.requests) == before


def test_of_what_is_kept_only_what_is_lacking_is_read(hub, ask, tmp_path):
    few = ("--revisions", "stage1-step*", "--every", "4", "--json")
    found = json.loads(ask(*WORDS, *few, "--projections", "q").stdout)
    assert [it["revision"] for it in found["revisions"]] == [
        "stage1-step0", "stage1-step400", "stage1-step800",
    ]  # fmt: skip
    assert found["bytes_fetched"] == 3 * SLICE
    ran = ask(*WORDS, *few, "--projections", "q,o_proj")
    whole_rows = 2 * (511 * 512 + DH)  # of o_proj, with what lies between its columns
    assert json.loads(ran.stdout)["bytes_fetched"] == 3 * whole_rows
    assert f"{3 * whole_rows / 2**20:.1f} MiB of weights" in ran.stderr
    (kept,) = tmp_path.glob("cache/olmo-explain/heads/*")
    size = sum(path.stat().st_size for path in kept.rglob("*") if path.is_file())
    cleared = ask("history", "someone/olmo", "--clear-cache", "--json")
    assert json.loads(cleared.stdout) == {"bytes_deleted": size} and size > 6 * SLICE
    assert not kept.exists()
    assert json.loads(ask(*WORDS, *few, "--projections", "q").stdout)["bytes_fetched"] == 3 * SLICE


def test_two_revisions_of_one_repository_compared(hub, ask, trees):
    names = [f"someone/olmo@stage1-step{step}" for step in (0, 800)]
    words = ("diff", *names, *WORDS[2:], "--json")
    found = json.loads(ask(*words).stdout)
    a, b = (slices(trees[commit_of(step)]) for step in (0, 800))
    for name, told in found["slices"].items():
        relative = np.linalg.norm(a[name] - b[name]) / np.linalg.norm(a[name])
        assert told["relative"] == pytest.approx(relative, rel=1e-5) and told["equal"] < 0.5
    assert found["bytes_fetched"] == 2 * (3 * SLICE + 2 * (511 * 512 + DH))
    assert (found["a"], found["b"]) == tuple(names) and not found["ok"]


def test_the_token_goes_to_the_hub_alone_and_nothing_shows_it(hub, ask):
    hub.token = TOKEN
    ran = ask(*WORDS, "--revisions", "stage1-*", "--json", HF_TOKEN=TOKEN)
    assert len(json.loads(ran.stdout)["revisions"]) == 8
    assert TOKEN not in ran.stdout + ran.stderr
    assert not any("authorization" in request.headers for request in hub.store.requests)
    said = ask(*WORDS, "--revisions", "main", code=2).stderr
    assert "for a private model set HF_TOKEN" in said


def test_a_slice_that_was_damaged_is_read_again(ask, tmp_path):
    one = (*WORDS, "--revisions", "main", "--json")
    first = json.loads(ask(*one).stdout)
    damaged = next(tmp_path.glob("cache/**/*.k_proj.*.npy"))
    damaged.write_bytes(damaged.read_bytes()[:-100])
    again = json.loads(ask(*one).stdout)
    assert again["bytes_fetched"] == SLICE and again["revisions"] == first["revisions"]


def test_an_interrupt_keeps_what_was_read(hub, ask, start, tmp_path):
    hub.holds = {commit_of(700)}
    process = start(*WORDS, "--revisions", "stage1-step*", "--json")
    whole = {commit_of(step) for step in STEPS if step not in (500, 700)}
    wait_for(lambda: whole == {p.parent.name for p in tmp_path.glob("cache/**/*.v_proj.*.npy")})
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    hub.let_go.set()
    assert process.returncode == 130 and not out and "Traceback" not in err
    before, hub.holds = len(hub.store.requests), set()
    found = json.loads(ask(*WORDS, "--revisions", "stage1-step*", "--json").stdout)
    assert len(found["revisions"]) == 8 and found["bytes_fetched"] == 3 * SLICE
    later = {request.path for request in hub.store.requests[before:]}
    assert later == {f"/{commit_of(700)}/model.safetensors"}


def wait_for(done) -> None:
    tick = threading.Event()
    for _ in range(600):
        if done():
            return
        tick.wait(0.05)
    raise TimeoutError


def test_a_hub_that_fails_ends_it_and_the_next_run_goes_on(hub, ask):
    hub.busy_for = {commit_of(800): 10**6}
    said = ask(*WORDS, "--revisions", "main,stage1-step0", code=2).stderr
    line = said.splitlines()[-1]
    assert "answered 429" in line and "what has come is kept" in line and "Traceback" not in said


def test_a_cache_that_cannot_be_written_to(ask, tmp_path):
    (tmp_path / "file").write_text("")
    settings = {"XDG_CACHE_HOME": str(tmp_path / "file")}
    ran = ask(*WORDS, "--revisions", "main", "--json", **settings)
    assert json.loads(ran.stdout)["bytes_fetched"] == 3 * SLICE
    assert "cannot be written to" in ran.stderr and "not kept" in ran.stderr


def test_a_table_and_the_line_before_it(ask):
    ran = ask(*WORDS, "--revisions", "stage1-step0,stage1-step800,nowhere")
    assert "768.0 KiB of weights" in ran.stderr.splitlines()[0]
    assert "Skipped nowhere: No branch, tag or commit" in ran.stdout
    assert "1.0000" in ran.stdout and "786,432 bytes of weights read" in ran.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--revisions", "stage9*"), "None of its 11 branches and tags matches 'stage9*'"),
        (("--revisions", "nowhere"), "not nowhere: No branch, tag or commit of that name"),
        (("--revisions", "main,"), "--revisions 'main,' cannot be read"),
        (("--revisions", "main", "--projections", "x"), "'x_proj' is no projection. Choose of"),
        (("--revisions", "main", "--every", "0"), "--every '0' cannot be read"),
    ],
)
def test_what_cannot_be_asked(ask, words, says):
    said = ask(*WORDS, *words, code=2).stderr.splitlines()[-1]
    assert says in said


def test_a_head_that_is_not_there_is_said_before_anything_is_read(hub, ask):
    words = ("history", "someone/olmo", "--layer", "2", "--head", "0", "--revisions", "main")
    assert "no layer 2. Choose a layer from 0 to 1" in ask(*words, code=2).stderr
    assert not hub.store.requests


def test_what_has_no_revisions():
    assert "tiny has no revisions" in refused(*("history", "tiny", *WORDS[2:]), "--revisions", "a")
    assert "Give --layer, --head and --revisions" in refused("history", "tiny", "--layer", 0)
    assert "Of tiny nothing is kept" in refused("history", "tiny", "--clear-cache")


def test_names_are_sorted_by_the_numbers_in_them():
    names = ["stage2-step5", "stage1-step1000", "stage1-step20", "main"]
    assert sorted(names, key=_by_numbers) == ["main", *names[2:0:-1], names[0]]


@pytest.mark.parametrize(
    ("name", "step"),
    [("stage1-step1000", 1000), ("stage2-ingredient1-step20-tokens1B", 20), ("main", None)],
)
def test_the_step_in_a_name(name, step):
    assert HeadMoment(name, "", {}, {}).step == step
