"""The report as its readers get it: JSON, Markdown, a terminal; of tiny, a disk, HTTP, the hub."""

import errno
import io
import json
import os
import pty
import re
import subprocess
import sys
import threading
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np
import pytest
from olmo_explain.report.claims import Subject
from support.checkpoints import (
    RECORDED_NORMS,
    plant_norms,
    planted_norms,
    write_random,
    write_sparse_7b,
)
from support.random_olmo import yarn
from support.servers import FileServer, HubServer, running
from support.terminals import read_all

from olmo_explain import doctor
from olmo_explain.checkpoint import head_norms, preset
from olmo_explain.report import ALL_CLAIMS, SECTIONS, remeasure
from olmo_explain.report.remeasuring import cell
from olmo_explain.report.sections.configuration import RECORDED_NORMS as NORM_CLAIMS
from olmo_explain.terminal import main

KEYS = {"id", "section", "statement", "claimed", "measured", "verdict", "how"}
README = " ".join((Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8").split())
ONE_HEAD = 3 * 2**20 + 33_546_496
"""Bytes: three slices of 1 MiB, and o_proj's columns with what lies between them, one request."""


class Ran(NamedTuple):
    stdout: str
    stderr: str


def run(*words: str, code: int = 0, columns: int = 80) -> Ran:
    """A command, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["olmo-explain", *words]),
        mock.patch.dict(os.environ, {"COLUMNS": str(columns)}),
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    assert ended.value.code == code, err.getvalue()
    return Ran(out.getvalue(), err.getvalue())


measured = cache(remeasure)
"""A preset's report, made once for all tests that only read it."""


def claims_of(report: dict) -> dict[str, dict]:
    return {claim["id"]: claim for claim in report["claims"]}


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> Path:
    """The 7B's shape, all 32 layers, and a known norm for each of its 4,096 slices."""
    directory = write_sparse_7b(tmp_path_factory.mktemp("seven"))
    plant_norms(directory, planted_norms())
    return directory


# -- JSON and Markdown ----------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["tiny", "olmo3-7b", "olmo3-32b"])
def test_json_lists_every_claim(model):
    ran = run("report", model, "--json")
    report = json.loads(ran.stdout)
    assert ran.stderr == "" and report["ok"] and report["problems"] == report["skipped"] == []
    assert [claim["id"] for claim in report["claims"]] == [claim.id for claim in ALL_CLAIMS]
    assert all(claim.keys() >= KEYS for claim in report["claims"])
    assert report["verdicts"] == Counter(claim["verdict"] for claim in report["claims"])
    assert report["measured_on"] == {"sizes": "olmo3-7b", "numbers": "tiny"}
    assert list(report["sections"]) == [
        "configuration", "access", "forward", "flops", "facts", "scripts"
    ]  # fmt: skip


def test_the_sections_are_the_model_s_own():
    tiny, large = (measured(name).sections for name in ("tiny", "olmo3-32b"))
    assert tiny["configuration"]["parameters"] == 2_109_568
    assert tiny["forward"]["prompt"] == "Hello world" and tiny["forward"]["seconds"] > 0
    assert np.array_equal(
        np.float32(tiny["configuration"]["norms"]["heads"]["q_proj"]), head_norms("tiny")["q_proj"]
    )
    assert tiny["access"]["all"]["values"] == tiny["access"]["all"]["equal"] > 200
    assert large["forward"]["counts"]["Linear"] == 449 and large["forward"]["seconds"] is None
    assert large["configuration"]["norms"]["skipped"] == "olmo3-32b comes without weights"
    assert large["configuration"]["head"]["slices"]["k_proj"]["slice"] == "[640:768, :]"
    assert large["facts"]["head_dim"] == "128 = 5120 / 40 heads"
    assert large["facts"]["intermediate_size"] == "27648 = 1024 × 27"
    [way] = tiny["forward"]["sequence"]["ways"]
    assert way["layers"] == list(range(8)) and way["steps"][1] == {"step": 4, "name": "q_norm"}
    macs = {o["name"]: o["macs"] for o in large["flops"]["operations"]}
    assert macs["q_proj"] == 64 * 5120 * 5120 and macs["k_proj"] == 64 * 5120 * 1024


@pytest.mark.parametrize("model", ["tiny", "olmo3-7b", "olmo3-32b"])
def test_the_document_holds_every_claim_and_its_tables_are_whole(model):
    document = measured(model).to_markdown()
    headings = re.findall(r"^## (.+)$", document, re.M)
    assert headings == list(SECTIONS[1:])
    for claim in ALL_CLAIMS:
        assert f"| {cell(claim.statement)} | {cell(claim.claimed)} |" in document, claim.id
    tables = re.findall(r"(?:^\|.*\|\n)+", document, re.M)
    assert len(tables) > 15
    for table in tables:
        rows = [re.split(r"(?<!\\)\|", line) for line in table.splitlines()]
        assert len({len(row) for row in rows}) == 1, table
        assert set("".join(rows[1])) == {"-"}, table
    assert not re.search(r"\n{4,}|None|\{\{|undefined", document)
    for line in document.splitlines():
        assert not line.startswith("|") or line.endswith("|"), line
    before = [document[: match.start()] for match in re.finditer(r"^\|.*\n\|-", document, re.M)]
    assert all(text.endswith("\n\n") for text in before)  # or it would not be a table


def test_the_scripts_have_successors_that_are_commands():
    document = measured("tiny").to_markdown()
    for script in ("torch_internals_probe", "torch_weight_reader_probe", "olmo_forward_trace"):
        [row] = re.findall(rf"^\| {script}\.py .*$", document, re.M)[:1]
        commands = re.findall(r"`olmo-explain (\w+)", row)
        assert commands
        for command in commands:
            assert "Usage" in run(command, "--help").stdout


# -- files ----------------------------------------------------------------------------------------


def test_written_whole_as_markdown_and_as_json(tmp_path):
    for ending in ("md", "json"):
        path = tmp_path / f"report.{ending}"
        ran = run("report", "tiny", "--output", str(path))
        assert ran.stderr == f"Written to {path}\n" and "109" not in ran.stderr
    said = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert said.startswith("# How PyTorch reads the weights of tiny")
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["model"] == "tiny"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.json", "report.md"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("report.txt", "has no ending that says what to write. End it in .md or .json."),
        ("not/there.md", "There is no directory"),
        ("", "is a directory. Name a file."),
    ],
)
def test_a_place_that_cannot_be_written_is_said_before_the_work(tmp_path, name, says):
    path = tmp_path / name if name else tmp_path / "folder.md"
    if not name:
        path.mkdir()
    with mock.patch(
        "olmo_explain.report.remeasuring.remeasure", side_effect=AssertionError("too late")
    ):
        ran = run("report", "tiny", "--output", str(path), code=2)
    assert says in ran.stderr and ran.stderr.count("\n") == 1 and ran.stdout == ""


def test_a_directory_that_one_may_not_write_to(tmp_path):
    with mock.patch("os.access", return_value=False):  # root may write everywhere
        ran = run("report", "tiny", "--output", str(tmp_path / "a.md"), code=2)
    assert f"{tmp_path} cannot be written to. Choose another place." in ran.stderr


def test_a_full_disk_leaves_the_old_report_and_nothing_half_written(tmp_path):
    path = tmp_path / "report.md"
    path.write_text("the old one")

    def fills_up(self: Path, text: str, **options) -> None:
        with self.open("w") as file:
            file.write(text[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with mock.patch.object(Path, "write_text", fills_up):
        ran = run("report", "tiny", "--output", str(path), code=2)
    assert "cannot be written (No space left on device)" in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == [
        "report.md"
    ] and path.read_text() == "the old one"


# -- a terminal -----------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_a_terminal_shows_claims_corrections_and_counts(columns):
    shown = run("report", "olmo3-7b", columns=columns).stdout
    assert all(section in shown for section in SECTIONS)
    assert "corrected calls.total: 389, not 388." in shown
    assert re.search(r"\n +\d+ reproduced\n +\d+ corrected\n +\d+ recorded\n", shown)
    assert max(map(len, shown.splitlines())) <= columns


def test_a_terminal_is_told_what_takes_so_long_and_stdout_is_json(tmp_path):
    write_random(tmp_path)
    terminal, its_end = pty.openpty()
    command = [sys.executable, "-m", "olmo_explain", "report", str(tmp_path), "--json"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=its_end, env={**os.environ, "TERM": "xterm"}
    )
    os.close(its_end)
    shown = bytearray()
    reader = threading.Thread(target=read_all, args=(terminal, shown), daemon=True)
    reader.start()
    assert json.loads(process.stdout.read())["model"] == str(tmp_path)
    assert process.wait() == 0
    reader.join(5)
    assert b"Building the modules of olmo3-7b" in shown  # importing torch takes more than a second


def test_a_wrong_name_does_not_wait_for_torch():
    code = (
        "import sys; sys.argv = ['olmo-explain', 'report', 'olmo3-8b']\n"
        "import olmo_explain.report.claims\n"
        "from olmo_explain.terminal.commands import main\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 2\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "No model named 'olmo3-8b'" in ran.stderr and ran.stderr.count("\n") == 1


# -- a model of one's own -------------------------------------------------------------------------


def test_a_directory_answers_for_itself(tmp_path):
    write_random(tmp_path, shards=2)
    report = remeasure(str(tmp_path))
    assert report.running == str(tmp_path) and report.seven == "olmo3-7b"
    assert report.ok and report.skipped == {}
    norms = report.sections["configuration"]["norms"]["heads"]
    assert np.shape(norms["q_proj"]) == (4, 4) and np.shape(norms["k_proj"]) == (4, 2)
    assert report.sections["access"]["measured_on"] == str(tmp_path)
    assert repr(report).startswith(f"109 claims measured on {tmp_path}: ")


def test_a_model_that_lost_its_yarn_is_a_problem_and_exit_1(tmp_path):
    """As transformers 5.0 to 5.12 saved it: flat, where newer releases look for layer types."""
    write_random(tmp_path, rope_parameters=yarn())
    with pytest.warns(UserWarning, match="No layer applies the YaRN"):
        report = remeasure(str(tmp_path))
    assert not report.ok and any("No layer applies the YaRN" in line for line in report.problems)
    verdicts = {claim.id: claim.verdict for claim in report.claims}
    assert verdicts["step.01"] == verdicts["access.embedding"] == "reproduced"
    because = "another RoPE than its config.json asks for"
    unproven = [claim for claim in report.claims if because in claim.why]
    assert {claim.verdict for claim in unproven} == {"recorded"}
    assert {"access.scores", "step.05", "step.09"} <= {claim.id for claim in unproven}
    shown = run("report", str(tmp_path), code=1)
    assert "problem No layer applies" in " ".join(shown.stdout.split())


# -- the 7B's shape, from a disk, over HTTP and from the hub --------------------------------------


def test_every_planted_norm_is_found_on_a_disk(planted, monkeypatch):
    monkeypatch.setattr(doctor, "free_memory_bytes", lambda: 2**30)
    report = json.loads(run("report", str(planted), "--json").stdout)
    claims, configuration = claims_of(report), report["sections"]["configuration"]
    for projection, norm in RECORDED_NORMS.items():
        claim = claims[f"head.{projection}.norm"]
        assert (claim["measured"], claim["verdict"]) == (norm, "reproduced")
        assert str(planted) in claim["how"] and "half a step of bfloat16" in claim["why"]
        assert configuration["head"]["slices"][projection]["norm"] == norm
    heads = configuration["norms"]["heads"]
    found = {
        (projection, layer, head): heads[projection][layer][head]
        for projection, layer, head in planted_norms()
    }
    assert found == planted_norms() and len(found) == 4 * 32 * 32
    assert report["measured_on"] == {"sizes": str(planted), "numbers": "tiny"}
    [memory, tokenizer] = report["skipped"]
    assert "bytes of memory to run" in memory["why"] and "access.linear" in memory["claims"]
    assert "tokenizer.json" in tokenizer["why"] and tokenizer["claims"] == ["forward.prompt"]


def test_over_http_one_head_is_read_and_no_more(planted):
    with running(FileServer(planted)) as server:
        report = json.loads(run("report", server.url, "--json").stdout)
    claims = claims_of(report)
    assert {claims[name]["verdict"] for name in NORM_CLAIMS} == {"reproduced"}
    sizes = [r.sent for r in server.requests if r.path.endswith(".safetensors") and r.sent > 2**16]
    assert sorted(sizes) == [2**20, 2**20, 2**20, 33_546_496] and sum(sizes) == ONE_HEAD
    assert 0 < server.sent - ONE_HEAD < 60_000  # config.json, the index, one header
    _skips_what_wants_the_whole_model(report, server.url)
    assert report["sections"]["configuration"]["norms"]["heads"] is None
    assert f"{server.sent / 1e6:.0f} MB over the network, {33_546_496 / 1e6:.0f} of them" in README


def test_what_the_readme_says_of_the_real_weights(monkeypatch):
    subject = Subject("olmo3-7b")
    monkeypatch.setattr(doctor, "free_memory_bytes", lambda: 0)
    needed = int(re.search(r"needs ([\d,]+) bytes", subject.too_large)[1].replace(",", ""))
    attention = sum(
        2 * part.parameters * part.count
        for part in subject.config.components
        if re.search(r"[qkvo]_proj", part.name)
    )
    assert f"Where {needed / 1e9:.1f} GB of memory" in README
    assert f"would take {attention / 1e9:.1f} GB" in README
    assert f"{subject.config.bytes / 1e9:.1f} GB of disk" in README
    assert f"reads {subject.ran.bytes_read / 1e9:.1f} GB of weights" in README


def test_norms_that_the_weights_refute_are_a_problem_and_exit_1(tmp_path):
    directory = write_sparse_7b(tmp_path)
    plant_norms(directory, {(name, 17, 27): norm + 0.25 for name, norm in RECORDED_NORMS.items()})
    with running(FileServer(directory)) as server:
        ran = run("report", server.url, "--json", code=1)
    report = json.loads(ran.stdout)
    claims = claims_of(report)
    assert {claims[name]["verdict"] for name in NORM_CLAIMS} == {"corrected"}
    assert claims["head.q_proj.norm"]["measured"] == 14.8125 and not report["ok"]
    assert (
        len(report["problems"]) == 4
        and "norm 14.5625, but it is 14.8125 in" in report["problems"][0]
    )


def test_from_the_hub_one_head_is_read_and_no_more(planted, tmp_path):
    with (
        running(FileServer(planted)) as store,
        running(HubServer(planted, store=store, repository="someone/olmo")) as hub,
    ):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
        environment |= {"HF_HOME": str(tmp_path / "hf"), "HF_ENDPOINT": hub.url}
        ran = subprocess.run(
            [sys.executable, "-m", "olmo_explain", "report", "someone/olmo", "--json"],
            capture_output=True,
            text=True,
            env=environment,
            timeout=120,
        )
    assert ran.returncode == 0, ran.stderr
    report = json.loads(ran.stdout)
    claims = claims_of(report)
    assert {claims[name]["verdict"] for name in NORM_CLAIMS} == {"reproduced"}
    assert ONE_HEAD < hub.sent + store.sent < ONE_HEAD + 60_000
    assert "olmo-explain head someone/olmo" in claims["head.q_proj.norm"]["how"]
    _skips_what_wants_the_whole_model(report, "someone/olmo")


def test_a_model_of_the_hub_that_was_downloaded_answers_for_itself(tmp_path):
    repository = tmp_path / "olmo"
    repository.mkdir()
    write_random(repository, shards=2, vocab_size=2048, eos_token_id=0)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (repository / name).write_bytes(preset("tiny").read(name))
    download = (
        "import sys; from huggingface_hub import hf_hub_download\n"
        "for name in sys.argv[1:]: hf_hub_download('someone/olmo', name)"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    environment["HF_HOME"] = str(tmp_path / "hf")
    names = [path.name for path in repository.iterdir()]
    with running(HubServer(repository)) as hub:
        online = environment | {"HF_ENDPOINT": hub.url}
        subprocess.run([sys.executable, "-c", download, *names], env=online, check=True)
    ran = subprocess.run(
        [sys.executable, "-m", "olmo_explain", "report", "someone/olmo", "--json"],
        capture_output=True,
        text=True,
        env=environment | {"HF_HUB_OFFLINE": "1"},
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    report = json.loads(ran.stdout)
    assert report["measured_on"]["numbers"] == "someone/olmo" and report["skipped"] == []
    assert report["sections"]["configuration"]["norms"]["heads"]["o_proj"][3]
    assert report["sections"]["forward"]["prompt"] == "Hello world"


def _skips_what_wants_the_whole_model(report: dict, name: str) -> None:
    [weights, tokenizer] = report["skipped"]
    assert weights["why"] == (
        f"{name} has 14,596,022,272 bytes of weights: 3 of 3 files are not on this machine"
    )
    assert {"access.linear", "step.order", "forward.time"} <= set(weights["claims"])
    assert tokenizer == {
        "why": f"tokenizer.json of {name} is not on this machine",
        "claims": ["forward.prompt"],
    }
    claims = claims_of(report)
    for claim_id in weights["claims"]:
        assert claims[claim_id]["skipped"] == weights["why"]
        assert claim_id == "forward.time" or "tiny" in claims[claim_id]["how"]
