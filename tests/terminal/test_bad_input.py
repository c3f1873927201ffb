"""What a command is given and cannot take: one line that says so, exit code 2, never a traceback.

And names that look like something else: they are printed as they are.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from support.checkpoints import tiny_fields, write_random
from support.commands import answer, refused, run, run_process
from support.random_olmo import yarn

import olmo_explain as oe
from olmo_explain.checkpoint import preset, read_config
from olmo_explain.errors import ExplainError


def described(directory: Path, **changes: object) -> Path:
    """A directory with the config.json of `tiny`, some of its fields changed, and no weights."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(tiny_fields() | changes))
    return directory


@pytest.fixture
def bracketed(tmp_path) -> Path:
    """`tiny`, in a directory whose name rich would take for markup."""
    directory = tmp_path / "q[" / "b]z[red]"
    directory.mkdir(parents=True)
    for file in preset("tiny").directory.iterdir():
        (directory / file.name).symlink_to(file)
    return directory


@pytest.mark.parametrize(
    "words",
    [
        ["config"],
        ["flops"],
        ["weights"],
        ["weights", "model.norm.weight"],
        ["head", "--layer", 1, "--head", 1],
        ["diff", "tiny", "--layer", 1, "--head", 1],
        ["verify"],
    ],
    ids=lambda words: " ".join(map(str, words[:2])),
)
def test_brackets_in_a_name_are_no_markup(bracketed, words):
    out = run(words[0], bracketed, *words[1:], columns=400).stdout
    assert "q[/b]z[red]" in "".join(out.split())  # long names are folded


def test_a_tensor_may_be_called_anything(tmp_path):
    save_file({"a[/b]": np.ones((2, 2), "float32")}, tmp_path / "model.safetensors")
    assert "a[/b]" in (said := run("weights", tmp_path).stdout)
    assert "1 tensor of" in said


def test_a_tensor_without_numbers_has_norm_0(tmp_path):
    save_file({"none": np.ones((0, 5), "float32")}, tmp_path / "model.safetensors")
    assert answer("weights", tmp_path, "none")["norm"] == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_act": "foo"},
        {"head_dim": 31},
        {"pad_token_id": "x"},
        {"pad_token_id": 99_999},
        {"use_cache": "x"},
    ],
    ids=str,
)
def test_what_transformers_cannot_build(tmp_path, changes):
    said = refused("trace", described(tmp_path / "m", **changes), "--ids", "1,2")
    assert "config.json" in said


@pytest.mark.parametrize(
    "changes",
    [
        {"layer_types": [[1]] * 8},
        {"layer_types": [{}] * 8},
        {"sliding_window": -3},
        {"sliding_window": True},
        {"num_hidden_layers": True},
        {"rope_parameters": None, "rope_scaling": yarn(factor=-2)},
    ],
    ids=str,
)
def test_what_no_config_says(tmp_path, changes):
    assert "config.json" in refused("config", described(tmp_path / "m", **changes))


def test_a_config_that_never_ends(tmp_path):
    (tmp_path / "config.json").write_text("[" * 100_000)
    assert "is not JSON" in (said := refused("config", tmp_path))
    assert said.endswith("Mend it there, or take it as it was published with the checkpoint.\n")


@pytest.mark.parametrize("model_type, theta", [("olmo2", 10_000), ("olmo3", 500_000)])
def test_a_theta_that_is_not_said_is_that_of_transformers(tmp_path, model_type, theta):
    fields = tiny_fields() | {"model_type": model_type}
    of_olmo3 = ("layer_types", "sliding_window") if model_type == "olmo2" else ()
    for field in ("rope_parameters", "rope_scaling", "rope_theta", *of_olmo3):
        fields.pop(field, None)
    (tmp_path / "config.json").write_text(json.dumps(fields))
    config = read_config(tmp_path)
    assert config.rope["full_attention"].rope_theta == theta


@pytest.mark.parametrize(
    "words",
    [
        ["trace", "tiny", "--ids", "9" * 20],
        ["trace", "tiny", "--ids", "5," + "9" * 5000],
        ["weights", "tiny", "model.norm.weight", "--rows", f"0:{'9' * 5000}"],
        ["flops", "tiny", "--seq", "9" * 200],
    ],
    ids=lambda words: " ".join(words[:3]),
)
def test_numbers_beyond_all_measure(words):
    refused(*words)


@pytest.mark.parametrize("given", ["x", "1.5", "-1", "", "9" * 5000])
@pytest.mark.parametrize("option", ["--layer", "--head"])
def test_what_is_no_number(option, given):
    other = "--head" if option == "--layer" else "--layer"
    said = refused("head", "tiny", f"{option}={given}", other, 1)
    assert f"{option} '" in said and "Write a whole number, 0 or more." in said and len(said) < 200


def test_a_number_that_is_too_large_or_too_small():
    for given in ("0", str(10**13)):
        said = refused("flops", "tiny", "--seq", given)
        assert f"--seq '{given}' cannot be read. Write a whole number, 1 to 1,000,0" in said


def test_a_dtype_of_no_letters_is_none():
    assert "Unknown dtype ''. Choose " in refused("verify", "tiny", "--dtype", "")


def test_a_text_where_no_tokenizer_is_names_the_options(tmp_path):
    assert "Give --ids 5,6,7 or --prompt-length 3." in refused("trace", "olmo3-7b", "--prompt=hi")
    write_random(tmp_path)
    assert "Give --ids 5,6,7." in refused("verify", tmp_path, "--prompt=hi")


def test_bytes_that_are_no_text(tmp_path):
    odd = os.fsdecode(b"\xff")
    assert "The prompt holds bytes that are no UTF-8" in refused("trace", "tiny", "--prompt", odd)
    directory = described(tmp_path / odd)
    assert answer("config", directory)["hidden_size"] == 32
    write_random(directory)
    assert "The directory's name holds bytes" in refused("trace", directory)


def test_no_other_library_speaks_before_us():
    """transformers would warn of a text that is too long, and so would we in two lines."""
    said = run_process("trace", "tiny", "--prompt", "a b c " * 1000, code=2).stderr
    assert said.startswith("olmo-explain: ") and said.count("\n") == 1


def test_a_length_beyond_the_vocabulary_is_a_length(tmp_path):
    model = described(tmp_path, max_position_embeddings=4096)  # of 2,048 tokens
    calls = answer("trace", model, "--prompt-length", 3000)["calls"]
    assert calls[0]["input_shapes"] == [[1, 3000]]
    line = refused("trace", model, "--prompt-length", 10**12)
    assert "longer than the model takes. Give up to 4,096." in line


def test_a_rank_alone_is_no_torchrun(monkeypatch):
    """Launchers of every kind set RANK; only torchrun starts others that say it first."""
    monkeypatch.setenv("RANK", "1")
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    assert "nosuch" in refused("nosuch")


@pytest.mark.parametrize(
    "call",
    [
        lambda: oe.explore_steps("tiny", layer=99),
        lambda: oe.explore_steps("tiny", step="nope"),
        lambda: oe.head_contributions(oe.load("tiny")[0], ["a"], 3),
    ],
)
def test_from_python(call):
    with pytest.raises(ExplainError):
        call()


def test_python_takes_lists_of_ids_everywhere():
    model, _ = oe.load("tiny")
    parts = oe.head_contributions(model, [1, 2], 3)
    assert torch.equal(parts, oe.head_contributions(model, torch.tensor([[1, 2]]), 3))


def test_a_slider_starts_within_its_range():
    assert oe.explore_rope(pair=-5, position=-1).pair == 0
