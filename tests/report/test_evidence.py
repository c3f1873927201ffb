"""Which model answers for what; what only weights can tell: norms, a time, a prompt's length."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.checkpoints import RECORDED_NORMS, plant_norms, write_random, write_sparse_7b

from olmo_explain import machine
from olmo_explain.checkpoint import preset, read_config
from olmo_explain.report import ALL_CLAIMS, Evidence, bf16_step
from olmo_explain.report.evidence import Subject
from olmo_explain.report.sections.configuration import RECORDED_NORMS as NORM_CLAIMS
from olmo_explain.report.sections.configuration import in_words, period
from olmo_explain.report.sections.flops import fits, parse, was_cut
from olmo_explain.running import load, trace

CLAIMS = {claim.id: claim for claim in ALL_CLAIMS}


# -- norms, time, prompt: what only weights can tell ----------------------------------------------


@pytest.mark.parametrize("projection", RECORDED_NORMS)
def test_a_norm_is_checked_within_half_a_step_of_bfloat16(projection, planted):
    claim = CLAIMS[f"head.{projection}.norm"]
    step = bf16_step(claim.claimed)
    assert step == (0.0625 if claim.claimed < 16 else 0.125)
    for shift, verdict in [
        (0.5, "reproduced"),
        (-0.5, "reproduced"),
        (0.51, "corrected"),
        (-0.51, "corrected"),
    ]:
        moved = replace(claim, measure=lambda e, s=shift: claim.claimed + s * step)
        assert moved.check(planted).verdict == verdict
    assert f"({step / 2})" in claim.check(planted).why


def test_a_planted_norm_that_is_wrong_is_corrected(planted, tmp_path):
    directory = write_sparse_7b(tmp_path)
    plant_norms(directory, {(name, 17, 27): norm for name, norm in RECORDED_NORMS.items()})
    plant_norms(directory, {("v_proj", 17, 27): 16.5})
    found = Evidence(str(directory))
    verdicts = {name: CLAIMS[name].check(found) for name in NORM_CLAIMS}
    assert [name for name, c in verdicts.items() if c.verdict == "corrected"] == [
        "head.v_proj.norm"
    ]
    why = verdicts["head.v_proj.norm"].why
    assert why.startswith("16.5000 in ") and "half a step of bfloat16, 0.0625" in why


def test_a_time_is_recorded_beside_this_machine_s(published):
    found = Evidence("olmo3-7b")
    found.seven = Subject("tiny")  # as if tiny were the 7B and its weights were here
    checked = CLAIMS["forward.time"].check(found)
    assert checked.verdict == "recorded" and checked.measured > 0
    assert f"this machine took {checked.measured} ms" in checked.how
    unmeasured = CLAIMS["forward.time"].check(published)
    assert "13,774,561,280 bytes of weights in 1848.1 ms are 7.5 GB/s" in unmeasured.how


def test_the_prompt_is_counted_by_the_model_s_own_tokenizer(planted, tmp_path, published):
    assert CLAIMS["forward.prompt"].check(planted).verdict == "reproduced"
    assert CLAIMS["forward.prompt"].check(published).verdict == "recorded"
    for name in ("config.json", "tokenizer.json"):
        source = "olmo3-7b" if name == "config.json" else "tiny"
        (tmp_path / name).write_bytes(preset(source).read(name))
    checked = CLAIMS["forward.prompt"].check(Evidence(str(tmp_path)))
    assert checked.verdict == "corrected" and checked.measured == 4


# -- which model answers --------------------------------------------------------------------------


def test_what_is_skipped_and_why(planted):
    skipped = {c.id: c.skipped for c in (claim.check(planted) for claim in ALL_CLAIMS)}
    assert skipped["access.linear"] == skipped["step.07"] == "it is 14.6 GB of zeros"
    assert skipped["forward.prompt"] == skipped["calls.total"] == skipped["head.q_proj.norm"] == ""
    assert "verify tiny" in CLAIMS["access.linear"].check(planted).how


def test_a_model_of_another_shape_leaves_the_claims_to_the_published_config(tmp_path):
    write_random(tmp_path)
    found = Evidence(str(tmp_path))
    assert (found.seven.name, found.running.name) == ("olmo3-7b", str(tmp_path))
    assert CLAIMS["config.hidden_size"].check(found).measured == 4096
    embedding = CLAIMS["access.embedding"].check(found)
    assert embedding.verdict == "reproduced" and str(tmp_path) in embedding.how
    assert embedding.skipped == ""


def test_a_directory_is_not_the_preset_whose_name_it_has(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    named = Path("olmo3-7b")
    named.mkdir()
    write_random(named)
    found = Evidence(named)
    assert found.seven is not found.asked is found.running
    assert found.seven.config == read_config("olmo3-7b")
    assert CLAIMS["config.hidden_size"].check(found).measured == 4096


def test_a_directory_of_the_7b_s_shape_is_measured_by_its_path(tmp_path):
    (tmp_path / "config.json").write_bytes(preset("olmo3-7b").read("config.json"))
    found = Evidence(tmp_path)
    assert found.seven is found.asked and found.seven.name == str(tmp_path)


def test_a_model_too_large_for_the_memory_does_not_run(tmp_path, monkeypatch):
    write_random(tmp_path)
    monkeypatch.setattr(machine, "free_memory_bytes", lambda: 2**30)
    found = Evidence(str(tmp_path))
    assert "bytes of memory to run, and 1,073,741,824 are free" in found.asked.too_large
    assert found.running.name == "tiny"


def test_a_download_that_is_not_complete_does_not_run(tmp_path):
    write_random(tmp_path, shards=3)
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    found = Evidence(str(tmp_path))
    assert "1 of 3 files are not on this machine" in found.asked.missing
    assert found.running.name == "tiny" and found.asked.norms is None


def test_a_7b_whose_layer_17_is_not_there_keeps_its_norms_recorded(tmp_path):
    write_sparse_7b(tmp_path)
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    found = Evidence(str(tmp_path))
    assert {CLAIMS[name].check(found).verdict for name in NORM_CLAIMS} == {"recorded"}


# -- small things ---------------------------------------------------------------------------------


def test_the_report_s_roundings():
    assert [int(part) for part in parse("16.7M")] == [16_700_000, 100_000]
    assert fits("3.2B", 3_221_225_472) and not fits("3.2B", 6_442_450_944)
    assert was_cut("16.7M", 16_777_216) and not fits("16.7M", 16_777_216)
    assert not was_cut("16.7M", 16_720_000)  # rounded, it is the same


def test_patterns_in_words():
    config = read_config("olmo3-7b")
    assert period(config) == (["sliding", "sliding", "sliding", "full"], 8)
    assert in_words(config) == "3 sliding, then 1 full"
    odd = replace(config, layer_types=config.layer_types[:6])
    assert period(odd)[1] == 1


def test_a_fused_attention_shows_no_scores():
    """What is not computed apart is not proven, and not passed over in silence either."""
    subject = Subject("tiny")
    subject.loaded = load("tiny", attention="sdpa")
    assert subject.proof("scores") == "not computed: scores"
    assert trace(subject.loaded[0], subject.ids).total > 0
