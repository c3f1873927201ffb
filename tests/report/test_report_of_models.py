"""The report of a model of one's own, and of the 7B's shape: on a disk, over HTTP, from the hub."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from support.checkpoints import (
    RECORDED_NORMS,
    plant_norms,
    planted_norms,
    tiny_fields,
    write_random,
    write_sparse_7b,
)
from support.commands import answer, run, run_process, run_python
from support.old_configs import tiny_with, without_rope_parameters
from support.random_olmo import yarn
from support.servers import FileServer, HubServer, running

from olmo_explain import machine
from olmo_explain.checkpoint import preset
from olmo_explain.report import remeasure
from olmo_explain.report.evidence import Subject
from olmo_explain.report.sections.configuration import RECORDED_NORMS as NORM_CLAIMS
from olmo_explain.running import REMEDIES

README = " ".join((Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8").split())
ONE_HEAD = 3 * 2**20 + 33_546_496
"""Bytes: three slices of 1 MiB, and o_proj's columns with what lies between them, one request."""


def claims_of(report: dict) -> dict[str, dict]:
    return {claim["id"]: claim for claim in report["claims"]}


@pytest.fixture(scope="module")
def seven(tmp_path_factory) -> Path:
    """The 7B's shape, all 32 layers, and a known norm for each of its 4,096 slices."""
    directory = write_sparse_7b(tmp_path_factory.mktemp("seven"))
    plant_norms(directory, planted_norms())
    return directory


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


def test_a_model_that_lost_its_theta_is_a_problem_and_exit_1(tmp_path):
    directory = tiny_with(tmp_path, without_rope_parameters)
    report = answer("report", directory, code=1)
    assert report["measured_on"]["numbers"] == str(directory) and not report["ok"]
    assert report["problems"][0] == REMEDIES["theta-lost"]
    assert "layer 0, step 5, cos differs" in report["problems"][1]
    assert claims_of(report)["access.scores"]["verdict"] == "recorded"
    assert "problem A layer type turns" in " ".join(run("report", directory, code=1).stdout.split())


def test_a_config_that_loses_its_theta_is_one_too_without_weights(tmp_path):
    fields = json.loads(preset("tiny").read("config.json"))
    without_rope_parameters(fields)
    (tmp_path / "config.json").write_text(json.dumps(fields))
    report = answer("report", tmp_path, code=1)
    assert report["measured_on"] == {"sizes": "olmo3-7b", "numbers": "tiny"}
    assert report["problems"] == [REMEDIES["theta-lost"]]


@pytest.mark.parametrize("with_weights", [True, False])
def test_every_layer_full_and_no_window(tmp_path, with_weights):
    full = {"layer_types": ["full_attention"] * 4, "sliding_window": None}
    if with_weights:
        write_random(tmp_path, **full)
    else:
        (tmp_path / "config.json").write_text(json.dumps(tiny_fields(**full)))
    report = answer("report", tmp_path)
    sections = report["sections"]
    assert sections["configuration"]["fields"]["sliding_window"] is None
    assert list(sections["flops"]["crossover_seq"]) == ["full_attention", "model"]
    assert sections["forward"]["counts"]["Olmo3RMSNorm"] == 4 * 4 + 1
    assert report["measured_on"]["numbers"] == (str(tmp_path) if with_weights else "tiny")
    assert "Full attention in layers 0, 1, 2, 3" in remeasure(tmp_path).to_markdown()


def test_the_7b_s_shape_with_every_layer_full_and_no_window(tmp_path):
    fields = json.loads(preset("olmo3-7b").read("config.json"))
    fields |= {"layer_types": ["full_attention"] * 32, "sliding_window": None}
    (tmp_path / "config.json").write_text(json.dumps(fields))
    claims = claims_of(answer("report", tmp_path))
    assert claims["layers.window"]["measured"] == "none"
    assert claims["flops.long"]["measured"] == ["full_attention"]
    assert "in sliding_attention layers never" in claims["flops.long"]["why"]


# -- the 7B's shape, from a disk, over HTTP and from the hub --------------------------------------


def test_every_planted_norm_is_found_on_a_disk(seven, monkeypatch):
    monkeypatch.setattr(machine, "free_memory_bytes", lambda: 2**30)
    report = json.loads(run("report", str(seven), "--json").stdout)
    claims, configuration = claims_of(report), report["sections"]["configuration"]
    for projection, norm in RECORDED_NORMS.items():
        claim = claims[f"head.{projection}.norm"]
        assert (claim["measured"], claim["verdict"]) == (norm, "reproduced")
        assert str(seven) in claim["how"] and "half a step of bfloat16" in claim["why"]
        assert configuration["head"]["slices"][projection]["norm"] == norm
    heads = configuration["norms"]["heads"]
    found = {
        (projection, layer, head): heads[projection][layer][head]
        for projection, layer, head in planted_norms()
    }
    assert found == planted_norms() and len(found) == 4 * 32 * 32
    assert report["measured_on"] == {"sizes": str(seven), "numbers": "tiny"}
    [memory, tokenizer] = report["skipped"]
    assert "bytes of memory to run" in memory["why"] and "access.linear" in memory["claims"]
    assert "tokenizer.json" in tokenizer["why"] and tokenizer["claims"] == ["forward.prompt"]


def test_over_http_one_head_is_read_and_no_more(seven):
    with running(FileServer(seven)) as server:
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
    monkeypatch.setattr(machine, "free_memory_bytes", lambda: 0)
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


def test_from_the_hub_one_head_is_read_and_no_more(seven, tmp_path):
    with (
        running(FileServer(seven)) as store,
        running(HubServer(seven, store=store, repository="someone/olmo")) as hub,
    ):
        there = {"HF_HOME": str(tmp_path / "hf"), "HF_ENDPOINT": hub.url}
        report = json.loads(run_process("report", "someone/olmo", "--json", **there).stdout)
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
    home = str(tmp_path / "hf")
    names = [path.name for path in repository.iterdir()]
    with running(HubServer(repository)) as hub:
        run_python("-c", download, *names, HF_HOME=home, HF_ENDPOINT=hub.url)
    ran = run_process("report", "someone/olmo", "--json", HF_HOME=home, HF_HUB_OFFLINE="1")
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
