"""What watching costs: a plain forward pass against trace, operators and capture of the same pass.

Beside the operators stand what PyTorch takes to hand each of them to Python, where nothing is done
with it, and its own profiler, which writes them down with their shapes.

nnsight's cache and TransformerLens' run_with_cache are measured by `benchmarks/peers.py`, in an
environment of their own, where the same plain forward passes take turns with them.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.frame import Plan, Row, Subject, Way, take_turns, tell
from benchmarks.models import ids, models
from olmo_explain.running import capture, trace

TITLE = "Watching a forward pass, against the same pass unwatched"
POSITIONS = (2, 64)
ROOT = Path(__file__).parents[1]
PEERS = ROOT / ".venv-peers"


def measure(plan: Plan) -> Subject:
    subject = Subject("forward", TITLE)
    for name, model in models(plan.quick).items():
        for positions in POSITIONS:
            tell(f"forward: {name}, {positions} positions")
            times = take_turns(ways(model, positions), plan)
            subject.rows.extend(times.rows(f"{name}, {positions} positions"))
    if "BENCH_WITHOUT_PEERS" in os.environ:
        subject.skipped.append("nnsight and TransformerLens: BENCH_WITHOUT_PEERS is set")
    elif (PEERS / ".ready").is_file():
        found = peers(plan)
        subject.rows.extend(Row(**row) for row in found["rows"])
        subject.skipped.extend(found["skipped"])
    else:
        subject.skipped.append("nnsight and TransformerLens: make bench-peers installs them")
    return subject


def ways(model: torch.nn.Module, positions: int) -> dict[str, Way]:
    inputs = ids(positions)

    @torch.no_grad()
    def plain() -> None:
        model(inputs)

    @torch.no_grad()
    def handed_over() -> None:
        with HandsOver():
            model(inputs)

    @torch.no_grad()
    def profiled() -> None:
        with profile(activities=[ProfilerActivity.CPU], record_shapes=True):
            model(inputs)

    @torch.no_grad()
    def captured() -> None:
        with capture(model):
            model(inputs)

    return {
        "plain forward": plain,
        "trace": lambda: trace(model, inputs),
        "trace with operators": lambda: trace(model, inputs, ops=True),
        "an empty TorchDispatchMode": handed_over,
        "torch.profiler with shapes": profiled,
        "capture of every step": captured,
    }


class HandsOver(TorchDispatchMode):
    """The least that watching operators from Python can cost."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        return func._op(*args, **kwargs) if kwargs else func._op(*args)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False


def peers(plan: Plan) -> dict[str, list]:
    """What `benchmarks/peers.py` prints in its own environment: rows, and why some are missing."""
    words = ["-m", "benchmarks.peers", *(["--quick"] if plan.quick else [])]
    done = subprocess.run(
        [PEERS / "bin" / "python", *words], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])
