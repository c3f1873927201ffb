"""The fifteen steps, recovered from operators, under the reference's names."""

import pytest
import torch
from transformers import Olmo3Config, Olmo3ForCausalLM

from olmo_explain.by_hand import STEPS
from olmo_explain.running import Operator, Step, load, prompt_ids, sequence, trace

HANDED = {"resid_pre", "cos", "sin", "mask"}  # to the layer, by others
COMPUTED = [name for name in STEPS if name not in HANDED | {"v"}]  # v is a view


def grouped() -> Olmo3ForCausalLM:
    config = Olmo3Config(
        vocab_size=30,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=2,
        sliding_window=4,
        pad_token_id=0,
        attn_implementation="eager",
    )
    return Olmo3ForCausalLM(config).eval()


MODELS = {
    "tiny": lambda: load("tiny")[0],
    "tiny in float32": lambda: load("tiny", "float32")[0],
    "7b": lambda: load("olmo3-7b")[0],
    "grouped-query attention": grouped,
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("batch", [1, 2])
def test_every_layer_computes_the_references_fifteen_steps(name, batch):
    model = MODELS[name]()
    ids = prompt_ids(model, None, length=9).repeat(batch, 1)
    steps = sequence(trace(model, ids, ops=True).operators)
    for layer in range(model.config.num_hidden_layers):
        ran = [step for step in steps if step.layer == layer]
        names = [step.name for step in ran]
        assert sorted(names, key=COMPUTED.index) == COMPUTED
        assert {step.step for step in ran} == set(range(1, 16))
        assert all(step.step == STEPS[step.name] for step in ran)


def test_what_really_runs_first_differs_from_the_list():
    """Q is normalised before K is projected, and the gate is through SiLU before up is computed."""
    model, _ = load("tiny")
    operators = trace(model, torch.tensor([[5, 6]]), ops=True).operators
    order = [step.name for step in sequence(operators) if step.layer == 3]
    assert order[:5] == ["q_proj", "q_norm", "k_proj", "k_norm", "v_proj"]
    assert order.index("silu") < order.index("up_proj")
    # The norm comes before the sum: OLMo normalises what a sublayer writes.
    assert order.index("attn_out") + 1 == order.index("resid_mid")
    assert order.index("mlp_out") + 1 == order.index("resid_post") == len(order) - 1


def test_a_step_names_its_operators():
    model, _ = load("tiny")
    operators = trace(model, torch.tensor([[5, 6]]), ops=True).operators
    last = {(step.layer, step.name): step for step in sequence(operators)}
    assert [operators[i].name for i in last[2, "scores"].operators] == ["bmm", "mul"]
    (product,) = (operators[i] for i in last[2, "gate_proj"].operators)
    assert product.name == "mm"
    assert product.weights == ("model.layers.2.mlp.gate_proj.weight",)
    assert not any(operators[i].view for step in last.values() for i in step.operators)


def test_fused_attention_gives_only_its_result():
    model, _ = load("tiny", attention="sdpa")
    steps = sequence(trace(model, torch.tensor([[5, 6]]), ops=True).operators)
    names = [step.name for step in steps if step.layer == 0]
    assert sorted(names, key=COMPUTED.index) == [
        name for name in COMPUTED if name not in ("scores", "masked_scores", "pattern")
    ]


def test_other_modules_are_left_out():
    def operator(index: int, path: str) -> Operator:
        return Operator(index, "aten.mm.default", path, (), (1,), view=False)

    paths = ["lm_head", "model.layers.0.conv", "model.layers.1.mlp.up_proj"]
    assert sequence(map(operator, range(3), paths)) == [Step(1, 12, "up_proj", (2,))]
