"""Two processes on one model, as torchrun starts them: what is told, what is found, how it ends."""

import json
import os
import subprocess
import sys
from math import prod

import pytest
from support import commands
from support.checkpoints import write_random

from olmo_explain.checkpoint import read_config
from olmo_explain.errors import UsageError
from olmo_explain.parallel import memory, shares
from olmo_explain.parallel.sharding import check_shares
from olmo_explain.running import load

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
SECONDS = 120  # a run takes about 10; one that hangs is stopped here, and fails


def torchrun(*words: str, processes: int = 2) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*TORCHRUN, str(processes), *words],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env=os.environ | {"OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"},
    )


def answer(*words: str, processes: int = 2) -> dict:
    ran = torchrun("-m", "olmo_explain", *words, "--tp", "--json", processes=processes)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)  # one object: process 0 alone has printed


def said(ran: subprocess.CompletedProcess) -> list[str]:
    """Our own lines on stderr; torchrun adds its report of the processes that failed."""
    return [line for line in ran.stderr.splitlines() if line.startswith("olmo-explain:")]


@pytest.fixture(scope="module")
def traced() -> dict:
    return answer("trace", "tiny", "--ids", "5,6,7,2000")


def test_trace_tells_of_one_process_and_of_each(traced):
    alone = commands.answer("trace", "tiny", "--ids", "5,6,7,2000")
    assert set(alone) | {"tensor_parallel"} == set(traced)
    for key in ("counts", "total", "parameters_held", "parameters_read", "bytes_read"):
        assert traced[key] == alone[key], key
    for call, other in zip(traced["calls"], alone["calls"], strict=True):
        assert {k: call[k] for k in other if k != "seconds"} == {
            k: other[k] for k in other if k != "seconds"
        }
    shared = traced["tensor_parallel"]
    assert shared["world_size"] == 2 and shared["backend"] == "gloo" and shared["same_calls"]
    assert [rank["rank"] for rank in shared["ranks"]] == [0, 1]


def test_trace_tells_the_part_of_every_weight(traced):
    shared, config = traced["tensor_parallel"], read_config("tiny")
    by_name = {weight["name"]: weight for weight in shared["weights"]}
    for rank, told in enumerate(shared["ranks"]):
        expected = shares(config, shared["plan"], rank, 2)  # from config.json and the plan alone
        assert told["parameters_held"] == sum(share.parameters for share in expected)
        for share in expected:
            for name in (share.name.format(layer=n) for n in range(share.count)):
                assert tuple(by_name[name]["shape"]) == share.shape
                assert tuple(by_name[name]["local_shapes"][rank]) == share.local
    gate = next(c for c in traced["calls"] if c["path"] == "model.layers.0.mlp.gate_proj")
    assert gate["output_shape"][-1] == config.intermediate_size
    assert gate["local_output_shape"][-1] == config.intermediate_size // 2


def test_trace_tells_what_each_process_reads(traced):
    shared, config = traced["tensor_parallel"], read_config("tiny")
    table, row = config.vocab_size * config.hidden_size, config.hidden_size
    for rank, rows in zip(shared["ranks"], (4, 2), strict=True):
        # Process 0 has the rows of tokens 5, 6, 7, process 1 that of 2000. For a token of the
        # other's part each looks up row 0 of its own and throws it away.
        assert rank["parameters_read"] == rank["parameters_held"] - table // 2 + rows * row
        assert rank["bytes_read"] == 2 * rank["parameters_read"]


@pytest.mark.parametrize("processes", [2, 3])  # 3 divides none of its sizes
def test_verify_holds_within_the_tolerance_of_another_order_of_sums(processes):
    checked = answer("verify", "tiny", "--dtype", "float32", processes=processes)
    assert checked["ok"] and len(checked["tensor_parallel"]["ranks"]) == processes
    equal = {(step["layer"], step["name"]) for step in checked["steps"] if step["equal"]}
    # Up to the first sum that is taken in parts, o_proj's, nothing differs by a bit.
    assert {(None, "embedding"), (0, "q_norm"), (3, "pattern"), (7, "z"), (None, "logits")} <= equal
    assert (0, "o_proj") not in equal
    assert all(step["max_abs_diff"] <= step["tolerance"] for step in checked["steps"])


def test_verify_of_a_directory_with_shared_key_value_heads(tmp_path):
    write_random(tmp_path, shards=3)  # 4 heads, 2 key-value heads, no tokenizer
    checked = answer("verify", str(tmp_path))
    assert checked["ok"] and checked["dtype"] == "bfloat16"


SPOILT = """
import torch
from olmo_explain.parallel import tensor_parallel
from olmo_explain.terminal import main

load = tensor_parallel.TensorParallel.load

def spoilt(self, source, dtype=None):
    model, tokenizer = load(self, source, dtype)
    if self.group.process == 1:
        with torch.no_grad():
            model.get_parameter("model.layers.3.mlp.up_proj.weight").to_local()[7] *= 1.5
    return model, tokenizer

tensor_parallel.TensorParallel.load = spoilt
main()
"""


def test_verify_names_the_process_whose_part_is_wrong(tmp_path):
    script = tmp_path / "spoilt.py"
    script.write_text(SPOILT)
    ran = torchrun(str(script), "verify", "tiny", "--tp", "--json", "--dtype", "float32")
    assert ran.returncode != 0  # torchrun's own code: ours is in its report
    assert "exitcode  : 1" in ran.stderr
    checked = json.loads(ran.stdout)
    first = checked["first_difference"]
    assert not checked["ok"] and (first["layer"], first["name"]) == (3, "up_proj")
    assert [rank["spoilt_weights"] for rank in checked["tensor_parallel"]["ranks"]] == [0, 1]
    assert checked["cause"].startswith("process 1: 128 of 22,016 numbers of its part of")
    assert "process 0" not in checked["cause"]


LOST = """
import os, signal
from olmo_explain.parallel import tensor_parallel
from olmo_explain.terminal import main

def dies(self, *args):
    if self.group.process == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    self.group.gather("and waits for the other")

tensor_parallel.TensorParallel.load = dies
main()
"""

ALONE = """
from olmo_explain import errors
from olmo_explain.parallel import tensor_parallel
from olmo_explain.terminal import main

def fails(self, *args):
    if self.group.process == 1:
        raise errors.CheckpointError("Only process 1 cannot read its part", "Look at its disk")
    self.group.gather("and waits for the other")

tensor_parallel.TensorParallel.load = fails
main()
"""


def test_an_error_of_one_process_is_said_by_it_alone(tmp_path):
    script = tmp_path / "alone.py"
    script.write_text(ALONE)
    ran = torchrun(str(script), "verify", "tiny", "--tp")
    assert ran.returncode != 0 and ran.stdout == ""
    assert said(ran) == ["olmo-explain: Only process 1 cannot read its part. Look at its disk."]


def test_a_process_that_dies_ends_the_others(tmp_path):
    script = tmp_path / "lost.py"
    script.write_text(LOST)
    ran = torchrun(str(script), "trace", "tiny", "--tp")
    assert ran.returncode != 0 and ran.stdout == ""
    # torchrun may stop process 0 before it has noticed.
    lost = "olmo-explain: One of the processes stopped before its end. Free memory may have run out"
    assert [line[: len(lost)] for line in said(ran)] in ([], [lost])


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("trace", "olmo3-7b", "--tp"), "olmo3-7b has shapes and no weights"),
        (("trace", "nowhere", "--tp"), "No model named 'nowhere'"),
        (("trace", "--tp"), "Missing argument 'MODEL'"),
        (("trace", "tiny"), "torchrun started 2 processes, and each would run the whole model"),
        (("verify", "tiny", "--json"), "Add --tp, or leave out torchrun"),
    ],
)
def test_bad_input_is_said_once(words, line):
    ran = torchrun("-m", "olmo_explain", *words)
    assert ran.returncode != 0 and ran.stdout == ""
    assert len(said(ran)) == 1 and line in said(ran)[0]
    assert "exitcode  : 2" in ran.stderr  # torchrun's own exit code is always 1


def test_tp_needs_torchrun():
    said = commands.refused("trace", "tiny", "--tp")
    assert "torchrun --nproc-per-node N -m olmo_explain trace MODEL --tp" in said


# -- from config.json and the plan alone ----------------------------------------------------------


def plan_of(name: str) -> dict[str, str]:
    return load(name)[0].tp_plan


@pytest.mark.parametrize("processes", [1, 2, 3, 4, 8])
def test_parts_make_the_whole(processes):
    config, plan = read_config("olmo3-32b"), plan_of("olmo3-32b")
    held = [shares(config, plan, process, processes) for process in range(processes)]
    for parts in zip(*held, strict=True):
        whole = parts[0].count * prod(parts[0].shape)
        if parts[0].style is None:  # every process holds it whole: the norms
            assert "norm" in parts[0].name
            assert {part.parameters for part in parts} == {whole}
        else:
            assert sum(part.parameters for part in parts) == whole


def test_memory_of_the_32b_on_four():
    config, plan = read_config("olmo3-32b"), plan_of("olmo3-32b")
    one, four = (memory(config, plan, count, positions=4096) for count in (1, 4))
    assert one.weights == config.bytes
    every = [memory(config, plan, 4, 4096, process=process) for process in range(4)]
    split = sum(own.weights - own.replicated for own in every)
    assert split == config.bytes - four.replicated
    assert max(own.weights for own in every) == four.weights < 1.001 * config.bytes / 4
    assert four.kv_cache == one.kv_cache == config.kv_cache_bytes(4096)  # QK-norm: not split
    narrow = memory(config, {**plan, "model.layers.*.self_attn.k_proj": "colwise"}, 4, 4096)
    assert narrow.kv_cache == one.kv_cache // 4


def test_more_processes_than_there_is_to_share_out():
    plan, config = plan_of("tiny"), read_config("tiny")
    check_shares(config, plan, 8)
    with pytest.raises(UsageError, match="Start fewer"):
        check_shares(config, plan, 100)


AS_TORCHRUN_SETS_THEM = {
    "TORCHELASTIC_RUN_ID": "none",
    "RANK": "0",
    "WORLD_SIZE": "1",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29500",
    "LOCAL_RANK": "0",
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("RANK", value) for value in ("", "x", "-1", "1", "9" * 5000)),
        *(("WORLD_SIZE", value) for value in ("", "x", "0")),
        *(("MASTER_PORT", value) for value in ("", "99999", "http")),
        *(("MASTER_ADDR", ""), ("MASTER_ADDR", "a..b"), ("LOCAL_RANK", "x")),
    ],
    ids=lambda value: value[:9],
)
def test_variables_that_were_set_by_hand(name, value):
    said = commands.refused("trace", "tiny", "--tp", **(AS_TORCHRUN_SETS_THEM | {name: value}))
    assert f"{name} is " in said and "Let torchrun set it" in said


def test_a_rank_that_is_no_number_hides_no_error():
    environment = {"TORCHELASTIC_RUN_ID": "none", "RANK": "x", "WORLD_SIZE": "y"}
    assert "torchrun started y processes" in commands.refused("trace", "tiny", **environment)
