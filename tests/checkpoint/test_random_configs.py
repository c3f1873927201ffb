"""config.json of any OLMo: counted and applied as transformers does, or refused by name."""

import copy
import json
from itertools import islice
from random import Random

import pytest
import torch
from support.commands import answer, refused, run
from support.fuzz.configs import (
    FULL,
    SLIDING,
    built,
    check_against_transformers,
    configs,
    is_refused_by_name,
    mutants,
    silent,
)
from transformers import AutoConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from olmo_explain.by_hand import frequencies
from olmo_explain.checkpoint import OlmoConfig, preset, read_config
from olmo_explain.running import load, measure_rope

TINY = json.loads(preset("tiny").read("config.json"))
RANDOM = list(islice(configs(seed=16), 40))
MUTANTS = list(islice(mutants(seed=16), 400))


@pytest.fixture(autouse=True)
def without_its_words():
    """transformers has much to say of such configs."""
    with silent():
        yield


@pytest.mark.parametrize("fields", RANDOM, ids=range(len(RANDOM)))
def test_a_random_config_is_what_transformers_makes_of_it(fields):
    check_against_transformers(fields)


def test_a_config_with_a_fault_is_refused_by_name_or_is_none():
    said = [is_refused_by_name(change, fields) for change, fields in MUTANTS]
    assert said.count(True) > 300


def test_the_same_seed_draws_the_same():
    assert list(islice(configs(16), 40)) == RANDOM
    assert [change for change, _ in islice(mutants(16), 40)] == [c for c, _ in MUTANTS[:40]]
    assert list(islice(configs(17), 5)) != RANDOM[:5]


@pytest.mark.parametrize("truncate", [True, False])
def test_yarn_is_transformers_bit_for_bit(truncate):
    draw = Random(16)
    for _ in range(60):
        yarn = {
            "rope_type": "yarn",
            "factor": draw.choice((0.25, 1.0, draw.uniform(1, 64))),
            "original_max_position_embeddings": draw.choice((1, 16, 512, 8192)),
            "beta_fast": draw.choice((0.5, 4, 32)),
            "beta_slow": draw.choice((0.5, 1, 8)),
            "truncate": truncate,
        }
        head_dim = 2 * draw.randint(1, 64)
        fields = {
            "model_type": "olmo2", "hidden_size": head_dim, "num_attention_heads": 1,
            "head_dim": head_dim, "vocab_size": 9, "intermediate_size": 2, "num_hidden_layers": 1,
            "max_position_embeddings": 64, "rope_theta": 10 ** draw.uniform(1, 8),
            "rope_scaling": yarn,
        }  # fmt: skip
        theirs, factor = ROPE_INIT_FUNCTIONS["yarn"](
            AutoConfig.for_model(**copy.deepcopy(fields)), device="cpu"
        )
        rope = OlmoConfig.from_dict(fields).rope[FULL]
        assert torch.equal(frequencies(rope, head_dim), theirs), fields
        assert rope.attention_factor == factor


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_no_right_model_raises_the_alarm(dtype):
    draw = Random(16)
    for _ in range(30):
        sliding, full = (10 ** draw.uniform(2, 7) for _ in range(2))
        factor = draw.choice(({}, {"attention_factor": 1.0}))
        yarn = {"rope_type": "yarn", "rope_theta": full, "factor": draw.uniform(1, 64)} | factor
        fields = TINY | {
            "num_hidden_layers": 2,
            "layer_types": [SLIDING, FULL],
            "hidden_size": 8,
            "intermediate_size": 8,
            "vocab_size": 8,
            "head_dim": 2 * draw.randint(1, 64),
            "rope_parameters": {
                SLIDING: {"rope_type": "default", "rope_theta": sliding},
                FULL: yarn | {"original_max_position_embeddings": draw.choice((32, 512, 8192))},
            },
        }
        del fields["rope_scaling"], fields["rope_theta"]
        model = built(fields).to(dtype)  # which rounds the frequencies too
        measured = measure_rope(model, OlmoConfig.from_dict(fields))
        assert measured.regime == "per-layer", fields
        if measured.sliding_theta:
            assert measured.sliding_theta == pytest.approx(sliding, rel=0.01)


# -- in commands ----------------------------------------------------------------------------------


def described(directory, **changes):
    directory.mkdir(exist_ok=True)
    (directory / "config.json").write_text(json.dumps(TINY | changes))
    return directory


def test_no_cache_said_is_no_fault(tmp_path):
    model = described(tmp_path, use_cache=False)
    assert answer("trace", model, "--ids", "1,2")["counts"]["Linear"] == 57
    assert answer("report", model)["claims"]


def test_an_epsilon_of_0_is_0(tmp_path):
    assert answer("config", described(tmp_path, rms_norm_eps=0.0))["rms_norm_eps"] == 0
    assert load(tmp_path)[0].model.norm.variance_epsilon == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"\xef\xbb\xbf{}", "begins with a byte order mark"),
        (json.dumps({}).encode("utf-16"), "is not JSON"),
        (b'{"model_type": ' + b"9" * 5000 + b"}", "model_type Infinity"),
        (b'{"model_type": ' + b"[" * 900 + b"]" * 900 + b"}", "model_type "),
    ],
    ids=["mark", "utf-16", "digits", "nest"],
)
def test_a_file_that_transformers_would_not_read(tmp_path, text, said):
    (tmp_path / "config.json").write_bytes(text)
    assert said in refused("config", tmp_path)


def test_a_head_as_wide_as_the_model_is_measured_by_a_small_one(tmp_path):
    wide = {"hidden_size": 2**16, "num_attention_heads": 1, "num_key_value_heads": 1}
    measured = measure_rope(load(described(tmp_path, **wide, vocab_size=8))[0])
    assert measured.regime == "per-layer" and measured.full_theta == 10_000


def test_the_largest_config_is_described_at_once(tmp_path):
    model = described(
        tmp_path, num_hidden_layers=512, layer_types=None, num_attention_heads=2**14,
        num_key_value_heads=2**14, hidden_size=2**20, head_dim=2**16, vocab_size=2**24,
        intermediate_size=2**24, max_position_embeddings=2**23,
    )  # fmt: skip
    assert len(run("config", model, "--json").stdout) < 30_000
    assert read_config(model).parameters > 10**18


def test_both_conventions_of_the_cache_are_named():
    said = " ".join(run("config", "tiny").stdout.split())
    assert "176.0 KiB" not in said and "transformers keeps" in said and "window − 1" in said
    cache = answer("config", "tiny")["kv_cache"]["at_max_position"]
    one_position = read_config("tiny").kv_cache_bytes(1) * 6 // 8  # of the six sliding layers
    assert cache["capped"] - cache["between_steps"] == one_position
    assert answer("flops", "tiny", "--seq", 1024)["kv_cache_bytes"] == cache
