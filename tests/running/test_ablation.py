"""Heads taken out and heads added up, against the reference."""

import pytest
import torch
from support.random_olmo import build, olmo2, olmo3, traces_left
from torch import nn

from olmo_explain.by_hand import run_by_hand
from olmo_explain.checkpoint import config_of
from olmo_explain.errors import OutOfRange, UsageError
from olmo_explain.running import (
    ablate_head,
    ablate_output_slice,
    head_contributions,
    load,
    next_shares,
)

IDS = torch.tensor([[1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1]])


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def model(request) -> nn.Module:
    return build(olmo3(), request.param)


def logits(model: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(IDS, use_cache=False).logits


def without_columns(model: nn.Module, layer: int, head: int) -> dict[str, torch.Tensor]:
    """The weights of a model in which the head's columns of o_proj are zero."""
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    head_dim = config_of(model).head_dim
    columns = slice(head * head_dim, (head + 1) * head_dim)
    weights[f"model.layers.{layer}.self_attn.o_proj.weight"][:, columns] = 0
    return weights


@pytest.mark.parametrize(("layer", "head"), [(0, 0), (2, 3), (4, 1)])
def test_ablation_changes_the_logits_as_the_reference_predicts(model, layer, head):
    plain = logits(model)
    predicted = run_by_hand(without_columns(model, layer, head), IDS, config=config_of(model))
    with ablate_head(model, layer, head):
        ablated = logits(model)
    assert torch.equal(ablated, predicted["logits"])
    assert not torch.equal(ablated, plain)
    assert torch.equal(logits(model), plain)


def test_two_heads_can_be_ablated_at_once(model):
    with ablate_head(model, 1, 0), ablate_head(model, 1, 2):
        both = logits(model)
    with ablate_head(model, 1, 0):
        one = logits(model)
    assert not torch.equal(both, one)


def test_shares_of_the_next_token_while_heads_are_silent(model):
    with ablate_head(model, 1, 0), ablate_head(model, 1, 2):
        expected = logits(model)[0, -1].float().softmax(-1)
    assert torch.equal(next_shares(model, IDS[:1], [(1, 0), (1, 2)]), expected)
    assert torch.equal(next_shares(model, IDS[:1]), logits(model)[0, -1].float().softmax(-1))
    with pytest.raises(UsageError, match="2 sequences"):
        next_shares(model, IDS)


def test_the_wrong_place_is_another_intervention(model):
    with ablate_head(model, 2, 0):
        right = logits(model)
    with ablate_output_slice(model, 2, 0):
        wrong = logits(model)
    assert not torch.equal(right, wrong)
    assert not torch.equal(wrong, logits(model))


@pytest.mark.parametrize("fields", [olmo3(), olmo3(num_key_value_heads=1), olmo2()])
def test_contributions_of_all_heads_and_nothing_else_are_the_attention_output(fields):
    model = build(fields, torch.float32)
    values = run_by_hand(model, IDS)
    for layer in range(5):
        parts = head_contributions(model, IDS, layer)
        assert parts.shape == (2, 6, 4, 24)
        torch.testing.assert_close(parts.sum(2), values[layer, "attn_out"], atol=1e-5, rtol=1e-5)


def test_contributions_of_tiny_in_bfloat16():
    model, _ = load("tiny")
    ids = torch.arange(40)[None]
    expected = run_by_hand(model, ids)[7, "attn_out"].float()
    found = head_contributions(model, ids, 7).sum(2)
    assert (found - expected).abs().max() < 0.02 * expected.abs().max()


def test_a_contribution_is_the_head_alone(model):
    with ablate_head(model, 2, 1):
        parts = head_contributions(model, IDS, 2)
    assert not parts[:, :, 1].any()
    assert parts[:, :, [0, 2, 3]].any()


def test_contributions_heed_padding():
    model = build(olmo3(), torch.float32)
    mask = torch.ones_like(IDS)
    mask[0, :2] = 0
    values = run_by_hand(model, IDS, mask)
    parts = head_contributions(model, IDS, 2, mask)
    torch.testing.assert_close(parts.sum(2), values[2, "attn_out"], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("intervene", [ablate_head, ablate_output_slice])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_no_hook_is_left(model, intervene, error):
    before = traces_left(model)
    with pytest.raises(error), intervene(model, 1, 1):
        raise error
    assert traces_left(model) == before
    head_contributions(model, IDS, 1)
    assert traces_left(model) == before


@pytest.mark.parametrize(
    ("layer", "head", "message"),
    [
        (5, 0, "There is no layer 5. Choose a layer from 0 to 4"),
        (0, 4, "There is no head 4. Choose a head from 0 to 3"),
        (-1, 0, "There is no layer -1"),
    ],
)
def test_what_is_not_there_is_said(model, layer, head, message):
    with pytest.raises(OutOfRange, match=message), ablate_head(model, layer, head):
        pass
