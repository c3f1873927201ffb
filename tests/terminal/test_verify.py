"""`olmo-explain verify`: its exit codes, its JSON, and its table."""

import json
import shutil

import pytest
from support.commands import answer, refused, run

from olmo_explain.checkpoint import preset
from olmo_explain.running import REMEDIES


@pytest.fixture
def yarn_lost(tmp_path) -> str:
    """tiny, with its config.json as transformers 5.0 to 5.12 would have written it."""
    directory = tmp_path / "saved by 5.12"
    shutil.copytree(preset("tiny").directory, directory)
    fields = json.loads((directory / "config.json").read_text())
    flat = fields.pop("rope_scaling") | {"rope_theta": fields.pop("rope_theta")}
    (directory / "config.json").write_text(json.dumps(fields | {"rope_parameters": flat}))
    return str(directory)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_command_finds_tiny_equal(dtype):
    found = answer("verify", "tiny", "--dtype", dtype)
    assert found["ok"] and found["dtype"] == dtype
    assert len(found["steps"]) == 211
    assert all(step["equal"] for step in found["steps"])


def test_the_command_on_a_model_that_lost_its_yarn(yarn_lost):
    found = answer("verify", yarn_lost, "--ids", "5,6,7", code=1)
    expected = {"regime": "yarn-lost", "sliding_scaled": False, "full_scaled": False}
    assert expected.items() <= found["rope"].items()
    assert found["remedy"] == REMEDIES["yarn-lost"]
    # Not only YaRN is lost, but rope_theta 10,000 too: every layer has transformers' default.
    assert {step["layer"] for step in found["steps"] if not step["ok"]} == set(range(8))
    assert found["diagnosis"] == "default-theta"
    assert found["cause"].startswith("default-theta: rope_theta is a default and not the one in")
    assert "RoPE theta: 500,000 in a sliding-attention layer" in found["cause"]


def test_the_command_for_people(yarn_lost):
    out = run("verify", "tiny", columns=200).stdout
    assert out.count("===== ===== =====") == 8
    assert "ok 211 of 211 values are equal." in out
    out = run("verify", yarn_lost, code=1, columns=200).stdout
    assert out.count("====≠ ≠≠≠≠≠ ≠≠≠≠≠") == 8
    assert "first difference layer 0, step 5, cos: default-theta: rope_theta is a default" in out
    assert "Put the rope fields of the published config.json back." in " ".join(out.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["olmo3-7b"], "comes with this package as a config, without weights"),
        (["tiny", "--dtype", "int8"], "Unknown dtype 'int8'"),
        (["tiny", "--ids", "2048"], "There is no token 2048"),
        (["tiny", "--ids", "1", "--prompt", "a"], "Give one of them"),
    ],
)
def test_bad_input_is_one_line(words, message):
    assert message in refused("verify", *words)
