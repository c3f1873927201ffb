"""`verify`: silent where all is right, and naming layer, step and cause where something is not."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
import torch
from hypothesis import given, settings
from support.random_olmo import FULL, SLIDING, Case, build, cases, olmo3, traces_left, yarn
from torch import nn

from olmo_explain.by_hand import FAULTS, STEPS, cos_sin
from olmo_explain.checkpoint import Checkpoint, Rope, config_of, read_config
from olmo_explain.errors import UsageError
from olmo_explain.proof import Verification, place, verify
from olmo_explain.proof.diagnosis import ARITHMETIC, READS
from olmo_explain.proof.verification import tolerance
from olmo_explain.running import ablate_head, load

IDS = torch.tensor([[1, 2, 3, 4, 5, 6, 7, 8], [8, 7, 6, 5, 4, 3, 2, 1]])
DTYPES = [torch.float32, torch.bfloat16]


@pytest.fixture(params=DTYPES, ids=["float32", "bfloat16"])
def model(request) -> nn.Module:
    return build(olmo3(), request.param)


def faulty_layers(checked: Verification) -> list[int | None]:
    return list(dict.fromkeys(step.layer for step in checked.steps if not step.ok))


# -- where all is right ---------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(cases())
def test_every_step_of_any_olmo_is_equal(case: Case):
    checked = verify(case.model(), **case.inputs())
    assert all(step.equal for step in checked.steps), checked
    assert checked.ok
    assert len(checked.steps) == len(STEPS) * case.fields["num_hidden_layers"] + 3


def test_equal_means_every_bit(model):
    weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    with torch.no_grad():
        model.model.embed_tokens.weight[1, 0] = -0.0
        weights["model.embed_tokens.weight"][1, 0] = 0.0
    checked = verify(model, IDS, weights=weights)
    assert checked.ok and not checked.steps[0].equal and checked.steps[0].max_abs_diff == 0


def test_a_weight_that_is_no_number_is_still_the_checkpoints(model):
    with torch.no_grad():
        model.model.layers[1].self_attn.q_proj.weight.fill_(torch.nan)
    checked = verify(model, IDS)
    assert checked.ok and all(step.equal for step in checked.steps), checked


def test_threads_take_turns():
    model, _ = load("tiny")
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: verify(model, IDS), range(6)))
    assert all(checked.ok and checked == found[0] for checked in found)
    assert model.config._attn_implementation == "eager"


def test_a_prompt_of_padding_alone():
    mask = torch.ones_like(IDS)
    mask[0] = 0
    for attention in ("eager", "sdpa"):
        assert verify(build(olmo3(), torch.float32, attention=attention), IDS, mask).ok
    alone = build(olmo3(), torch.float32, attention="sdpa")
    assert verify(alone, IDS[:1], mask[:1]).ok


@pytest.mark.parametrize("part", [lambda model: model.model, lambda model: nn.Linear(2, 2)])
def test_what_is_no_language_model(model, part):
    with pytest.raises(UsageError, match=r"has no model\.embed_tokens\. Give an OLMo|is no OLMo"):
        verify(part(model), IDS)


@pytest.mark.parametrize("dtype", DTYPES)
def test_tiny_equals_its_own_file(dtype):
    model, _ = load("tiny", dtype)
    stored = {"weights": Checkpoint("tiny"), "config": read_config("tiny")}
    checked = verify(model, torch.arange(70)[None], **stored)
    assert all(step.equal for step in checked.steps), checked
    assert checked.ok
    assert checked.rope.regime == "per-layer"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dtype", DTYPES)
def test_faster_attention_is_close(dtype, seed):
    model = build(olmo3(), dtype, seed, attention="sdpa")
    real = torch.ones_like(IDS)
    real[0, :3] = 0
    checked = verify(model, IDS, real)
    assert checked.ok, checked
    assert not all(step.equal for step in checked.steps)
    assert "pattern" not in {step.name for step in checked.steps}


def test_faster_attention_is_not_let_off_a_fault():
    model = build(olmo3(), torch.float32, attention="sdpa")
    meant = config_of(model)
    model.config.sliding_window += 1
    checked = verify(model, IDS, config=meant)
    assert place(checked.first_difference) == "layer 0, step 8, z"


# -- mutations ------------------------------------------------------------------------------------

WEIGHTS = {
    "self_attn.q_proj": (1, "q_proj"),
    "self_attn.k_proj": (2, "k_proj"),
    "self_attn.v_proj": (3, "v_proj"),
    "self_attn.q_norm": (4, "q_norm"),
    "self_attn.k_norm": (4, "k_norm"),
    "self_attn.o_proj": (9, "o_proj"),
    "post_attention_layernorm": (10, "attn_out"),
    "mlp.gate_proj": (11, "gate_proj"),
    "mlp.up_proj": (12, "up_proj"),
    "mlp.down_proj": (14, "down_proj"),
    "post_feedforward_layernorm": (15, "mlp_out"),
}


def stored_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("path", WEIGHTS)
def test_one_number_of_one_weight(model, path):
    weights = stored_weights(model)
    name = f"model.layers.3.{path}.weight"
    with torch.no_grad():
        model.get_parameter(name).view(-1)[7] += 0.5
    checked = verify(model, IDS, weights=weights)
    step, value = WEIGHTS[path]
    assert not checked.ok
    assert place(checked.first_difference) == f"layer 3, step {step}, {value}"
    assert faulty_layers(checked) == [3]
    assert checked.cause.startswith(f"weight: 1 of {model.get_parameter(name).numel()} numbers of ")
    assert name in checked.cause


@pytest.mark.parametrize(
    ("path", "value"),
    [("model.embed_tokens", "embedding"), ("model.norm", "final_norm"), ("lm_head", "logits")],
)
def test_one_number_outside_the_layers(model, path, value):
    weights = stored_weights(model)
    with torch.no_grad():
        model.get_submodule(path).weight[3] += 0.5
    checked = verify(model, IDS, weights=weights)
    assert place(checked.first_difference) == value
    assert faulty_layers(checked) == [None]
    assert f"{path}.weight" in checked.cause


NORMS = ["self_attn.q_norm", "self_attn.k_norm", "post_attention_layernorm"]


@pytest.mark.parametrize("path", [*NORMS, "post_feedforward_layernorm"])
def test_an_epsilon(model, path):
    model.get_submodule(f"model.layers.2.{path}").variance_epsilon = 0.5
    checked = verify(model, IDS)
    assert checked.first_difference.name == WEIGHTS[path][1]
    assert faulty_layers(checked) == [2]
    assert checked.cause == f"epsilon: model.layers.2.{path} adds 0.5, config.json says 1e-06"


@pytest.mark.parametrize(
    ("change", "sees", "fault"), [(1, 5, "window-plus-one"), (-1, 3, "window-minus-one")]
)
def test_a_window_off_by_one(model, change, sees, fault):
    meant = config_of(model)
    model.config.sliding_window += change
    checked = verify(model, IDS, config=meant)
    assert place(checked.first_difference) == "layer 0, step 6, mask"
    assert faulty_layers(checked) == [0, 1, 3]
    assert checked.faults == [fault]
    assert checked.cause.startswith(f"{fault}: {FAULTS[fault].says} (window: position ")
    assert f"sees {sees} keys" in checked.cause
    assert "where it should see 4 (sliding_window 4)" in checked.cause


def hand_over(model: nn.Module, layer: int, rope: Rope, cut: torch.dtype = torch.float32) -> None:
    """From now on the layer gets cos and sin of this RoPE."""

    def hook(module, args, kwargs):
        cos, sin = cos_sin(rope, module.head_dim, torch.arange(IDS.shape[1]))
        T = kwargs["position_embeddings"][0].shape[1]
        return args, kwargs | {"position_embeddings": (cos[:, :T].to(cut), sin[:, :T].to(cut))}

    model.model.layers[layer].self_attn.register_forward_pre_hook(hook, with_kwargs=True)


@pytest.mark.parametrize("factor", [1.0, 1.2079441541679836])
def test_rope_scaled_on_a_sliding_layer(factor):
    ropes = olmo3()["rope_parameters"] | {FULL: yarn(attention_factor=factor)}
    model = build(olmo3(rope_parameters=ropes), torch.float32)
    hand_over(model, 3, config_of(model).rope[FULL])
    checked = verify(model, IDS)
    assert place(checked.first_difference) == "layer 3, step 5, cos"
    assert checked.faults == []  # not everywhere: the sliding layers before are right
    assert faulty_layers(checked) == [3]
    assert checked.cause.startswith("RoPE scaled: YaRN is applied in a sliding-attention layer")


def test_rope_scaled_on_every_layer(model):
    for layer in range(5):
        hand_over(model, layer, config_of(model).rope[FULL])
    checked = verify(model, IDS)
    assert not checked.ok
    assert checked.rope.regime == "yarn-everywhere"
    assert checked.rope.sliding_scaled and checked.rope.full_scaled
    assert checked.faults == ["yarn-everywhere"]
    assert FAULTS["yarn-everywhere"].says in checked.cause
    assert faulty_layers(checked) == [0, 1, 3]


def test_rope_not_scaled_on_a_full_layer(model):
    hand_over(model, 2, config_of(model).rope[SLIDING])
    checked = verify(model, IDS)
    assert checked.rope.regime == "yarn-lost"
    assert faulty_layers(checked) == [2]
    assert checked.faults == ["yarn-nowhere"]
    assert "(RoPE not scaled: YaRN is missing in a full-attention layer" in checked.cause


def test_rope_of_another_theta(model):
    hand_over(model, 1, Rope("default", 500_000.0))
    checked = verify(model, IDS)
    assert faulty_layers(checked) == [1]
    assert checked.rope.regime == "per-layer"
    where = "in a sliding-attention layer"
    assert checked.cause == f"RoPE theta: 500,000 {where}, config.json says 10,000"


def yarn_rope(**changes) -> Rope:
    return Rope(**yarn(**changes))


def test_rope_of_frequencies_that_no_theta_gives(model):
    hand_over(model, 1, yarn_rope(beta_fast=200, original_max_position_embeddings=2048))
    checked = verify(model, IDS)
    assert faulty_layers(checked) == [1]
    assert "other frequencies" in checked.cause


def test_cos_and_sin_cut_to_bfloat16(model):
    hand_over(model, 4, config_of(model).rope[FULL], cut=torch.bfloat16)
    checked = verify(model, IDS)
    assert faulty_layers(checked) == [4]
    assert "cos and sin are bfloat16" in checked.cause


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_frequencies_cut_by_a_cast_of_the_whole_model(dtype):
    model = build(olmo3(), torch.float32).to(dtype)
    checked = verify(model, IDS)
    assert checked.first_difference.name == "cos"
    assert f"as after model.to({dtype})" in checked.cause


def replace_output(module: nn.Module, change) -> None:
    module.register_forward_hook(lambda module, args, output: change(output))


@pytest.mark.parametrize(
    ("path", "change", "step", "kind"),
    [
        ("mlp.act_fn", torch.relu, "layer 1, step 13, silu", "activation"),
        ("self_attn.q_proj", lambda q: q * 1.01, "layer 1, step 1, q_proj", "arithmetic"),
        ("self_attn.q_norm", lambda q: q.roll(1, -1), "layer 1, step 4, q_norm", "arithmetic"),
        ("mlp", lambda x: x + 1, "layer 1, step 15, mlp_out", "arithmetic"),
        ("", lambda x: x * 2, "layer 1, step 15, resid_post", "residual stream"),
    ],
)
def test_other_arithmetic(model, path, change, step, kind):
    replace_output(model.model.layers[1].get_submodule(path), change)
    checked = verify(model, IDS)
    assert place(checked.first_difference) == step
    assert checked.cause.startswith(f"{kind}: ")
    assert faulty_layers(checked) == [1]


def test_what_changes_the_stream_between_two_layers(model):
    block = model.model.layers[2]
    block.register_forward_pre_hook(lambda module, args: (args[0] * 2, *args[1:]))
    checked = verify(model, IDS)
    assert place(checked.first_difference) == "layer 2, step 1, resid_pre"
    assert faulty_layers(checked) == [2]


def test_scores_of_another_scale(model):
    model.model.layers[1].self_attn.scaling *= 2
    checked = verify(model, IDS)
    assert place(checked.first_difference) == "layer 1, step 6, scores"
    assert checked.cause.startswith("scores: ")


def test_a_head_taken_out(model):
    with ablate_head(model, 2, 1):
        checked = verify(model, IDS)
    assert place(checked.first_difference) == "layer 2, step 8, z"
    assert "something changes o_proj's input" in checked.cause


def test_every_step_has_a_cause_to_name():
    assert set(STEPS) == (set(READS) | set(ARITHMETIC) | {"cos", "sin", "mask"}) & set(STEPS)


# -- what it says, and what it leaves -------------------------------------------------------------


def test_json_has_the_keys_that_others_rely_on(model):
    found = json.loads(json.dumps(verify(model, IDS).to_dict(), allow_nan=False))
    assert {"transformers", "torch", "dtype", "rope", "steps", "ok"} <= set(found)
    assert {"regime", "sliding_scaled", "full_scaled"} < set(found["rope"])
    keys = {"layer", "step", "name", "equal", "max_abs_diff", "tolerance", "ok"}
    assert all(set(step) == keys for step in found["steps"])
    assert {step["step"] for step in found["steps"]} == {None, *range(1, 16)}
    assert found["dtype"] == str(model.dtype).removeprefix("torch.")
    assert found["ok"] is True


def test_json_has_no_nan(model):
    weights = stored_weights(model)
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight.fill_(float("nan"))
    checked = verify(model, IDS, weights=weights)
    json.dumps(checked.to_dict(), allow_nan=False)
    assert place(checked.first_difference) == "layer 0, step 12, up_proj"


def test_it_reads_as_a_sentence(model):
    assert repr(verify(model, IDS)).startswith("133 of 133 values equal, bit for bit; ")
    model.model.layers[2].self_attn.k_norm.variance_epsilon = 0.5
    assert "first difference: layer 2, step 4, k_norm: epsilon: " in repr(verify(model, IDS))


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_no_hook_is_left(model, error):
    before = traces_left(model)
    verify(model, IDS)
    assert traces_left(model) == before
    with ExitStack() as stack:
        stack.callback(model.model.layers[3].mlp.register_forward_hook(_raise(error)).remove)
        with pytest.raises(error):
            verify(model, IDS)
    assert traces_left(model) == before


def _raise(error):
    def hook(module, args, output):
        raise error

    return hook


def test_a_model_without_weights_is_refused():
    model, _ = load("olmo3-7b")
    with pytest.raises(UsageError, match="shapes and no weights"):
        verify(model, IDS)


def test_tolerance_grows_with_operations_values_and_scores():
    ones = torch.ones(3)
    eps = torch.finfo(torch.float32).eps
    assert tolerance(ones, 1) == eps
    assert tolerance(ones, 16) == 4 * eps
    assert tolerance(-2 * ones, 16, largest_score=10.0) == 80 * eps
    assert tolerance(ones.bfloat16(), 1) == torch.finfo(torch.bfloat16).eps
