"""Models that are wrong where a claim looks: a check that passes on them would check nothing."""

import copy
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.checkpoints import tiny_fields
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from olmo_explain.checkpoint import preset
from olmo_explain.report import ALL_CLAIMS, Evidence
from olmo_explain.report.evidence import Subject
from olmo_explain.report.sections.access import literal_rms_norm
from olmo_explain.running import Step

LEDGER: dict[str, str] = json.loads(Path(__file__).with_name("verdicts.json").read_text())
CLAIMS = {claim.id: claim for claim in ALL_CLAIMS}


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
    everywhere = replace(published.seven.rope, regime="yarn-everywhere", sliding_scaled=True)
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


@pytest.mark.parametrize(
    "name", [n for n, v in LEDGER.items() if v == "corrected" and n.startswith("step")]
)
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
