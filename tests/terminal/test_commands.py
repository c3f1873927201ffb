"""The commands as their users call them: JSON, tables, exit codes, one line for bad input."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import answer, as_code, imports, refused, run, run_process

from olmo_explain.checkpoint import preset
from olmo_explain.running import REMEDIES


@pytest.mark.parametrize(
    ("name", "parameters"), [("olmo3-7b", 7_298_011_136), ("olmo3-32b", 32_233_522_176)]
)
def test_config_json(name, parameters):
    config = answer("config", name)
    assert config["parameters"] == parameters and config["bytes"] == 2 * parameters
    assert config["layer_types"][:4] == ["sliding_attention"] * 3 + ["full_attention"]
    assert sum(part["parameters"] * part["count"] for part in config["components"]) == parameters
    assert config["head_dim"] == 128 and config["full_attention_layers"][0] == 3
    assert set(config["kv_cache"]["at_max_position"]) == {"capped", "uncapped", "between_steps"}


WITHOUT_A_MODEL = [
    ["config", "olmo3-7b"],
    ["flops", "olmo3-7b", "--seq", "4096"],
    ["weights", "tiny"],
    ["weights", "tiny", "model.norm.weight"],
    ["head", "tiny", "--layer", "5", "--head", "1"],
    ["head", "tiny", "--layer", "5", "--head", "1", "--svd"],
    ["head", "tiny", "--all"],
    ["diff", "tiny", "tiny"],
    ["diff", "tiny", "tiny", "--layer", "5", "--head", "1"],
]
AS_JSON = [[*words, "--json"] for words in WITHOUT_A_MODEL]


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], *WITHOUT_A_MODEL, *AS_JSON], ids=" ".join
)
def test_what_needs_no_model_imports_neither_torch_nor_transformers(words):
    needed = {"numpy"} if words[0] in ("weights", "head", "diff") else set()
    assert imports(as_code(*words)) <= needed


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
        (("config", "olmo3-7B"), "No model named 'olmo3-7B'. Write olmo3-7b."),
        (("config", "./nowhere/at/all"), "There is no directory ./nowhere/at/all. Name"),
        (("config", r"C:\models\olmo"), r"There is no directory C:\models\olmo. Name"),
        (("config",), "Missing argument 'MODEL'"),
        (("confgi", "tiny"), "No such command 'confgi'. Did you mean 'config'? Try: olmo-"),
        (("trace", "tiny", "--ids", "5,x"), "--ids '5,x' cannot be read. Write whole numbers"),
        (("trace", "tiny", "--ids", "9999"), "There is no token 9999"),
        (("trace", "tiny", "--ids", "5", "--prompt", "a"), "say the same thing twice"),
        (("trace", "tiny", "--prompt-length", "0"), "--prompt-length"),
        (("trace", "olmo3-7b", "--prompt", "Hello"), "without a tokenizer"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(words, said):
    assert said in refused(*words)


def test_tables_for_people():
    assert "7,298,011,136 parameters" in run("config", "olmo3-7b", columns=120).stdout
    trace = run("trace", "tiny", "--all", columns=160).stdout
    assert trace.count("mlp.down_proj") == 8 and "Linear 57" in trace


def test_every_tensor_is_listed_from_the_header_alone():
    listed = answer("weights", "tiny")
    tensors = {tensor["name"]: tensor for tensor in listed["tensors"]}
    assert len(tensors) == 91 and listed["header_bytes"] < 20_000
    norm = tensors["model.norm.weight"]
    assert (norm["shape"], norm["dtype"], norm["shard"]) == ([128], "BF16", "model.safetensors")
    assert "91 tensors of tiny" in run("weights", "tiny").stdout
    assert "Name it too" in refused("weights", "tiny", "--rows", "0:2")


def test_help_says_what_is_run_on_if_nothing_is_given():
    assert "Hello world" in run("trace", "--help", columns=200).stdout
    assert "Shall I compare thee" in run("verify", "--help", columns=200).stdout
    asked = run("history", "--help", columns=200).stdout
    assert "A repository on the hub" in asked and "tiny" not in asked


def test_help_and_version():
    assert "config" in run("--help").stdout
    assert run("--version").stdout.strip()[0].isdigit()


def test_doctor_measures_this_installation():
    ran = run("doctor", "--json", code=None)
    findings = json.loads(ran.stdout)
    assert findings["rope_regime"] in ("per-layer", *REMEDIES)
    assert findings["versions"]["torch"][0].isdigit()
    assert findings["memory_bytes"] > 0 and findings["disk_bytes"] > 0
    assert ran.code == (0 if findings["ok"] else 1)
    assert findings["ok"] == (not findings["problems"])


def test_a_config_that_does_not_fit_its_weights_is_one_line(tmp_path):
    tiny = preset("tiny").directory
    shutil.copy(tiny / "model.safetensors", tmp_path)
    fields = json.loads((tiny / "config.json").read_text()) | {"hidden_size": 256, "head_dim": 64}
    (tmp_path / "config.json").write_text(json.dumps(fields))
    said = refused("trace", tmp_path, "--ids", 5)
    assert "embed_tokens.weight of shape [2048, 128], but config.json makes it [2048, 256]" in said


def test_a_terminal_that_knows_only_ascii_gets_a_table_too():
    assert "self_attn.q_proj" in run_process("config", "tiny", PYTHONIOENCODING="ascii").stdout


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
