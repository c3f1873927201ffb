"""The forward pass by hand: its numbers, and that they equal the real ones bit for bit."""

import pytest
import torch
from hypothesis import given, settings
from support.random_olmo import Case, build, cases, olmo2, olmo3

from olmo_explain.by_hand import (
    STEPS,
    cos_sin,
    frequencies,
    rms_norm,
    rotate,
    run_by_hand,
    visible,
    yarn_ramp,
)
from olmo_explain.by_hand.reference import attention_pattern, share_kv_heads, split_heads, walk
from olmo_explain.checkpoint import Checkpoint, Rope, check_supported, config_of, read_config
from olmo_explain.errors import UsageError
from olmo_explain.running import load


@settings(max_examples=100, deadline=None)
@given(cases())
def test_logits_of_any_olmo_equal_the_real_ones(case: Case):
    model, inputs = case.model(), case.inputs()
    with torch.no_grad():
        real = model(inputs["ids"], attention_mask=inputs.get("attention_mask"), use_cache=False)
    assert torch.equal(run_by_hand(model, **inputs)["logits"], real.logits)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tiny_from_its_file_equals_the_loaded_model(dtype):
    model, _ = load("tiny", dtype)
    ids = torch.arange(100)[None]  # three windows long
    by_hand = run_by_hand(Checkpoint("tiny"), ids, config=read_config("tiny"), dtype=dtype)
    with torch.no_grad():
        assert torch.equal(by_hand["logits"], model(ids, use_cache=False).logits)


def test_every_step_of_every_layer_is_yielded_in_order():
    model = build(olmo3(), torch.float32)
    values = list(walk(model.state_dict(), config_of(model), torch.tensor([[1, 2]])))
    assert [value.name for value in values if value.layer == 3] == list(STEPS)
    assert list(dict.fromkeys(STEPS.values())) == list(range(1, 16))
    assert [v.name for v in values if v.layer is None] == ["embedding", "final_norm", "logits"]


def test_shapes_are_those_that_the_comments_promise():
    values = run_by_hand(build(olmo3(), torch.float32), torch.tensor([[1, 2, 3]] * 2))
    B, T, D, H, K, Dh, F, V = 2, 3, 24, 4, 2, 8, 20, 40
    shapes = {
        **dict.fromkeys(("resid_pre", "attn_out", "resid_mid", "resid_post"), (B, T, D)),
        **dict.fromkeys(("gate_proj", "up_proj", "silu", "intermediate"), (B, T, F)),
        "q_proj": (B, T, H * Dh),
        "k_norm": (B, T, K * Dh),
        "q": (B, H, T, Dh),
        "k": (B, K, T, Dh),
        "v": (B, K, T, Dh),
        "cos": (1, T, Dh),
        "pattern": (B, H, T, T),
        "mask": (B, 1, T, T),
        "z": (B, T, H, Dh),
    }
    assert {name: tuple(values[1, name].shape) for name in shapes} == shapes
    assert values["logits"].shape == (B, T, V)


def test_rms_norm_divides_by_the_root_mean_square():
    x = torch.tensor([[[3.0, 4.0]]])
    normed = rms_norm(x, torch.tensor([1.0, 10.0]), eps=0.0)
    torch.testing.assert_close(normed, torch.tensor([[[3 / 12.5**0.5, 40 / 12.5**0.5]]]))
    assert rms_norm(torch.zeros(1, 1, 2), torch.ones(2), eps=1e-6).isfinite().all()


def test_rms_norm_of_large_bfloat16_does_not_overflow():
    x = torch.full((1, 1, 4), 1e15, dtype=torch.bfloat16)
    assert rms_norm(x, torch.ones(4).bfloat16(), eps=1e-6).tolist() == [[[1.0] * 4]]


def test_the_window_counts_the_current_position():
    assert visible(4, window=1)[0, 0].int().tolist() == torch.eye(4).int().tolist()
    assert visible(4, window=4).equal(visible(4))
    assert visible(5, window=2)[0, 0].sum(-1).tolist() == [1, 2, 2, 2, 2]


def test_padding_is_seen_by_nobody():
    seen = visible(3, attention_mask=torch.tensor([[0, 1, 1]]))
    assert seen[0, 0].int().tolist() == [[0, 0, 0], [0, 1, 0], [0, 1, 1]]


def test_a_pattern_is_shares_of_one():
    pattern = attention_pattern(torch.tensor([[[[0.0, 0.0], [1.0, 1.0]]]]))
    assert pattern.tolist() == [[[[0.5, 0.5], [0.5, 0.5]]]]


def test_grouped_queries_read_the_same_key_value_head():
    kv = torch.arange(2.0).view(1, 2, 1, 1)
    assert share_kv_heads(kv, 4).flatten().tolist() == [0, 0, 1, 1]


def test_a_head_is_a_run_of_columns():
    assert split_heads(torch.arange(6)[None, None], 3)[0, :, 0].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_yarn_of_the_7b_keeps_fast_pairs_and_slows_slow_ones_eightfold():
    rope = read_config("olmo3-7b").rope["full_attention"]
    plain = frequencies(Rope("default", 500_000), 128)
    slower = plain / frequencies(rope, 128)
    assert slower[:19].tolist() == [1.0] * 19
    torch.testing.assert_close(slower[35:], torch.full((29,), 8.0))
    assert (slower[19:35].diff() > 0).all()
    assert yarn_ramp(rope, 128)[[18, 35]].tolist() == [0.0, 1.0]


def test_yarn_multiplies_scores_by_the_square_of_its_factor():
    rope = read_config("olmo3-7b").rope["full_attention"]
    cos, sin = cos_sin(rope, 128, torch.arange(3))
    assert cos[0, 0, 0].item() == pytest.approx(1.2079441541679836)
    assert (cos**2 + sin**2).unique().sqrt().mean().item() ** 2 == pytest.approx(1.4591, abs=1e-4)


def test_a_score_depends_on_the_distance_only():
    cos, sin = cos_sin(Rope("default", 10_000), 8, torch.arange(50))
    q, k = (torch.randn(1, 1, 1, 8).expand(1, 1, 50, 8) for _ in range(2))
    scores = (rotate(q, cos, sin) @ rotate(k, cos, sin).mT)[0, 0]
    torch.testing.assert_close(scores[10, 3], scores[47, 40])
    assert not torch.allclose(scores[10, 3], scores[10, 4])


def test_olmo_2_has_no_window():
    model = build(olmo2(), torch.float32)
    mask = run_by_hand(model, torch.arange(30)[None])[0, "mask"]
    assert (mask[0, 0] == 0).sum(-1).tolist() == list(range(1, 31))


def test_weights_without_a_config_are_refused():
    model = build(olmo3(), torch.float32)
    with pytest.raises(UsageError, match=r"Give config=read_config\(…\)"):
        run_by_hand(model.state_dict(), torch.tensor([[1]]))


@pytest.mark.parametrize("change", [{"attention_bias": True}, {"hidden_act": "gelu"}])
def test_what_no_olmo_has_is_refused(change):
    with pytest.raises(UsageError, match=next(iter(change))):
        check_supported(config_of(build(olmo3(**change), torch.float32)))
