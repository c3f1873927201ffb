"""The norms of every head, against one plain pass over the same bytes.

A plain pass adds up the bytes as 64-bit integers, in as many threads as head_norms takes, over
pages that are mapped already: what memory can give. Between it and the norms stand the page faults
of a fresh map, which whoever opens a file has to take, and the arithmetic: a bfloat16 is widened to
float32, squared and added up.
"""

import mmap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.frame import Plan, Row, Subject, Times, take_turns, tell
from benchmarks.one_head import checkpoint
from olmo_explain.checkpoint import (
    PROJECTIONS,
    Checkpoint,
    StoredTensor,
    head_norms,
    read_config,
    widen,
)
from olmo_explain.checkpoint.heads import THREADS
from olmo_explain.checkpoint.norms import BLOCK_NUMBERS

TITLE = "The norms of every head, against one pass over the same bytes in the page cache"
BLOCK = 2 * BLOCK_NUMBERS  # bytes of bfloat16, as head_norms takes them


def measure(plan: Plan) -> Subject:
    with checkpoint(plan) as (directory, name):
        tell(f"norms: {name}")
        return Subject("norms", TITLE, list(_rows(directory, name, plan)))


def _rows(directory: Path, name: str, plan: Plan) -> list[Row]:
    config, found = read_config(str(directory)), Checkpoint(str(directory))
    tensors = [
        found.tensor(f"model.layers.{layer}.self_attn.{projection}.weight")
        for layer in range(config.num_hidden_layers)
        for projection in PROJECTIONS
    ]
    size = sum(tensor.end - tensor.start for tensor in tensors)
    mapped = {shard: map_file(directory / shard) for shard in {t.shard for t in tensors}}
    walk = partial(over_tensors, tensors)
    times = take_turns(
        {
            "plain pass": lambda: walk(mapped.__getitem__, add_up),
            "plain pass, map made afresh": lambda: walk(fresh(directory, tensors), add_up),
            "widened to float32": lambda: walk(mapped.__getitem__, blockwise(widened)),
            "widened, squared, added up": lambda: walk(mapped.__getitem__, blockwise(squares)),
            "head_norms": lambda: head_norms(str(directory)),
        },
        plan,
    )
    return [*times.rows(name, "s"), *rates(times, name, size)]


def rates(times: Times, name: str, size: int) -> list[Row]:
    """The same as bytes a second, and as shares of the plain pass's rate."""
    base, rounds = "rate of a plain pass", len(times.seconds["plain pass"])
    plain = size / times.median("plain pass") / 1e9
    rows = [Row(base, name, plain, "GB/s", rounds=rounds, note=f"{size:,} bytes")]
    for way in list(times.seconds)[1:]:
        rate = size / times.median(way) / 1e9
        share = 1 / times.ratio(way, "plain pass")
        rows.append(Row(f"rate of {way}", name, rate, "GB/s", share, base, rounds))
    afresh = "plain pass, map made afresh"  # where head_norms begins too
    rate, share = size / times.median("head_norms") / 1e9, 1 / times.ratio("head_norms", afresh)
    what = "rate of head_norms, its map new"
    rows.append(Row(what, name, rate, "GB/s", share, f"rate of {afresh}", rounds))
    return rows


def over_tensors(
    tensors: list[StoredTensor],
    bytes_of: Callable[[str], np.ndarray],
    work: Callable[[np.ndarray], object],
) -> None:
    """Does the work on every tensor, dealt out over the threads."""

    def one(tensor: StoredTensor) -> None:
        work(bytes_of(tensor.shard)[tensor.start : tensor.end])

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(one, tensors))


def blockwise(work: Callable[[np.ndarray], object]) -> Callable[[np.ndarray], object]:
    """The same, on blocks that stay in cache where the work needs room of its own."""

    def on_blocks(data: np.ndarray) -> None:
        for first in range(0, len(data), BLOCK):
            work(data[first : first + BLOCK])

    return on_blocks


def add_up(data: np.ndarray) -> object:
    return data.view("<u8").sum()


def widened(block: np.ndarray) -> object:
    return widen(block.view("<u2"), "BF16")


def squares(block: np.ndarray) -> object:
    numbers = widen(block.view("<u2"), "BF16")
    return np.vdot(numbers, numbers)


def map_file(path: Path) -> np.ndarray:
    with path.open("rb") as file:
        return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)


def fresh(directory: Path, tensors: list[StoredTensor]) -> Callable[[str], np.ndarray]:
    maps = {shard: map_file(directory / shard) for shard in {t.shard for t in tensors}}
    return maps.__getitem__
