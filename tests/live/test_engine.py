"""The engine in the page computes what `run_by_hand` does: every value, of tiny and of any OLMo."""

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from support.random_olmo import Case, build, cases, olmo2, olmo3, yarn
from torch import Tensor, nn

import olmo_explain as oe
from olmo_explain.by_hand import STEPS, Activations, Form, run_by_hand
from olmo_explain.checkpoint import config_of, ropes_under
from olmo_explain.live import engine, exported_faults, shown_faults
from olmo_explain.live.faults import OF_ONE_STEP

CLOSE, LOGITS_CLOSE = 2e-4, 1e-4
LAYERS = 8
PLACES = [
    (None, "embedding"),
    *((layer, name) for layer in range(LAYERS) for name in STEPS),
    (None, "final_norm"),
    (None, "logits"),
]


@pytest.fixture(scope="module")
def tiny():
    return oe.load("tiny", "float32")


def prompts(tokenizer, count: int) -> list[list[int]]:
    """Ids of prompts from 1 to 200 tokens, mostly short: of any tokens, of words, repeats."""
    draw = random.Random(17)
    words = ["To", "be,", "or", "ROMEO:\n", "\n\n", "lord", "🌊", "naïve", "   .", "42", "é"]
    found = []
    for at in range(count):
        length = round(200 ** (at / (count - 1)))
        if at % 3 == 0:
            ids = [draw.randrange(2048) for _ in range(length)]
        elif at % 3 == 1:
            ids = tokenizer(" ".join(draw.choices(words, k=length)))["input_ids"]
        else:
            ids = [draw.randrange(2048) for _ in range(1 + length // 3)] * 4
        found.append(ids[:length])
    return found


def furthest(ours: Activations, theirs: Activations) -> dict[str, float]:
    """By name, the largest difference; shapes must be the same, and a NaN is infinitely far."""
    most: dict[str, float] = {}
    for (layer, name), value in ours.items():
        assert value.shape == theirs[layer, name].shape, name
        difference = (value - theirs[layer, name]).abs().max().nan_to_num(torch.inf).item()
        most[name] = max(most.get(name, 0.0), difference)
    return most


def test_every_value_of_tiny_is_that_of_the_reference(live, tiny):
    model, tokenizer = tiny
    said = [0, 0]
    for at, ids in enumerate(prompts(tokenizer, 50)):
        expected = run_by_hand(model, torch.tensor([ids]))
        # Of a long prompt one layer, another one each time, and what is outside the layers.
        layers = range(LAYERS) if len(ids) < 30 else [at % LAYERS]
        places = [(layer, name) for layer, name in PLACES if layer is None or layer in layers]
        values = live.values("tiny", ids, places)
        differences = furthest(values, expected)
        assert max(differences.values()) <= CLOSE, (ids, differences)
        assert differences["logits"] <= LOGITS_CLOSE
        same = values["logits"].argmax(-1) == expected["logits"].argmax(-1)
        said = [said[0] + int(same.sum()), said[1] + same.numel()]
    assert said[0] == said[1]


@settings(max_examples=30, deadline=None, derandomize=True)
@given(cases())
def test_any_olmo_computes_in_the_page(live, case: Case):
    model, ids = case.model(), case.inputs()["ids"][:1]
    expected = run_by_hand(model, ids, dtype=torch.float32)
    live.open("any", model)
    differences = furthest(live.values("any", ids[0].tolist(), list(expected)), expected)
    float32 = furthest(run_by_hand(nudged(model), ids, config=config_of(model)), expected)
    for name, difference in differences.items():
        assert difference <= max(CLOSE, 20 * float32[name]), name


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"truncate": False},
        {"factor": 3.0, "beta_fast": 5, "beta_slow": 2, "attention_factor": None},
        {"mscale": 0.7, "mscale_all_dim": 1.3, "attention_factor": None},
        {"original_max_position_embeddings": 7, "beta_fast": 1, "beta_slow": 1},
    ],
)
def test_yarn_of_any_fields(live, changes):
    """All layers of an OLMo 2, on a prompt whose end is far from its start."""
    fields = olmo2(head_dim=16)
    model = build(fields | {"rope_parameters": yarn(**changes)}, torch.float32, seed=4)
    ids = torch.randint(40, (1, 120), generator=torch.Generator().manual_seed(1))
    expected = run_by_hand(model, ids)
    live.open("yarn", model)
    places = [(0, "cos"), (4, "sin"), (None, "logits")]
    assert max(furthest(live.values("yarn", ids[0].tolist(), places), expected).values()) <= CLOSE
    plain = build(fields, torch.float32, seed=4)
    assert (run_by_hand(plain, ids)["logits"] - expected["logits"]).abs().max() > 100 * CLOSE


def nudged(model: nn.Module) -> dict[str, Tensor]:
    """The weights, their last bits changed: values may move by some of this, and no further.

    Random models are wild: where numbers all but cancel, RMSNorm makes their last bits large again.
    """
    draw = torch.Generator().manual_seed(0)
    weights = model.state_dict()
    moved = {
        name: value.float() * (1 + (torch.rand(value.shape, generator=draw) - 0.5) * 2**-22)
        for name, value in weights.items()
    }
    return moved


@pytest.mark.parametrize("regime", ["per-layer", "yarn-everywhere", "yarn-lost"])
def test_the_three_regimes(live, tiny, regime):
    model, tokenizer = tiny
    ids = tokenizer("my lord, the crown, the sword, the moon, " * 12)["input_ids"]
    config = config_of(model)
    config = replace(config, rope=ropes_under(regime, config.rope))
    expected = run_by_hand(model, torch.tensor([ids]), config=config)["logits"]
    logits = live.logits("tiny", ids, rope=regime)
    assert (logits - expected).abs().max() <= LOGITS_CLOSE
    right = run_by_hand(model, torch.tensor([ids]))["logits"]
    assert ((expected - right).abs().max() > 0.1) == (regime != "per-layer")


@pytest.mark.parametrize("name", ["tiny", "small"])
def test_every_fault_that_a_page_offers_is_the_one_of_python(live, tiny, name):
    """A sliding and a full layer and the logits, of tiny and of a random OLMo 3; and it shows.

    As near as the right ones, or as float32 allows: where scores are larger, so is their last bit.
    """
    model = tiny[0] if name == "tiny" else build(olmo3(), torch.float32, seed=6)
    config, both = config_of(model), (model.state_dict(), nudged(model))
    ids = torch.randint(40, (1, 40), generator=torch.Generator().manual_seed(2))
    if name != "tiny":
        live.open(name, model)
    right = run_by_hand(model, ids)
    places = [place for place in right if place[0] in (2, 3, None)]
    offered = shown_faults(config)
    assert set(exported_faults(config)) == set(offered) >= OF_ONE_STEP | {"no-window"}
    for fault, form in offered.items():
        with torch.no_grad():
            expected, moved = (
                Activations({at: value for at, value in walked(form, given, ids) if at in places})
                for given in both
            )
        values = live.values(name, ids[0].tolist(), places, fault=fault)
        float32 = furthest(moved, expected)
        for value, difference in furthest(values, expected).items():
            close = LOGITS_CLOSE if value == "logits" else CLOSE
            assert difference <= max(close, 20 * float32[value]), (fault, value)
        assert (expected["logits"] - right["logits"]).abs().max() > 100 * LOGITS_CLOSE, fault


def walked(form: Form, weights: dict, ids: Tensor) -> Iterator[tuple[tuple, Tensor]]:
    return (((value.layer, value.name), value.tensor) for value in form.walk(weights, ids))


def test_what_is_broken_is_mended_again(live):
    ids = list(range(40))
    right = live.logits("tiny", ids)
    for fault in OF_ONE_STEP | {"untied-head"}:
        assert not torch.equal(live.logits("tiny", ids, fault=fault), right)
        assert torch.equal(live.logits("tiny", ids), right)


FAULTS = {
    "window + 1": ("key > query - window", "key >= query - window"),
    "window - 1": ("key > query - window", "key > query - window + 1"),
    "no window": ('kind === "sliding_attention" ? config.sliding_window', "false ? 0"),
    "yarn everywhere": ("config.rope[kind],", "config.rope.full_attention,"),
    "yarn in the wrong layers": (
        "config.rope[kind],",
        'config.rope[kind[0] === "f" ? "sliding_attention" : "full_attention"],',
    ),
    "no attention factor": ("float32(rope.attention_factor)", "1"),
    "interleaved RoPE": ("turned.data[at + half]", "turned.data[at ^ 1]"),
    "no post-attention norm": ('rmsNorm(out, weight("post_attention_layernorm"), eps)', "out"),
    "no post-MLP norm": ('rmsNorm(out, weight("post_feedforward_layernorm"), eps)', "out"),
    "no q norm": ('rmsNorm(q, weight("self_attn.q_norm"), eps)', "q"),
    "no k norm": ('rmsNorm(k, weight("self_attn.k_norm"), eps)', "k"),
    "no final norm": ('rmsNorm(x, weights["model.norm.weight"], config.rms_norm_eps)', "x"),
    "no score scale": ("Dh ** -0.5", "1"),
    "kv heads tiled": ("Math.floor(head / (heads / kvHeads))", "head % kvHeads"),
    "gate and up swapped": ("(gate = silu(gate))", "([gate, up] = [silu(up), gate])[0]"),
    "future keys": ("key <= query && ", ""),
}


@pytest.mark.parametrize("fault", [None, *FAULTS])
def test_a_fault_in_the_engine_is_found(live, fault):
    model = build(olmo3(), torch.float32, seed=3)
    ids = torch.randint(40, (1, 20), generator=torch.Generator().manual_seed(0))
    script = engine()
    if fault:
        old, new = FAULTS[fault]
        assert script.count(old) == 1
        script = script.replace(old, new)
    live.open("fault", model, script=script)
    given: Tensor = live.logits("fault", ids[0].tolist())
    distance = (given - run_by_hand(model, ids)["logits"]).abs().max().item()
    assert distance > 100 * LOGITS_CLOSE if fault else distance <= LOGITS_CLOSE / 10


def test_other_weights_are_refused_by_name(live):
    model = build(olmo3(), torch.float16)
    with pytest.raises(Exception, match="is stored as F16; only BF16 and F32 are read here"):
        live.open("half", model)
