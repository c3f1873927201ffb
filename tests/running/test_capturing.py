"""What the real model computed: all of it, unchanged, and nothing left behind."""

import pytest
import torch
from support.random_olmo import build, olmo2, olmo3, traces_left
from torch import nn

from olmo_explain.by_hand import STEPS
from olmo_explain.errors import UsageError
from olmo_explain.running import capture

IDS = torch.tensor([[1, 2, 3, 4, 5, 6]])


@pytest.fixture
def model() -> nn.Module:
    return build(olmo3(), torch.float32)


def run(model: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(IDS, use_cache=False).logits


@pytest.mark.parametrize("fields", [olmo3(), olmo2()], ids=["olmo3", "olmo2"])
def test_every_step_of_every_layer_is_there(fields):
    model = build(fields, torch.float32)
    with capture(model) as values:
        run(model)
    expected = {(layer, name) for layer in range(5) for name in STEPS}
    expected |= {(None, name) for name in ("embedding", "final_norm", "logits")}
    assert set(values) == expected


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_the_model_computes_what_it_always_computes(attention):
    model = build(olmo3(), torch.float32, attention=attention)
    plain = run(model)
    with capture(model) as values:
        watched = run(model)
    assert torch.equal(plain, watched)
    assert torch.equal(plain, values["logits"])


def test_pattern_and_head_outputs_are_those_of_the_model(model):
    with torch.no_grad():
        patterns = model(IDS, output_attentions=True, use_cache=False).attentions
    with capture(model) as values:
        run(model)
    for layer, pattern in enumerate(patterns):
        assert torch.equal(values[layer, "pattern"], pattern)
        weight = model.model.layers[layer].self_attn.o_proj.weight
        assert torch.equal(values[layer, "z"].flatten(-2) @ weight.T, values[layer, "o_proj"])


def test_faster_attention_has_no_pattern():
    model = build(olmo3(), torch.float32, attention="sdpa")
    with capture(model) as values:
        run(model)
    assert {name for _, name in values}.isdisjoint({"scores", "masked_scores", "pattern"})
    assert (0, "z") in values


def test_a_receiver_gets_values_in_order_and_nothing_is_kept(model):
    received = []
    with capture(model, lambda layer, name, value: received.append((layer, name))) as values:
        run(model)
    assert not values
    assert received[0] == (None, "embedding")
    assert received[-1] == (None, "logits")
    assert received.index((0, "resid_post")) < received.index((1, "resid_pre"))


def test_nothing_is_left_behind(model):
    before = traces_left(model)
    with capture(model):
        run(model)
        assert traces_left(model) != before
    assert traces_left(model) == before


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("name", ["embedding", "q", "pattern", "resid_post"])
def test_nothing_is_left_behind_when_the_forward_pass_ends_early(model, error, name):
    before = traces_left(model)

    def interrupt(layer, step, value):
        if step == name:
            raise error

    with pytest.raises(error), capture(model, interrupt):
        run(model)
    assert traces_left(model) == before
    run(model)


def test_nothing_is_left_behind_on_a_model_that_cannot_be_captured(model):
    del model.model.layers[4].mlp.up_proj
    before = traces_left(model)
    with pytest.raises(UsageError, match=r"has no model\.layers\.4\.mlp\.up_proj"), capture(model):
        pass
    assert traces_left(model) == before


def test_a_capture_within_a_capture_sees_the_same(model):
    before = traces_left(model)
    with capture(model) as outer, capture(model) as inner:
        run(model)
    assert set(outer) == set(inner)
    assert all(torch.equal(outer[key], inner[key]) for key in outer)
    assert traces_left(model) == before


def test_other_hooks_stay(model):
    handle = model.lm_head.register_forward_hook(lambda module, args, output: output + 1)
    plain = run(model)
    with capture(model) as values:
        run(model)
    assert torch.equal(values["logits"], plain)
    assert len(model.lm_head._forward_hooks) == 1
    handle.remove()
