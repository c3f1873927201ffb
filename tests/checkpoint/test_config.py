"""config.json and what follows from it, against transformers and against bad files."""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.commands import imports
from transformers import AutoConfig, AutoModelForCausalLM

from olmo_explain.checkpoint import OlmoConfig, preset, read_config
from olmo_explain.errors import ConfigError, OutOfRange

FIELDS = json.loads(preset("olmo3-7b").read("config.json"))
FULL = "full_attention"
GIB = 2**30


def changed(**fields):
    return {**FIELDS, **fields}


def without(field):
    return {name: value for name, value in FIELDS.items() if name != field}


def scaled(**fields):
    return changed(rope_scaling=FIELDS["rope_scaling"] | fields)


@pytest.mark.parametrize(
    ("name", "parameters", "tensors"),
    [("olmo3-7b", 7_298_011_136, 355), ("olmo3-32b", 32_233_522_176, 707)],
)
def test_parameters_and_tensors_of_the_presets(name, parameters, tensors):
    config = read_config(name)
    assert config.parameters == parameters
    assert config.bytes == 2 * parameters
    assert sum(part.count for part in config.components) == tensors
    assert config.full_attention_layers == list(range(3, config.num_hidden_layers, 4))


def test_kv_cache_of_the_7b_at_its_longest_prompt():
    config = read_config("olmo3-7b")
    assert config.kv_cache_bytes(65_536) == 9.5 * GIB
    assert config.kv_cache_bytes(65_536, capped=False) == 32 * GIB
    assert config.kv_cache_bytes(4_096) == config.kv_cache_bytes(4_096, capped=False)
    assert config.kv_cache_bytes(4_097) < config.kv_cache_bytes(4_097, capped=False)
    between_steps = config.kv_cache_bytes(65_536, between_steps=True)
    assert between_steps == 9.5 * GIB - 24 * config.kv_cache_bytes(1) // 32


@st.composite
def random_fields(draw):
    kv_heads, group = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    heads, layers = kv_heads * group, draw(st.integers(1, 4))
    fields = {
        "model_type": draw(st.sampled_from(["olmo2", "olmo3"])),
        "vocab_size": draw(st.integers(2, 50)),
        "hidden_size": heads * 2 * draw(st.integers(1, 4)),
        "intermediate_size": draw(st.integers(1, 40)),
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "max_position_embeddings": 64,
        "tie_word_embeddings": draw(st.booleans()),
        "attention_bias": draw(st.booleans()),
        "pad_token_id": 0,
    }
    if fields["model_type"] == "olmo3":
        fields["sliding_window"] = draw(st.integers(1, 8))
    return fields


@settings(max_examples=25, deadline=None)
@given(random_fields())
def test_components_equal_the_state_dict_of_transformers(fields):
    config = OlmoConfig.from_dict(fields)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**fields))
    real = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        real.pop("lm_head.weight")
    ours = {name: part.shape for part in config.components for name in part.names()}
    assert ours == real
    assert config.parameters == sum(p.numel() for p in model.parameters())


def test_rope_is_read_from_all_three_shapes_of_config_json():
    yarn = FIELDS["rope_scaling"]
    rest = {k: v for k, v in FIELDS.items() if k not in ("rope_scaling", "rope_theta")}
    flat = {**rest, "rope_parameters": {**yarn, "rope_theta": 500_000}}
    nested = {
        **rest,
        "rope_parameters": {
            "sliding_attention": {"rope_type": "default", "rope_theta": 500_000},
            "full_attention": {**yarn, "rope_theta": 500_000},
        },
    }
    expected = OlmoConfig.from_dict(FIELDS).rope
    assert expected["sliding_attention"].rope_type == "default"
    assert expected["full_attention"].attention_factor == pytest.approx(1.2079441541679836)
    assert OlmoConfig.from_dict(flat).rope == expected
    assert OlmoConfig.from_dict(nested).rope == expected


def test_attention_factor_follows_from_the_factor_when_it_is_not_given():
    scaling = {k: v for k, v in FIELDS["rope_scaling"].items() if k != "attention_factor"}
    rope = OlmoConfig.from_dict(changed(rope_scaling=scaling)).rope["full_attention"]
    assert rope.attention_factor == 1.2079441541679836


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"model_type": "llama"}, 'model_type "llama", which is not read here. Choose a model'),
        ({"model_type": "olmo_hybrid"}, 'model_type "olmo_hybrid", which is not read here'),
        ({}, "model_type null"),
        (changed(hidden_size="4096"), 'has "4096" for hidden_size. It must be a whole number from'),
        (without("hidden_size"), "has no hidden_size. It must be a whole number from 1 to"),
        (
            changed(layer_types=[FULL]),
            "for layer_types. It must be one type for each of num_hidden",
        ),
        (changed(layer_types=["half"] * 32), "a list of 32 for layer_types. It must be a list of"),
        (changed(layer_types=[]), "[] for layer_types"),
        (changed(sliding_window=None), "null for sliding_window. It must be a number where layers"),
        (changed(sliding_window=0), "0 for sliding_window. It must be a whole number from 1 to"),
        (changed(num_key_value_heads=5), "5 for num_key_value_heads. It must be a divisor of"),
        (changed(num_key_value_heads=0), "0 for num_key_value_heads"),
        (changed(num_attention_heads=0), "0 for num_attention_heads. It must be a whole number"),
        (changed(hidden_size=-1), "-1 for hidden_size. It must be a whole number from 1 to"),
        (changed(hidden_size=10**400), "a number of 401 digits for hidden_size. It must be"),
        (changed(vocab_size=2**63), "9223372036854775808 for vocab_size. It must be"),
        (changed(intermediate_size=math.inf), "Infinity for intermediate_size. It must be"),
        (changed(num_hidden_layers=True), "true for num_hidden_layers. It must be"),
        (changed(num_hidden_layers=200_000_000), "a whole number from 1 to 512."),
        (changed(head_dim=1), "1 for head_dim. It must be an even number from 2 to"),
        (changed(head_dim=None), "null for head_dim. It must be an even number"),
        (
            changed(hidden_size=33, num_attention_heads=3, num_key_value_heads=3),
            "11 for head_dim. It must be even",
        ),
        (changed(max_position_embeddings=-1), "OLMo-core writes -1 where it was told no length."),
        (changed(torch_dtype="int3"), '"int3" for torch_dtype. It must be "bfloat16", "float16"'),
        (
            changed(rms_norm_eps=math.nan),
            "NaN for rms_norm_eps. It must be a number from 0 to 1, w",
        ),
        (changed(rms_norm_eps=0), "to 1, written with a decimal point (as 0.0) or left out."),
        (changed(rms_norm_eps=None), "null for rms_norm_eps. It must be"),
        (changed(initializer_range=math.nan), "NaN for initializer_range. It must be"),
        (changed(hidden_act="frob"), '"frob" for hidden_act. It must be "silu", "swish"'),
        (changed(use_cache=0), "0 for use_cache. It must be true or false or left out."),
        (changed(pad_token_id=100_278), "100278 for pad_token_id. It must be null or an id below"),
        (changed(eos_token_id=["x"]), '["x"] for eos_token_id. It must be a whole number'),
        (changed(partial_rotary_factor=0.5), "0.5 for partial_rotary_factor. It must be 1.0"),
        (
            changed(quantization_config={"quant_method": "fp8"}),
            "quantization_config. It must be null or left out, as in a checkpoint that is not",
        ),
        (changed(rope_theta=0), "0 for rope_theta. It must be a number above 1"),
        (changed(rope_theta=math.inf), "Infinity for rope_theta. It must be a number above 1"),
        (
            scaled(rope_type="longrope"),
            '"longrope" for rope_scaling.rope_type. It must be "default"',
        ),
        (changed(rope_scaling={"rope_type": "yarn"}), "has no rope_scaling.factor. It must be"),
        (scaled(factor=None), "null for rope_scaling.factor. It must be a number from 0.001"),
        (scaled(attention_factor=[]), "[] for rope_scaling.attention_factor. It must be a number"),
        (scaled(beta_fast="32"), '"32" for rope_scaling.beta_fast. It must be'),
        (scaled(truncate=False), "false for rope_scaling.truncate. It must be true: releases"),
        (scaled(rope_theta=7), "500000 for rope_theta. It must be the same as rope_scaling.rope_"),
        (
            changed(rope_scaling=7),
            "has 7 for rope_scaling. It must be an object, null or left out.",
        ),
        (
            changed(rope_scaling={FULL: {}}),
            "rope_scaling.full_attention. It must be left out: move what it holds one level up.",
        ),
        (changed(rope_parameters={FULL: 7}), "7 for rope_parameters.full_attention. It must be an"),
        (changed(rope_parameters={}), "{} for rope_parameters. It must be left out where there is"),
        (
            changed(rope_parameters={FULL: {"factor": 4.0}}),
            "It must be the same as rope_parameters.",
        ),
        (changed(layer_types=7), "has 7 for layer_types"),
        (
            changed(model_type="olmo2"),
            "for layer_types. It must be full_attention throughout in an",
        ),
        (
            changed(model_type="olmo2", layer_types=None),
            "4096 for sliding_window. It must be null or left out in an OLMo 2.",
        ),
    ],
)
def test_a_bad_config_is_one_line_that_says_what_and_what_to_do(fields, said):
    with pytest.raises(ConfigError) as caught:
        OlmoConfig.from_dict(fields, "the config.json")
    line = str(caught.value)
    assert line.startswith("the config.json ") and said in line and "\n" not in line


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(FIELDS)), st.one_of(
    st.none(), st.integers(-2, 9), st.text(max_size=3), st.lists(st.integers(), max_size=2),
    st.dictionaries(st.sampled_from(["rope_type", "factor"]), st.text(max_size=3)), st.floats(),
)))  # fmt: skip
def test_any_damage_to_config_json_is_read_or_is_a_config_error(damage):
    try:
        OlmoConfig.from_dict(changed(**damage)).to_dict()
    except ConfigError as error:
        assert "\n" not in str(error)


def test_layers_and_heads_out_of_range_say_the_range():
    config = read_config("olmo3-7b")
    assert config.check_layer(31) == 31
    with pytest.raises(OutOfRange, match=r"no layer 32\. Choose a layer from 0 to 31"):
        config.check_layer(32)
    with pytest.raises(OutOfRange, match="from 0 to 31"):
        config.check_head(-1)


def test_config_needs_neither_torch_nor_transformers():
    code = "from olmo_explain.checkpoint import read_config; read_config('olmo3-7b')"
    assert imports(code) == set()
