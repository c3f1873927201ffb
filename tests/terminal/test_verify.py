"""`olmo-explain verify`: its exit codes, its JSON, and its table."""

import json
import shutil

import pytest

from olmo_explain.checkpoint import preset
from olmo_explain.running import REMEDIES
from olmo_explain.terminal import main


@pytest.fixture
def command(monkeypatch, capsys):
    """`olmo-explain verify …`: its exit code, stdout and stderr."""

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["olmo-explain", "verify", *words])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capsys.readouterr()

    return run


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
def test_the_command_finds_tiny_equal(command, dtype):
    code, out, _ = command("tiny", "--dtype", dtype, "--json")
    found = json.loads(out)
    assert code == 0
    assert found["ok"] and found["dtype"] == dtype
    assert len(found["steps"]) == 211
    assert all(step["equal"] for step in found["steps"])


def test_the_command_on_a_model_that_lost_its_yarn(command, yarn_lost):
    code, out, _ = command(yarn_lost, "--json", "--ids", "5,6,7")
    found = json.loads(out)
    assert code == 1
    assert found["rope"] == {
        "regime": "yarn-lost",
        "sliding_scaled": False,
        "full_scaled": False,
    }
    assert found["remedy"] == REMEDIES["yarn-lost"]
    # Not only YaRN is lost, but rope_theta 10,000 too: every layer has transformers' default.
    assert {step["layer"] for step in found["steps"] if not step["ok"]} == set(range(8))
    assert found["cause"].startswith("RoPE theta: 500,000 in a sliding-attention layer")


def test_the_command_for_people(command, yarn_lost):
    code, out, _ = command("tiny")
    assert code == 0
    assert out.count("===== ===== =====") == 8
    assert "ok 211 of 211 values are equal." in out
    code, out, _ = command(yarn_lost)
    assert code == 1
    assert out.count("====≠ ≠≠≠≠≠ ≠≠≠≠≠") == 8
    assert "first difference layer 0, step 5, cos: RoPE theta: 500,000" in out
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
def test_bad_input_is_one_line(command, words, message):
    code, out, error = command(*words)
    assert (code, out) == (2, "")
    assert message in error
    assert error.count("\n") == 1
