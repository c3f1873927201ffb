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
GIB = 2**30


def changed(**fields):
    return {**FIELDS, **fields}


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
        ({"model_type": "llama"}, "model_type 'llama', which is not read here. Choose a model"),
        ({"model_type": "olmo_hybrid"}, "model_type 'olmo_hybrid', which is not read here"),
        ({}, "model_type None"),
        (changed(hidden_size="4096"), "no whole number for hidden_size"),
        (changed(layer_types=["full_attention"]), "1 layer_types for 32 layers"),
        (changed(layer_types=["half_attention"] * 32), "neither sliding_attention nor"),
        (changed(sliding_window=None), "no sliding_window"),
        (changed(num_key_value_heads=5), "do not divide among 5"),
        (changed(num_attention_heads=0, num_key_value_heads=1), "cannot be read"),
        (changed(hidden_size=-1), "-1 for hidden_size, a size below 1"),
        (changed(max_position_embeddings=-1), "-1 for max_position_embeddings, a size below 1"),
        (changed(torch_dtype="int3"), "dtype 'int3'"),
        (changed(rms_norm_eps=math.nan), "nan for rms_norm_eps"),
        (changed(rms_norm_eps=0), "0 for rms_norm_eps"),
        (changed(rope_theta=0), "0.0 for rope_theta"),
        (changed(rope_theta=math.inf), "inf for rope_theta"),
        (changed(rope_scaling={"rope_type": "yarn"}), "cannot be read"),
        (changed(rope_scaling={"rope_type": "longrope"}), "rope_type 'longrope'"),
        (changed(rope_scaling=7), "has 7 for rope_scaling"),
        (changed(rope_parameters={"full_attention": 7}), "cannot be read"),
        (changed(layer_types=7), "has 7 for layer_types"),
    ],
)
def test_a_bad_config_is_one_line_that_says_what_and_what_to_do(fields, said):
    with pytest.raises(ConfigError) as caught:
        OlmoConfig.from_dict(fields, "the config.json")
    line = str(caught.value)
    assert said in line and "\n" not in line and line.count(". ") >= 1


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
