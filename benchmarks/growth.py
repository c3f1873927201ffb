"""How time and memory grow with layers, positions and heads: the exponent of the best power law.

An exponent of 1 is growth in proportion, 0 none at all. Traces are taken of models without numbers,
so that they show what tracing costs and not what the model computes.
"""

import gc
import tracemalloc
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from support.checkpoints import write_sparse_7b

from benchmarks.frame import Plan, Row, Subject, Times, exponent, take_turns, tell
from benchmarks.models import build, tiny
from olmo_explain.checkpoint import Checkpoint, OlmoConfig, head_norms, read_config, read_head
from olmo_explain.costs import count_costs
from olmo_explain.running import trace

TITLE = "How it grows"
LAYERS = (2, 4, 8, 16, 32)
POSITIONS = (16, 64, 256, 1024, 4096)
HEADS = (4, 8, 16, 32)


def measure(plan: Plan) -> Subject:
    subject = Subject("growth", TITLE)
    for part in (traces, heads, flops):
        tell(f"growth: {part.__name__}")
        subject.rows.extend(part(plan))
    return subject


def traces(plan: Plan) -> Iterable[Row]:
    layers = LAYERS[:2] if plan.quick else LAYERS
    positions = POSITIONS[:2] if plan.quick else POSITIONS
    deep = {number: build(number, "meta") for number in layers}
    by_layers = {number: partial(run, model, 16) for number, model in deep.items()}
    yield from _grown("trace", "layers", by_layers, plan, "7B without numbers, 16 positions")
    fixed = deep[layers[-1]]
    by_positions = {number: partial(run, fixed, number) for number in positions}
    name = f"7B without numbers, {layers[-1]} layers"
    yield from _grown("trace", "positions", by_positions, plan, name)
    by_heads = {}
    for number in HEADS[:2] if plan.quick else HEADS:
        sizes = {"num_attention_heads": number, "num_key_value_heads": number, "head_dim": 128}
        by_heads[number] = partial(run, build(4, "meta", **sizes), 16)
    yield from _grown("trace", "heads", by_heads, plan, "4 layers without numbers, 16 positions")
    yield _fit(
        "memory of trace",
        "layers",
        layers,
        [peak(m, 16) for m in deep.values()],
        "bytes",
        "7B without numbers, 16 positions",
    )
    yield _fit(
        "memory of trace",
        "positions",
        positions,
        [peak(fixed, n) for n in positions],
        "bytes",
        name,
    )
    yield Row("numbers in tensors that a trace keeps", "tiny", kept(), "numbers")


def run(model: torch.nn.Module, positions: int) -> Any:
    return trace(model, torch.zeros(1, positions, dtype=torch.long, device=model.device))


def peak(model: torch.nn.Module, positions: int) -> int:
    """Bytes of Python objects at the most; on the meta device a tensor has no other.

    The least of three, since what Python and torch remember of the first run is not the trace's.
    """
    peaks = []
    for _ in range(3):
        tracemalloc.start()
        run(model, positions)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    return min(peaks)


def kept() -> int:
    """Numbers in all tensors that are alive while a trace is, and were not before."""

    def alive() -> dict[int, torch.Tensor]:
        gc.collect()
        return {
            id(thing): thing for thing in gc.get_objects() if issubclass(type(thing), torch.Tensor)
        }

    model = tiny()
    run(model, 16)
    before = alive()
    ran = run(model, 64)
    after = alive()
    assert ran.total
    return sum(tensor.numel() for key, tensor in after.items() if key not in before)


def heads(plan: Plan) -> Iterable[Row]:
    layers = LAYERS[:2] if plan.quick else LAYERS
    with TemporaryDirectory() as temporary:
        checkpoints = {}
        for number in layers:
            directory = Path(temporary) / str(number)
            directory.mkdir()
            checkpoints[number] = str(write_sparse_7b(directory, number))
        one = {n: partial(read_head, place, 1, 27) for n, place in checkpoints.items()}
        yield from _grown("head", "layers", one, plan, "7B of holes")
        few = Checkpoint(checkpoints[layers[-1]])
        counts = HEADS[:2] if plan.quick else HEADS
        some = {number: partial(_first_heads, few, number) for number in counts}
        yield from _grown("head", "heads", some, plan, "7B of holes, one layer")
        every = {n: partial(head_norms, place) for n, place in checkpoints.items()}
        yield from _grown("head --all", "layers", every, plan, "7B of holes")


def _first_heads(checkpoint: Checkpoint, number: int) -> None:
    for head in range(number):
        read_head(checkpoint, 1, head)


def flops(plan: Plan) -> Iterable[Row]:
    seven = read_config("olmo3-7b")
    layers = {number: partial(_costs, _cut(seven, number), 64) for number in LAYERS}
    yield from _grown("flops", "layers", layers, plan, "7B config, 64 positions")
    positions = {number: partial(_costs, seven, number) for number in POSITIONS}
    yield from _grown("flops", "positions", positions, plan, "7B config")


def _costs(config: OlmoConfig, positions: int) -> dict[str, Any]:
    return count_costs(config, positions).to_dict()


def _cut(config: OlmoConfig, layers: int) -> OlmoConfig:
    return replace(config, num_hidden_layers=layers, layer_types=config.layer_types[:layers])


def _grown(
    what: str, axis: str, ways: dict[int, Callable[[], Any]], plan: Plan, model: str
) -> Iterable[Row]:
    times: Times = take_turns({str(size): way for size, way in ways.items()}, plan)
    seconds = [times.median(str(size)) for size in ways]
    fitted = _fit(f"time of {what}", axis, list(ways), [1e3 * s for s in seconds], "ms", model)
    yield replace(fitted, rounds=len(times.seconds[str(next(iter(ways)))]))


def _fit(
    what: str, axis: str, sizes: Iterable[int], values: list[float], unit: str, model: str
) -> Row:
    sizes = list(sizes)
    points = ", ".join(f"{size:,}: {value:,.3g}" for size, value in zip(sizes, values, strict=True))
    span = f"{sizes[0]:,} → {sizes[-1]:,} {axis}"
    return Row(
        f"{what}, {span}", model, exponent(sizes, values), "exponent", note=f"{unit} at {points}"
    )
