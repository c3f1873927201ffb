"""config.json of any OLMo: counted and applied as transformers does, or refused by name."""

import copy
import json
from dataclasses import replace
from functools import partial
from inspect import signature
from itertools import islice
from random import Random

import pytest
import torch
from support.commands import answer, refused, run
from support.random_configs import FULL, SLIDING, configs, mutants
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.olmo3.modeling_olmo3 import Olmo3Model
from transformers.utils import logging

from olmo_explain.by_hand import frequencies
from olmo_explain.checkpoint import OlmoConfig, preset, read_config
from olmo_explain.errors import ConfigError
from olmo_explain.running import load, measure_rope

TINY = json.loads(preset("tiny").read("config.json"))
POSITIONS = 7
CACHE = "cache" if "cache" in signature(Olmo3Model.forward).parameters else "past_key_values"
RANDOM = list(islice(configs(seed=16), 40))
MUTANTS = list(islice(mutants(seed=16), 400))


@pytest.fixture(autouse=True)
def silent():
    """transformers has much to say of such configs."""
    before = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)
    yield
    logging.set_verbosity(before)


def built(fields):
    config = AutoConfig.for_model(**copy.deepcopy(fields))
    with torch.random.fork_rng():
        return AutoModelForCausalLM.from_config(
            config, attn_implementation="eager", dtype=torch.float32
        ).eval()


def check_against_transformers(fields):
    config, model = OlmoConfig.from_dict(fields), built(fields)
    assert OlmoConfig.from_dict(config.to_dict()) == config
    real = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        real.pop("lm_head.weight")
    assert config.shapes == real
    assert config.parameters == sum(p.numel() for p in model.parameters())
    assert config.rms_norm_eps == model.model.norm.variance_epsilon
    kept = partial(replace(config, dtype="float32").kv_cache_bytes, POSITIONS, batch=2)
    assert kept_by(model) == kept(between_steps=True)
    assert kept_by(model, DynamicCache()) == kept(capped=False)  # one that knows no layer types
    loses_theta = (  # of which the guard warns
        config.model_type == "olmo3" and fields.get("rope_theta", 500_000) != 500_000
    )
    if loses_theta and SLIDING in config.layer_types:
        return
    rotary = model.model.rotary_emb
    for kind in set(config.layer_types):
        own = f"{kind}_" if config.model_type == "olmo3" else ""
        rope = config.rope[kind]
        assert torch.equal(frequencies(rope, config.head_dim), getattr(rotary, f"{own}inv_freq"))
        assert rope.attention_factor == getattr(rotary, f"{own}attention_scaling")
    assert measure_rope(model, config).regime == "per-layer"


def kept_by(model, cache: DynamicCache | None = None) -> int:
    """Bytes in the cache that a forward pass over two texts leaves: its own, or this one."""
    with torch.no_grad():
        ids = torch.zeros(2, POSITIONS, dtype=torch.long)
        answer = model(ids, use_cache=True, **{CACHE: cache})
    cache = answer[CACHE]
    return sum(4 * (layer.keys.numel() + layer.values.numel()) for layer in cache.layers)


@pytest.mark.parametrize("fields", RANDOM, ids=range(len(RANDOM)))
def test_a_random_config_is_what_transformers_makes_of_it(fields):
    check_against_transformers(fields)


def test_a_config_with_a_fault_is_refused_by_name_or_is_none():
    said = []
    for change, fields in MUTANTS:
        try:
            OlmoConfig.from_dict(fields, "M: config.json")
        except ConfigError as error:
            line = str(error)
            said.append(line)
            assert line.startswith("M: config.json ") and len(line) < 450, change
            assert not any(mark in line for mark in ("\n", "\x1b", "Error", "NoneType")), change
            field = change.split("=")[0].split(".")[-1]
            assert field in line or field in ("type", "hidden_size"), f"{change}: {line}"
        else:
            check_against_transformers(fields)
    assert len(said) > 300


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
        intermediate_size=2**24, max_position_embeddings=2**24,
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
