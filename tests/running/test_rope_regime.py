"""The guard: which RoPE a running model applies, and no alarm where there is none to raise."""

import json

import pytest
import torch
from support.random_olmo import FULL, SLIDING, build, default_rope, olmo2, olmo3, traces_left, yarn
from torch import nn

from olmo_explain.checkpoint import config_of, preset
from olmo_explain.running import REMEDIES, installed_rope_regime, load, measure_rope, rope_regime

YARN_7B = 1.2079441541679836
NO_CHANGE = yarn(attention_factor=1.0, original_max_position_embeddings=8192)


def apply_to(model: nn.Module, kind: str, source: str) -> None:
    """From now on layers of one type get the cos and sin of another type's layers."""
    kept = {}

    def hook(module, args, kwargs):
        rotary = model.model.rotary_emb
        x, ids = kwargs.get("hidden_states", args[0] if args else None), kwargs["position_ids"]
        kept["last"] = rotary(x, ids, source)
        return args, kwargs | {"position_embeddings": kept["last"]}

    for layer, its_kind in zip(model.model.layers, config_of(model).layer_types, strict=True):
        if its_kind == kind:
            layer.self_attn.register_forward_pre_hook(hook, with_kwargs=True)


def test_this_installation_is_right():
    assert installed_rope_regime() == "per-layer"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("factor", [1.0, YARN_7B])
@pytest.mark.parametrize(
    ("kind", "source", "regime"),
    [(SLIDING, FULL, "yarn-everywhere"), (FULL, SLIDING, "yarn-lost"), (FULL, FULL, "per-layer")],
)
def test_what_is_applied_is_measured(kind, source, regime, factor, dtype):
    ropes = {SLIDING: default_rope(), FULL: yarn(attention_factor=factor)}
    model = build(olmo3(rope_parameters=ropes), dtype)
    apply_to(model, kind, source)
    measured = measure_rope(model)
    assert measured.regime == regime
    assert measured.sliding_scaled is (regime == "yarn-everywhere")
    assert measured.full_scaled is (regime != "yarn-lost")


def test_the_amplitude_is_cos_at_position_zero():
    measured = measure_rope(build(olmo3(), torch.float32))
    assert measured.sliding_cos == 1.0
    assert measured.full_cos == pytest.approx(YARN_7B)


def test_a_flat_config_loaded_by_a_newer_release_has_lost_its_yarn():
    flat = yarn(500_000.0, original_max_position_embeddings=8192)  # as 5.0 to 5.12 wrote it
    model = build(olmo3(rope_parameters=flat), torch.float32)
    assert rope_regime(model) == "yarn-lost"


@pytest.mark.parametrize(
    "fields",
    [
        olmo2(),
        olmo2() | {"rope_parameters": yarn()},
        olmo3(rope_parameters={SLIDING: default_rope(), FULL: default_rope()}),
        olmo3(layer_types=[SLIDING] * 5),
        olmo3(layer_types=[FULL] * 5),
        olmo3(head_dim=2, rope_parameters={SLIDING: default_rope(), FULL: NO_CHANGE}),
    ],
    ids=["olmo2", "olmo2 with yarn", "no yarn", "only sliding", "only full", "yarn of no effect"],
)
def test_nothing_to_warn_of(fields):
    assert rope_regime(build(fields, torch.float32)) == "per-layer"


def test_a_layer_type_that_there_is_not_is_none():
    measured = measure_rope(build(olmo2(), torch.float32))
    assert (measured.sliding_scaled, measured.full_scaled) == (None, False)
    assert measured.sliding_cos is None


def test_a_model_without_weights_is_measured_by_a_small_one():
    model, _ = load("olmo3-7b")
    measured = measure_rope(model)
    assert measured.regime == "per-layer"
    assert measured.full_cos == pytest.approx(YARN_7B)


def test_the_published_config_survives_the_way_through_transformers():
    model, _ = load("olmo3-7b")
    published = json.loads(preset("olmo3-7b").read("config.json"))
    assert config_of(model).rope[FULL].factor == published["rope_scaling"]["factor"]
    assert config_of(model).rope[SLIDING].rope_type == "default"


def test_measuring_leaves_no_hook_and_takes_no_random_numbers():
    model = build(olmo3(), torch.float32)
    before, seed = traces_left(model), torch.get_rng_state()
    measure_rope(model)
    installed_rope_regime()
    assert traces_left(model) == before
    assert torch.equal(torch.get_rng_state(), seed)


def test_remedies_say_what_is_wrong_and_what_to_do():
    assert set(REMEDIES) == {"yarn-everywhere", "yarn-lost", "theta-lost"}
    assert "install transformers 5.13 or newer" in REMEDIES["yarn-everywhere"]
    assert "published config.json" in REMEDIES["yarn-lost"]
    assert all("\n" not in line for line in REMEDIES.values())
