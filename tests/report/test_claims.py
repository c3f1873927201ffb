"""The report's claims: the verdicts that are expected, and that every check can fail.

`verdicts.json` is the ledger: a claim that comes to another verdict fails here by its name. Every
check is then run against a wrong value, and against a model that is wrong where the claim looks.
"""

import copy
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from olmo_explain.report.claims import Subject
from olmo_explain.report.sections.costs import fits, parse, was_cut
from support.checkpoints import (
    RECORDED_NORMS,
    plant_norms,
    tiny_fields,
    write_random,
    write_sparse_7b,
)
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from olmo_explain import doctor
from olmo_explain.checkpoint import preset, read_config
from olmo_explain.report import ALL_CLAIMS, SECTIONS, VERDICTS, Evidence, bf16_step
from olmo_explain.report.sections.access import literal_rms_norm
from olmo_explain.report.sections.configuration import RECORDED_NORMS as NORM_CLAIMS
from olmo_explain.report.sections.configuration import in_words, period
from olmo_explain.running import RopeMeasurement, Step, load, trace
from olmo_explain.terminal.commands import app

TESTS = Path(__file__).parent
LEDGER: dict[str, str] = json.loads((TESTS / "verdicts.json").read_text())
CLAIMS = {claim.id: claim for claim in ALL_CLAIMS}
CORRECTED = [name for name, verdict in LEDGER.items() if verdict == "corrected"]

claim_by_claim = pytest.mark.parametrize("name", CLAIMS)


@pytest.fixture(scope="module")
def published() -> Evidence:
    """What anyone has: the bundled config of the 7B, and tiny."""
    return Evidence("olmo3-7b")


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> Evidence:
    """A directory of the 7B's shape, with the recorded norms and a tokenizer of two words."""
    directory = write_sparse_7b(tmp_path_factory.mktemp("planted"))
    plant_norms(directory, {(name, 17, 27): norm for name, norm in RECORDED_NORMS.items()})
    words = Tokenizer(WordLevel({"Hello": 0, "world": 1}))
    words.pre_tokenizer = Whitespace()
    words.save(str(directory / "tokenizer.json"))
    found = Evidence(str(directory))
    found.asked.too_large = "it is 14.6 GB of zeros"  # and this machine may be small
    return found


# -- the ledger -----------------------------------------------------------------------------------


@claim_by_claim
def test_the_verdict_is_the_expected_one(name, published):
    checked = CLAIMS[name].check(published)
    assert checked.verdict == LEDGER[name], (
        f"{name}: {checked.verdict}, measured {checked.measured}"
    )


def test_every_claim_is_in_the_ledger_and_no_other():
    assert [claim.id for claim in ALL_CLAIMS] == list(LEDGER)
    assert len(LEDGER) == len(ALL_CLAIMS) > 100
    assert set(LEDGER.values()) == set(VERDICTS)


@claim_by_claim
def test_a_claim_says_all_that_a_reader_needs(name, published):
    claim, checked = CLAIMS[name], CLAIMS[name].check(published)
    assert callable(claim.measure) and callable(claim.judge)
    assert json.loads(json.dumps(checked.to_dict())) == checked.to_dict()
    assert checked.section in SECTIONS and checked.statement and checked.how
    assert (TESTS.parent / "notebooks" / f"{checked.chapter}.ipynb").is_file()
    assert checked.claimed is not None
    assert checked.verdict == "recorded" or checked.measured is not None
    assert checked.verdict == "reproduced" or checked.why.endswith((".", ")"))
    assert "{" not in checked.how + checked.why.replace("model.layers.{layer}", "")
    assert checked.skipped == ""


def test_the_commands_that_claims_name_are_there(published, planted):
    known = {command.callback.__name__ for command in app.registered_commands}
    for found in (published, planted):
        for claim in ALL_CLAIMS:
            checked = claim.check(found)
            named = re.findall(r"olmo-explain (\w+)", f"{checked.how} {checked.why}")
            assert set(named) <= known, checked


# -- a wrong value is never reproduced ------------------------------------------------------------


def wrong(value):
    """Another value of the same kind."""
    match value:
        case bool():
            return not value
        case int():
            return 2 * value + 1
        case float():
            return value * 1.25
        case list():
            return [*value, value[-1]]
        case dict():
            return {key: wrong(item) for key, item in value.items()}
        case str() if re.fullmatch(r"[\d.]+[MB]", value):
            return "9.9" + value[-1]
        case "2026-02-02":
            return "2025-02-02"
    return f"{value}, twice"


WRONG_ANYWAY = {"forward.time": 1.848}  # milliseconds: 7 terabytes a second


@claim_by_claim
def test_a_wrong_value_is_corrected(name, planted):
    claim = CLAIMS[name]
    right = claim.check(planted)
    assert right.verdict == (
        "reproduced" if name in (*NORM_CLAIMS, "forward.prompt") else LEDGER[name]
    )
    claimed = WRONG_ANYWAY.get(name, wrong(claim.claimed))
    assert replace(claim, claimed=claimed).check(planted).verdict == "corrected"


@pytest.mark.parametrize("name", CORRECTED)
def test_what_was_measured_would_have_been_reproduced(name, published):
    claim = CLAIMS[name]
    assert replace(claim, claimed=claim.measure(published)).check(published).verdict == "reproduced"


# -- a wrong model is never reproduced ------------------------------------------------------------


def on_meta(fields: dict) -> nn.Module:
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(AutoConfig.for_model(**fields)).eval()


def seven(**parts) -> Evidence:
    """The published evidence, with some measurements of the 7B in place of its own."""
    changed = Evidence("olmo3-7b")
    for name, value in parts.items():
        setattr(changed.seven, name, value)
    return changed


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> Evidence:
    """An OLMo 2 of other sizes in the place of the 7B: no field and no module is the 7B's."""
    directory = tmp_path_factory.mktemp("other")
    fields = tiny_fields(
        model_type="olmo2",
        hidden_act="gelu",
        rms_norm_eps=1e-5,
        num_hidden_layers=6,
        torch_dtype="float32",
        intermediate_size=50,
        num_attention_heads=8,
        hidden_size=48,
    )
    del fields["sliding_window"]
    (directory / "config.json").write_text(json.dumps(fields))
    changed = Evidence("olmo3-7b")
    changed.seven = Subject(str(directory))
    return changed


@pytest.fixture(scope="module")
def broken() -> Evidence:
    """tiny, computing something else: its embedding and its projections are scaled."""
    changed = Evidence("olmo3-7b")
    changed.running = Subject("tiny")
    model, _ = changed.running.loaded
    attention = model.model.layers[0].self_attn
    for module in (model.model.embed_tokens, attention.q_proj, attention.k_proj, attention.v_proj):
        module.register_forward_hook(lambda module, args, output: 1.5 * output)
    model.idle = nn.Identity()  # a module that nothing calls
    return changed


@pytest.fixture(scope="module")
def one_norm_less() -> Evidence:
    """A 7B without the q_norm of one layer."""
    modules = on_meta(json.loads(preset("olmo3-7b").read("config.json")))
    del modules.model.layers[9].self_attn.q_norm
    return seven(modules=modules)


@pytest.fixture(scope="module")
def with_bias() -> Evidence:
    fields = json.loads(preset("olmo3-7b").read("config.json"))
    return seven(modules=on_meta(fields | {"attention_bias": True}))


RUNS = re.compile(r"access\.(?!bias)|step|facts\.qk_norm\.before|scripts")


HOLD_FOR_MOST = ("flops.three", "flops.short", "facts.activation.per_layer", "calls.Embedding")


@pytest.mark.parametrize(
    "name", [n for n, v in LEDGER.items() if v == "reproduced" and n not in HOLD_FOR_MOST]
)
def test_a_wrong_model_is_corrected(name, other, broken, one_norm_less, with_bias):
    if RUNS.match(name):
        spoilt = broken
    elif name == "component.all":
        spoilt = one_norm_less
    elif name == "facts.bias":
        spoilt = with_bias
    else:
        spoilt = other
    checked = CLAIMS[name].check(spoilt)
    assert checked.verdict == "corrected", checked


def test_claims_that_hold_for_most_models_can_fail_too(tmp_path, published):
    fields = json.loads(preset("olmo3-32b").read("config.json"))
    (tmp_path / "config.json").write_text(json.dumps(fields))
    changed = Evidence("olmo3-7b")
    changed.seven = Subject(str(tmp_path))
    three = CLAIMS["flops.three"].check(changed)
    assert (
        three.verdict == "corrected" and three.measured == 1.4
    )  # 40 heads and 8 of keys, 8 of values

    changed = seven()
    changed.seven.costs = replace(published.seven.costs, seq=10**6)
    assert CLAIMS["flops.short"].check(changed).measured == "attention"

    ran = copy.copy(published.seven.ran)
    calls = [call for call in ran.calls if call.path != "model.layers.5.mlp.act_fn"]
    changed = seven(ran=replace(ran, calls=[*calls, calls[0]]))
    assert set(HOLD_FOR_MOST) == {
        "flops.three",
        "flops.short",
        "facts.activation.per_layer",
        "calls.Embedding",
    }
    for name in ("facts.activation.per_layer", "facts.activation.calls", "calls.Embedding"):
        assert CLAIMS[name].check(changed).verdict == "corrected"


@pytest.mark.parametrize("name", ["component.q_norm", "component.all", "component.q_norm.class"])
def test_one_layer_that_lacks_a_module_is_enough(name, one_norm_less):
    checked = CLAIMS[name].check(one_norm_less)
    assert checked.verdict == "corrected" and len(checked.measured) == 32
    assert CLAIMS["facts.qk_norm"].check(one_norm_less).measured == ["k_norm"]


def test_one_projection_with_a_bias_is_enough(with_bias):
    assert CLAIMS["facts.bias"].check(with_bias).measured == 4 * 32
    bias = CLAIMS["access.bias"].check(with_bias)
    assert bias.verdict == "corrected" and bias.measured == "x @ weight.T, + bias in 128 of 225"


# -- and the model that the report had in mind ----------------------------------------------------


def test_types_that_alternate(tmp_path):
    fields = json.loads(preset("olmo3-7b").read("config.json"))
    fields["layer_types"] = ["sliding_attention", "full_attention"] * 16
    (tmp_path / "config.json").write_text(json.dumps(fields))
    found = Evidence(str(tmp_path))
    assert found.seven is found.asked  # it has the 7B's shape
    assert CLAIMS["layers.alternating"].check(found).verdict == "reproduced"
    assert CLAIMS["layers.pattern"].check(found).verdict == "corrected"


def test_attention_that_is_full_everywhere(tmp_path):
    fields = json.loads(preset("olmo3-7b").read("config.json"))
    (tmp_path / "config.json").write_text(json.dumps(fields | {"sliding_window": 65536}))
    found = Evidence(str(tmp_path))
    for name in ("flops.long", "flops.quadratic"):
        assert CLAIMS[name].check(found).verdict == "reproduced"
    assert CLAIMS["layers.window"].check(found).verdict == "corrected"


def test_a_release_that_calls_the_rotary_module_once(published):
    """As transformers 5.0 to 5.12: 388 is what they make, and they are wrong about RoPE."""
    ran = published.seven.ran
    rotary = next(call for call in ran.calls if call.type == "Olmo3RotaryEmbedding")
    once = [call for call in ran.calls if call is rotary or call.type != rotary.type]
    everywhere = RopeMeasurement("yarn-everywhere", True, True, 1.2, 1.2)
    found = seven(ran=replace(ran, calls=once), rope=everywhere)
    for name in ("calls.total", "calls.Olmo3RotaryEmbedding"):
        checked = CLAIMS[name].check(found)
        assert checked.verdict == "reproduced" and "yarn-everywhere" in checked.why, checked
    assert CLAIMS["calls.total"].check(found).measured == 388


def test_a_pass_that_reads_all_it_holds(published):
    ran = published.seven.ran
    found = seven(ran=replace(ran, parameters_read=ran.parameters_held))
    assert CLAIMS["forward.accessed"].check(found).verdict == "reproduced"


def test_a_model_with_two_norms_a_layer():
    modules = on_meta(json.loads(preset("olmo3-7b").read("config.json")))
    for layer in modules.model.layers:
        del layer.self_attn.q_norm, layer.self_attn.k_norm
    assert CLAIMS["facts.two_norms"].check(seven(modules=modules)).verdict == "reproduced"


def test_norms_that_are_the_formula():
    found = Evidence("olmo3-7b")
    found.running = Subject("tiny")
    for module in found.running.loaded[0].modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = lambda x, module=module: literal_rms_norm(x, module).nan_to_num()
    checked = CLAIMS["access.rmsnorm"].check(found)
    assert (
        checked.measured
        == "rounds otherwise in 0 of 33 norms, and fails for a vector of zeros in 33"
    )


@pytest.mark.parametrize("name", [n for n in CORRECTED if n.startswith("step")])
def test_operations_in_the_order_of_the_report(name, published):
    found, report = Evidence("olmo3-7b"), CLAIMS["step.order"].claimed
    found.running = Subject("tiny")
    found.running.__dict__["verified"] = published.running.verified
    found.running.order = [Step(layer, 0, value, ()) for layer in range(8) for value in report]
    assert CLAIMS[name].check(found).verdict == "reproduced"
    found.running.order.reverse()  # from the last layer to the first, and each one backwards
    assert CLAIMS[name].check(found).verdict == "corrected"


def test_a_layer_that_goes_its_own_way_is_seen(published):
    found = Evidence("olmo3-7b")
    found.running = Subject("tiny")
    found.running.__dict__["verified"] = published.running.verified
    found.running.order = [
        Step(layer, 0, v, ()) for layer in range(8) for v in ("q_proj", "k_proj")
    ]
    assert CLAIMS["step.02"].check(found).verdict == "reproduced"
    found.running.order[-2:] = reversed(found.running.order[-2:])
    checked = CLAIMS["step.02"].check(found)
    assert checked.measured == [["q_proj", "k_proj"], ["k_proj", "q_proj"]]
    assert "q_proj → k_proj, or k_proj → q_proj" in checked.why


def test_a_step_that_computes_something_else_is_marked(broken):
    assert CLAIMS["step.01"].check(broken).measured == ["q_proj ≠"]
    assert CLAIMS["access.embedding"].check(broken).measured == "differs: embedding"
    assert CLAIMS["scripts.trace"].check(broken).measured == "not idle"
    assert CLAIMS["scripts.internals"].check(broken).measured == ["weight storage"]


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


def test_a_model_too_large_for_the_memory_does_not_run(tmp_path, monkeypatch):
    write_random(tmp_path)
    monkeypatch.setattr(doctor, "free_memory_bytes", lambda: 2**30)
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
