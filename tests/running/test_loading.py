"""Names → models: presets on the meta device, directories, prompts, and what can be wrong."""

import json

import pytest
import torch
from support.checkpoints import tiny_fields
from support.old_configs import tiny_with
from transformers import AutoModelForCausalLM

import olmo_explain as oe
from olmo_explain.checkpoint import preset
from olmo_explain.errors import CheckpointError, ConfigError, ModelNotFound, UsageError
from olmo_explain.running import load, prompt_ids


def test_tiny_loads_in_its_own_dtype_and_in_another():
    model, tokenizer = load("tiny")
    assert model.dtype == torch.bfloat16 and not model.training
    assert tokenizer.decode(tokenizer("Hello world")["input_ids"]) == "Hello world"
    assert load("tiny", "float32")[0].dtype == torch.float32


def test_a_preset_without_weights_is_on_the_meta_device():
    model, tokenizer = load("olmo3-7b")
    assert model.device.type == "meta" and model.dtype == torch.bfloat16 and tokenizer is None


def test_a_path_names_a_directory(tmp_path):
    where = preset("tiny").directory
    assert load(where)[0].dtype == torch.bfloat16
    assert oe.read_config(where) == oe.read_config("tiny")
    assert oe.head_norms(where)["q_proj"].shape == (8, 4)
    with pytest.raises(ModelNotFound, match="There is no directory"):
        load(tmp_path / "tiny")
    with pytest.raises(UsageError, match="None names no model"):
        oe.read_config(None)


def test_what_cannot_be_loaded_so_is_said():
    with pytest.raises(UsageError, match=r"Unknown attention 'frob'\. Choose eager"):
        load("tiny", attention="frob")


@pytest.mark.parametrize(
    "changes",
    [
        *({"rms_norm_eps": None}, {"hidden_act": "frob"}, {"pad_token_id": 99_999}),
        {"use_cache": "x"},
    ],
    ids=repr,
)
def test_a_config_that_transformers_refuses_is_one_line(tmp_path, changes):
    for file in preset("tiny").directory.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "config.json").write_text(json.dumps(tiny_fields() | changes))
    with pytest.raises((ConfigError, CheckpointError)) as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("weights", [True, False])
@pytest.mark.parametrize(
    "name", ["use_return_dict", "sub_configs", "to_dict", "__class__", "output_hidden_states"]
)
def test_a_field_called_as_a_part_of_transformers_config_class(tmp_path, name, weights):
    """Put in the place of a method or a class's own constant, it would break what follows."""
    model = tiny_with(tmp_path / "m", lambda fields: fields.update({name: "x"}))
    if not weights:
        (model / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=rf"{name}.*It must be"):
        load(model)


@pytest.mark.parametrize("name", ["num_labels", "_name_or_path", "max_length"])
def test_a_field_that_transformers_has_written_elsewhere(tmp_path, name):
    load(tiny_with(tmp_path / "m", lambda fields: fields.update({name: 3})))


def test_null_for_quantization_config_is_none_at_all(tmp_path):
    load(tiny_with(tmp_path / "m", lambda fields: fields.update(quantization_config=None)))


@pytest.mark.parametrize("dtype", [torch.int8, "int8", torch.complex64, 8], ids=str)
def test_weights_are_loaded_in_no_other_dtype(dtype):
    with pytest.raises(
        UsageError, match=r"Unknown dtype .*\. Choose bfloat16, float16, float32, f"
    ):
        load("tiny", dtype)


@pytest.mark.parametrize("dtype", [torch.float64, "float64", "torch.float64"], ids=repr)
def test_a_dtype_by_its_name(dtype):
    assert load("tiny", dtype)[0].dtype == torch.float64


@pytest.mark.parametrize(
    ("attention", "todo"),
    [
        ("eager", r"Install what it names\.$"),
        ("flash_attention_2", r"Install what it names, or choose eager or sdpa\.$"),
    ],
)
def test_a_package_that_is_not_there(monkeypatch, attention, todo):
    def from_pretrained(*args, **options):
        raise ImportError("Loading this needs the package quanto")

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", from_pretrained)
    with pytest.raises(UsageError, match=f"needs the package quanto. {todo}"):
        load("tiny", attention=attention)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_hidden_layers": 9}, "num_hidden_layers 9, and the weights have 8"),
        ({"num_hidden_layers": 7}, "num_hidden_layers 7, and the weights have 8"),
        ({"attention_bias": True}, "attention_bias true, and the weights have no biases"),
    ],
    ids=str,
)
def test_a_config_and_weights_of_two_models(tmp_path, changes, said):
    model = tiny_with(tmp_path, lambda fields: fields.update(changes, layer_types=None))
    with pytest.raises(CheckpointError, match=f"config.json says {said}. Take both from"):
        load(model)


def test_a_directory_loads_like_the_preset(tmp_path):
    model, tokenizer = load("tiny")
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    again, its_tokenizer = load(str(tmp_path))
    ids = prompt_ids(again, its_tokenizer, "Hello world")
    with torch.no_grad():
        assert torch.equal(model(ids).logits, again(ids).logits)


def test_a_damaged_tokenizer_is_not_taken_for_none(tmp_path):
    model, tokenizer = load("tiny")
    model.save_pretrained(tmp_path)
    assert load(str(tmp_path))[1] is None
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json cannot be read") as caught:
        load(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_directory_with_config_only_is_on_the_meta_device(tmp_path):
    (tmp_path / "config.json").write_bytes(preset("tiny").read("config.json"))
    assert load(str(tmp_path))[0].device.type == "meta"


def test_what_can_be_wrong_with_a_model(tmp_path):
    with pytest.raises(ModelNotFound, match=r"No model named 'olmo3-8b'.*Choose tiny"):
        load("olmo3-8b")
    with pytest.raises(ConfigError, match=r"has no config.json"):
        load(str(tmp_path))
    (tmp_path / "config.json").write_text("{not json")
    with pytest.raises(ConfigError, match=r"is not JSON"):
        load(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(ConfigError, match=r"which is not read here"):
        load(str(tmp_path))
    (tmp_path / "config.json").write_bytes(preset("tiny").read("config.json"))
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match=r"too short for a safetensors file") as caught:
        load(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_model_that_lost_its_yarn_is_loaded_with_a_warning(tmp_path):
    fields = json.loads(preset("olmo3-7b").read("config.json"))
    # As transformers 5.0 to 5.12 wrote it: one flat object for all layer types.
    flat = {**fields.pop("rope_scaling"), "rope_theta": fields.pop("rope_theta")}
    (tmp_path / "config.json").write_text(json.dumps({**fields, "rope_parameters": flat}))
    with pytest.warns(UserWarning, match=r"No layer applies the YaRN that config\.json asks for"):
        load(str(tmp_path))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["tiny", "olmo3-7b", "olmo3-32b"])
def test_a_right_model_is_loaded_without_a_warning(name):
    load(name)
