"""The commands as their users call them: JSON, tables, exit codes, one line for bad input."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import answer, run

from olmo_explain.checkpoint import preset


@pytest.mark.parametrize(
    ("name", "parameters"), [("olmo3-7b", 7_298_011_136), ("olmo3-32b", 32_233_522_176)]
)
def test_config_json(name, parameters):
    config = answer("config", name)
    assert config["parameters"] == parameters and config["bytes"] == 2 * parameters
    assert config["layer_types"][:4] == ["sliding_attention"] * 3 + ["full_attention"]
    assert sum(part["parameters"] * part["count"] for part in config["components"]) == parameters
    assert config["head_dim"] == 128 and config["full_attention_layers"][0] == 3
    assert set(config["kv_cache"]["at_max_position"]) == {"capped", "uncapped"}


@pytest.mark.parametrize("form", [["--json"], []], ids=["json", "table"])
@pytest.mark.parametrize(
    "words",
    [
        ["config", "olmo3-7b"],
        ["flops", "olmo3-7b", "--seq", "4096"],
        ["weights", "tiny"],
        ["weights", "tiny", "model.norm.weight"],
        ["head", "tiny", "--layer", "5", "--head", "1"],
        ["head", "tiny", "--all"],
        ["--help"],
        ["--version"],
    ],
    ids=" ".join,
)
def test_what_needs_no_model_imports_neither_torch_nor_transformers(words, form):
    heavy = {"torch", "transformers", "requests", "huggingface_hub", "matplotlib"}
    code = (
        f"import sys; sys.argv = ['olmo-explain', *{words + form}]\n"
        "from olmo_explain.__main__ import main\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 0\n"
        f"assert not {heavy} & set(sys.modules), {heavy} & set(sys.modules)"
    )
    if words[0].startswith("--") and form:
        pytest.skip("has no --json")
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout


def test_trace_of_a_preset_and_of_tiny():
    seven = answer("trace", "olmo3-7b", "--prompt-length", "2")
    rotary = seven["counts"].pop("Olmo3RotaryEmbedding")
    assert seven["counts"] == {
        "Linear": 225,
        "Olmo3RMSNorm": 129,
        "SiLUActivation": 32,
        "Embedding": 1,
    }
    assert seven["total"] == 387 + rotary == len(seven["calls"])
    tiny = answer("trace", "tiny", "--prompt", "Hello world")
    assert tiny["calls"][0]["path"] == "model.embed_tokens"
    assert {"index", "path", "type", "input_shapes", "output_shape", "weight", "flops"} <= set(
        tiny["calls"][0]
    )


def test_trace_of_ids():
    assert answer("trace", "tiny", "--ids", "5,6,7")["calls"][0]["input_shapes"] == [[1, 3]]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("config", "olmo3-8b"), "No model named 'olmo3-8b'. Choose tiny, olmo3-7b"),
        (("config", "./nowhere/at/all"), "There is no directory ./nowhere/at/all. Name"),
        (("config",), "Missing argument 'MODEL'"),
        (("confgi", "tiny"), "No such command 'confgi'. Did you mean 'config'?"),
        (("trace", "tiny", "--ids", "5,x"), "--ids '5,x' cannot be read. Write whole numbers"),
        (("trace", "tiny", "--ids", "9999"), "There is no token 9999"),
        (("trace", "tiny", "--ids", "5", "--prompt", "a"), "say the same thing twice"),
        (("trace", "tiny", "--prompt-length", "0"), "--prompt-length"),
        (("trace", "olmo3-7b", "--prompt", "Hello"), "without a tokenizer"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(words, said):
    ran = run(*words)
    assert ran.returncode == 2
    assert said in ran.stderr
    assert ran.stderr.count("\n") == 1 and ran.stdout == ""


def test_tables_for_people():
    assert "7,298,011,136 parameters" in run("config", "olmo3-7b", COLUMNS="120").stdout
    trace = run("trace", "tiny", COLUMNS="160").stdout
    assert "layers.7.mlp.down_proj" in trace and "Linear 57" in trace


def test_every_tensor_is_listed_from_the_header_alone():
    listed = answer("weights", "tiny")
    tensors = {tensor["name"]: tensor for tensor in listed["tensors"]}
    assert len(tensors) == 91 and listed["header_bytes"] < 20_000
    norm = tensors["model.norm.weight"]
    assert (norm["shape"], norm["dtype"], norm["shard"]) == ([128], "BF16", "model.safetensors")
    assert "91 tensors of tiny" in run("weights", "tiny").stdout
    ran = run("weights", "tiny", "--rows", "0:2")
    assert ran.returncode == 2 and "Name it too" in ran.stderr


@pytest.mark.parametrize("name", ["olmo3-7b", "olmo3-32b"])
def test_a_trace_fits_in_eighty_columns(name):
    lines = run("trace", name, COLUMNS="80").stdout.splitlines()
    assert max(map(len, lines)) <= 80 and not any("…" in line for line in lines)


def test_help_says_what_is_run_on_if_nothing_is_given():
    assert "Hello world" in run("trace", "--help", COLUMNS="200").stdout
    assert "Shall I compare thee" in run("verify", "--help", COLUMNS="200").stdout


def test_help_and_version():
    assert "config" in run("--help").stdout
    assert run("--version").stdout.strip()[0].isdigit()


def test_doctor_measures_this_installation():
    ran = run("doctor", "--json")
    findings = json.loads(ran.stdout)
    assert findings["rope_regime"] in ("per-layer", "yarn-everywhere", "yarn-lost")
    assert findings["versions"]["torch"][0].isdigit()
    assert findings["memory_bytes"] > 0 and findings["disk_bytes"] > 0
    assert ran.returncode == (0 if findings["ok"] else 1)
    assert findings["ok"] == (not findings["problems"])


def test_a_config_that_does_not_fit_its_weights_is_one_line(tmp_path):
    tiny = preset("tiny").directory
    shutil.copy(tiny / "model.safetensors", tmp_path)
    fields = json.loads((tiny / "config.json").read_text()) | {"hidden_size": 256, "head_dim": 64}
    (tmp_path / "config.json").write_text(json.dumps(fields))
    ran = run("trace", str(tmp_path), "--ids", "5")
    assert ran.returncode == 2 and ran.stderr.count("\n") == 1
    assert "config.json asks for model.embed_tokens.weight of shape [2048, 256]" in ran.stderr


def test_a_terminal_that_knows_only_ascii_gets_a_table_too():
    ran = run("config", "tiny", PYTHONIOENCODING="ascii")
    assert ran.returncode == 0 and "self_attn.q_proj" in ran.stdout


@pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="only Linux has a disk that is always full"
)
def test_a_full_disk_is_one_line():
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "olmo_explain", "config", "tiny"],
            stdout=full, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert ran.returncode == 2 and ran.stderr.count("\n") == 1
    assert "cannot be written" in ran.stderr


def test_a_reader_who_has_enough_is_no_failed_check():
    command = f"{sys.executable} -m olmo_explain config olmo3-7b | head -1; exit ${{PIPESTATUS[0]}}"
    assert subprocess.run(["bash", "-c", command], capture_output=True).returncode in (0, 141)
