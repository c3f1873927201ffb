"""diagnose: the bug by its name, from logits that transformers made with it; and no false alarm."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scripts.olmo_core import read_golden
from support.random_olmo import FULL, SLIDING, build, default_rope, olmo2, olmo3
from support.wrong_engines import WRONG, logits_of

import olmo_explain as oe
from olmo_explain.by_hand import FAULTS, known_faults, run_by_hand
from olmo_explain.checkpoint import Checkpoint, config_of, preset, read_config
from olmo_explain.errors import ExplainError, UsageError
from olmo_explain.proof import passes

TINY = preset("tiny").directory
FIELDS = json.loads((TINY / "config.json").read_text())
FIELDS = {key: FIELDS[key] for key in FIELDS if key not in ("rope_theta", "rope_scaling")}
STATE = {name: it.float() for name, it in load_file(TINY / "model.safetensors").items()}
IDS = torch.randint(0, 2048, (1, 40), generator=torch.Generator().manual_seed(1))
CONTRACT = {
    "yarn-everywhere", "yarn-nowhere", "no-attention-factor", "default-theta", "interleaved-rope",
    "window-minus-one", "window-plus-one", "no-window", "window-everywhere", "pre-norm",
    "no-qk-norm", "qk-norm-per-head", "norm-eps", "no-score-scale", "kv-heads-tiled",
    "gate-up-swapped", "untied-head",
}  # fmt: skip

SHORT = {"num_hidden_layers": 3, "layer_types": [SLIDING, FULL, SLIDING]}
NO_YARN = {"rope_parameters": dict.fromkeys((SLIDING, FULL), default_rope())}
CASES = {
    "OLMo 3": olmo3(**SHORT),
    "OLMo 3 without YaRN": olmo3(**SHORT, **NO_YARN),
    "OLMo 3, a key-value head each": olmo3(**SHORT, num_key_value_heads=4),
    "OLMo 2": olmo2(**SHORT),
}
SMALL = build(CASES["OLMo 3"], torch.float32, seed=3)
OTHERS = torch.randint(0, 40, (3, 30), generator=torch.Generator().manual_seed(4))


def of_tiny(*faults: str, ids: torch.Tensor = IDS, **options) -> torch.Tensor:
    return logits_of(FIELDS, STATE, ids, *faults, **options)


@pytest.fixture(scope="module")
def right() -> torch.Tensor:
    return of_tiny()


# -- by name --------------------------------------------------------------------------------------


def test_every_fault_of_the_contract_is_known_and_can_be_made_by_another_implementation():
    assert set(FAULTS) == set(WRONG) and set(FAULTS) >= CONTRACT


@pytest.mark.parametrize("fault", sorted(set(WRONG) - {"kv-heads-tiled"}))
def test_on_tiny(fault):
    found = oe.diagnose("tiny", {"ids": IDS, "logits": of_tiny(fault)})
    assert found.diagnosis == fault, found
    assert found.explained_to > 0.99 and not found.ok
    assert FAULTS[fault].says in repr(found)


@pytest.mark.parametrize("name", CASES)
def test_on_random_checkpoints(name):
    """Each of them, or it changes nothing here; two prompts of three windows."""
    fields = CASES[name]
    model = build(fields, torch.float32, seed=3)
    ids = torch.randint(0, 40, (2, 12), generator=torch.Generator().manual_seed(2))
    state = model.state_dict()
    found = oe.diagnose(model, {"ids": ids, "logits": logits_of(fields, state, ids)})
    assert found.ok and found.hidden == [], found
    for fault in known_faults(config_of(model), frozenset(state)):
        logits = logits_of(fields, state, ids, fault)
        assert oe.diagnose(model, {"ids": ids, "logits": logits}).diagnosis == fault


def test_what_a_config_has_no_place_for_is_not_looked_for():
    def known(name):
        return set(known_faults(config_of(build(CASES[name], torch.float32))))

    yarn = {name for name in FAULTS if "yarn" in name or "attention-factor" in name}
    assert set(FAULTS) - known("OLMo 3") == set()
    assert yarn & known("OLMo 3 without YaRN") == set()
    assert "kv-heads-tiled" not in known("OLMo 3, a key-value head each")
    assert {name for name in known("OLMo 2") if "window" in name} == set()


@pytest.mark.parametrize("fault", ["yarn-everywhere", "no-qk-norm", "gate-up-swapped", "pre-norm"])
def test_in_bfloat16(fault):
    logits = of_tiny(fault, dtype=torch.bfloat16)
    found = oe.diagnose("tiny", {"ids": IDS, "logits": logits})
    assert found.dtype == "bfloat16"
    assert fault in found.diagnosis.split(" or "), found


PAIRS = {
    "tiny": [("yarn-everywhere", "window-minus-one"), ("norm-eps", "interleaved-rope")],
    "small": [
        ("qk-norm-per-head", "gelu"),
        ("no-attention-factor", "untied-head"),
        ("no-causal-mask", "no-score-scale"),
    ],
}


@pytest.mark.parametrize(("name", "pair"), [(name, two) for name in PAIRS for two in PAIRS[name]])
def test_two_at_once(name, pair):
    if name == "tiny":
        model, ids, logits = "tiny", IDS, of_tiny(*pair)
    else:
        model, ids = SMALL, OTHERS
        logits = logits_of(CASES["OLMo 3"], SMALL.state_dict(), ids, *pair)
    found = oe.diagnose(model, {"ids": ids, "logits": logits})
    assert set(found.diagnosis.split(" + ")) == set(pair), found
    assert found.known == found.diagnosis.split(" + ")


# -- equal, and what cannot be shown --------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_no_false_alarm(dtype, attention):
    logits = of_tiny(dtype=dtype, attention=attention)
    found = oe.diagnose("tiny", {"ids": IDS, "logits": logits})
    assert found.ok, found
    assert found.dtype == str(dtype).removeprefix("torch.")
    assert found.apart.most < found.tolerance / 2
    assert (found.apart.most == 0) == (attention == "eager" and dtype == torch.float32)


def test_what_olmo_core_gave_is_equal():
    golden = read_golden()
    every_other = slice(1, None, 2)  # of 3, 8, 32, 64 and 200 tokens
    for prompt, logits in zip(golden.prompts[every_other], golden.logits[every_other], strict=True):
        found = oe.diagnose("tiny", {"ids": prompt, "logits": logits})
        assert found.ok and "at the last position" in found.form, found


def test_a_prompt_that_cannot_show_a_fault_names_one_that_can():
    ids = IDS[:, :8]
    logits = of_tiny("window-plus-one", ids=ids)
    found = oe.diagnose("tiny", {"ids": ids, "logits": logits})
    assert found.ok
    lengths = {one.name: one.positions for one in found.hidden}
    longer = torch.arange(lengths["window-plus-one"])[None]
    wrong = of_tiny("window-plus-one", ids=longer)
    assert oe.diagnose("tiny", {"ids": longer, "logits": wrong}).diagnosis == "window-plus-one"
    assert lengths["window-minus-one"] == 32 and lengths["no-window"] == 34


def test_the_tolerance_is_no_wider_than_the_smallest_fault(right):
    """The distance of an epsilon of 1e-5 is found, and hundreds of tolerances are to the others."""
    found = oe.diagnose("tiny", {"ids": IDS, "logits": right})
    nearest, *_ = (one for one in found.singles if one.name != "norm-eps")
    assert found.tolerance < 1e-4 and nearest.apart.most > 500 * found.tolerance


# -- what is no fault that we know ----------------------------------------------------------------


def test_the_logits_of_another_model_are_unknown():
    """Of an OLMo 3 with other weights and sizes, that has as many tokens."""
    another = build(olmo3(vocab_size=2048, head_dim=16), torch.float32, seed=9)
    ids = IDS[:, :16]
    with torch.no_grad():
        logits = another(ids, use_cache=False).logits
    check_unknown(oe.diagnose("tiny", {"ids": ids, "logits": logits}))


UNKNOWN = {
    "noise": lambda right: torch.randn(right.shape, generator=torch.Generator().manual_seed(5)),
    "the same model with other weights": lambda right: run_by_hand(
        build(CASES["OLMo 3"], torch.float32, seed=4), OTHERS
    )["logits"],
    "another prompt": lambda right: right.flip(0),
    "a prompt off by one": lambda right: right.roll(1, 1),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_no_fault_makes_is_unknown(name, monkeypatch):
    """And of most pairs of faults no more than the beginning of a prompt is run."""
    ran, own = Counter(), passes.run_side_by_side

    def count(forms, weights, ids, *others):
        ran[tuple(ids.shape)] += len(forms)
        own(forms, weights, ids, *others)

    monkeypatch.setattr(passes, "run_side_by_side", count)
    logits = UNKNOWN[name](run_by_hand(SMALL, OTHERS)["logits"])
    found = oe.diagnose(SMALL, {"ids": OTHERS, "logits": logits})
    check_unknown(found)
    assert ran[1, 8] > found.tried
    assert ran[3, 30] + ran[1, 30] < found.tried / 5


def check_unknown(found) -> None:
    assert found.diagnosis == "unknown" and found.explained_to is None
    assert found.tried == found.pairs > 100


def test_not_a_number(right):
    right = right.clone()
    right[0, 5, 7] = torch.nan
    with pytest.raises(UsageError, match=r"'logits' holds NaN, first at \[0, 5, 7\]"):
        oe.diagnose("tiny", {"ids": IDS, "logits": right})


def test_float32_that_was_rounded_on_the_way(right):
    """A pass in bfloat16 whose log-probabilities are float32: it says what would explain it."""
    logits = of_tiny(dtype=torch.bfloat16, ids=IDS[:, :16]).float().log_softmax(-1)
    found = oe.diagnose("tiny", {"ids": IDS[:, :16], "logits": logits})
    assert (found.dtype, found.diagnosis, found.rounded_like) == ("float32", "unknown", "bfloat16")
    assert oe.diagnose("tiny", {"ids": IDS[:, :16], "logits": logits}, dtype="bfloat16").ok


# -- layouts --------------------------------------------------------------------------------------


def layouts(right: torch.Tensor) -> dict[str, dict]:
    logprobs = right.log_softmax(-1)
    scores, tokens = logprobs.topk(5)
    padded = torch.nn.functional.pad(right, (0, 24), value=-3.0)
    top = [
        {int(token): float(score) for token, score in zip(*row, strict=True)}
        for row in zip(tokens[0], scores[0], strict=True)
    ]
    return {
        "no batch axis": {"logits": right[0]},
        "the last position": {"logits": right[:, -1]},
        "one row": {"logits": right[0, -1]},
        "some positions": {"logits": right[:, 3:9], "positions": list(range(3, 9))},
        "a padded vocabulary": {"logits": padded},
        "log-probabilities": {"logits": logprobs},
        "of a padded vocabulary": {"logprobs": padded.log_softmax(-1)},
        "float64": {"logits": right.double()},
        "numpy": {"logits": right.numpy()},
        "lists": {"logits": right.tolist()},
        "the most likely": {"top_ids": tokens, "top_logprobs": scores},
        "their logits": {"top_ids": tokens, "top_logits": right.gather(-1, tokens)},
        "objects": {"top": top},
    }


@pytest.mark.parametrize("layout", layouts(torch.zeros(1, 9, 7)))
def test_layouts(layout):
    state, ids = SMALL.state_dict(), OTHERS[:1]
    for fault in ((), ("yarn-nowhere",)):
        given = layouts(logits_of(CASES["OLMo 3"], state, ids, *fault))[layout]
        found = oe.diagnose(SMALL, {"ids": ids, **given})
        assert found.diagnosis == (fault[0] if fault else None), found


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "There are no ids"),
        ({"ids": [[5, 6]]}, "ids and nothing else"),
        ({"ids": [[5, 6]], "logits": np.zeros((1, 3, 2048))}, "(1, 2, 2048)"),
        ({"ids": [[5, 6]], "logits": np.zeros((1, 2, 7))}, "logits have 7 tokens, and the model 2"),
        ({"ids": [[5, 6]], "logits": np.zeros((1, 2048, 2))}, "2,048; is it transposed?"),
        ({"ids": [[5, 6]], "logits": np.zeros((2048, 2))}, "The last axis must be the vocabulary"),
        ({"ids": [[5, 6]], "logits": np.full((1, 2, 2048), 1 / 2048)}, "are probabilities"),
        ({"ids": [[5, 6]], "logits": "many"}, "'logits' holds no table of numbers"),
        ({"ids": [[5, 6]], "logits": [[1.0], [1.0, 2.0]]}, "'logits' holds no table of numbers"),
        ({"ids": [[5, 9999]], "logits": np.zeros((1, 2, 2048))}, "There is no token 9999"),
        ({"ids": [[5, 6]], "2.nope": [1.0]}, "There is no value '2.nope'"),
        ({"ids": [[5, 6]], "99.q": [1.0]}, "99"),
        ({"ids": [[5, 6]], "2.q": np.zeros((2, 3))}, "2.q has shape 2 × 3, and that of"),
        ({"ids": [[5, 6]], "top_ids": [[1, 2]]}, "there are ids or scores, not both"),
        ({"ids": [[5, 6]], "top": [1, 2]}, "`top` cannot be read"),
        ({"ids": [[5.5, 6]], "logits": [1.0]}, "Token ids are whole numbers"),
        (
            {"ids": [[5, 6]], "logits": np.zeros((1, 2, 2048)), "positions": [0, 2]},
            "positions are [0, 2]. Give whole numbers from 0 to 1",
        ),
    ],
)
def test_what_cannot_be_compared_is_one_line(given, says):
    with pytest.raises(ExplainError) as caught:
        oe.diagnose("tiny", given)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_a_model_whose_own_pass_is_no_number_is_not_called_equal():
    model = build(olmo3(), torch.float32)
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight.fill_(torch.nan)
    with pytest.raises(UsageError, match="The pass by hand of this model holds infinite"):
        oe.diagnose(model, {"ids": [[1, 2]], "logits": torch.zeros(1, 2, 40)})


def test_one_token_shows_no_positions_and_is_no_guess():
    ids = IDS[:, :1]
    logits = of_tiny("yarn-everywhere", ids=ids)
    found = oe.diagnose("tiny", {"ids": ids, "logits": logits, "0.v": torch.ones(1, 4, 1, 32)})
    assert found.diagnosis == "unknown" and found.first_difference.name == "v"
    assert "yarn-everywhere" in {one.name for one in found.hidden}


# -- any value ------------------------------------------------------------------------------------


def test_the_first_value_that_differs(tmp_path):
    config, weights = read_config("tiny"), Checkpoint("tiny")
    wrong = replace(config, sliding_window=31)
    values = run_by_hand(weights, IDS, config=wrong, dtype=torch.float32)
    named = {
        name if layer is None else f"{layer}.{name}": value.clone(
            memory_format=torch.contiguous_format
        )
        for (layer, name), value in values.items()
    }
    save_file({"ids": IDS, **named}, tmp_path / "engine.safetensors")
    found = oe.diagnose("tiny", tmp_path / "engine.safetensors")
    first = found.first_difference
    assert (first.layer, first.step, first.name) == (0, 6, "mask")
    assert found.diagnosis == "window-minus-one"


def test_values_without_logits():
    values = run_by_hand(Checkpoint("tiny"), IDS, config=read_config("tiny"), dtype=torch.float32)
    given = {"ids": IDS, "3.q": values[3, "q"][0], "final_norm": values["final_norm"]}
    assert oe.diagnose("tiny", given).ok
    found = oe.diagnose("tiny", given | {"3.q": given["3.q"] * 1.01})
    assert found.first_difference.name == "q" and found.diagnosis == "unknown"


def test_padding_is_left_out():
    mask = torch.ones(2, 20, dtype=torch.long)
    mask[0, 14:] = 0
    ids = IDS.view(2, 20)
    for fault in ((), ("no-qk-norm",)):
        logits = of_tiny(*fault, ids=ids, mask=mask)
        logits[0, 14:] = 99.0
        found = oe.diagnose("tiny", {"ids": ids, "attention_mask": mask, "logits": logits})
        assert found.diagnosis == (fault[0] if fault else None), found
