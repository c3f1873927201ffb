"""What differs between two checkpoints: every tensor in blocks, or one head by its bytes. No torch.

>>> found = diff("tiny", "tiny")
>>> len(found.tensors), found.ok
(91, True)
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from threading import Event
from typing import Any

from olmo_explain.checkpoint.distances import Distance, distance, have_same_bits, identical
from olmo_explain.checkpoint.header import StoredTensor
from olmo_explain.checkpoint.heads import THREADS, Stored, read_slices
from olmo_explain.checkpoint.safetensors import BITS, Checkpoint
from olmo_explain.checkpoint.source import ModelLike
from olmo_explain.errors import CheckpointError, UsageError
from olmo_explain.waiting import Advance, progress
from olmo_explain.words import shape

BLOCK_BYTES = 2**23  # of either checkpoint, that a thread looks at: it has these and no more


@dataclass(frozen=True)
class TensorDiff:
    """What a tensor A and a tensor B of one name and shape have in common.

    `equal`: the share of numbers with the same bits, None where the dtypes differ. `max_abs_diff`:
    how far the two numbers are apart that are farthest apart. `relative`: ‖A − B‖ / ‖A‖. `cosine`:
    ⟨A, B⟩ / (‖A‖·‖B‖), NaN where one of them is zero. `dtypes`: A's and B's. The numbers are
    compared in any case: all are exact in float32, or in float64.
    """

    name: str
    shape: tuple[int, ...]
    dtypes: tuple[str, str]
    equal: float | None
    max_abs_diff: float
    relative: float
    cosine: float

    def to_dict(self) -> dict[str, Any]:
        """As `olmo-explain diff --json` prints it, with `dtypes` only where they differ."""
        same = {"dtypes"} if len(set(self.dtypes)) == 1 else set()
        return {name: value for name, value in vars(self).items() if name not in same}


@dataclass(frozen=True)
class Diff:
    """Two checkpoints compared, tensor by tensor.

    `skipped`: tensors of both that cannot be compared, each with the reason. `bytes_fetched`: of
    both, without the `header_bytes`; on this machine, what was looked at twice counts twice.
    """

    a: str
    b: str
    tensors: list[TensorDiff]
    only_in_a: list[str]
    only_in_b: list[str]
    skipped: dict[str, str]
    bytes_fetched: int
    header_bytes: int

    @property
    def ok(self) -> bool:
        """Whether both hold the same tensors with the same bits."""
        apart = self.only_in_a or self.only_in_b or self.skipped
        return not apart and all(tensor.equal == 1 for tensor in self.tensors)

    def to_dict(self) -> dict[str, Any]:
        """As `olmo-explain diff --json` prints it."""
        return {
            "a": self.a,
            "b": self.b,
            "tensors": [tensor.to_dict() for tensor in self.tensors],
            "only_in_a": self.only_in_a,
            "only_in_b": self.only_in_b,
            "skipped": [{"name": name, "why": why} for name, why in self.skipped.items()],
            "bytes_fetched": self.bytes_fetched,
            "header_bytes": self.header_bytes,
            "ok": self.ok,
        }


@dataclass(frozen=True)
class HeadDiff:
    """One head of two checkpoints compared: its slices by projection."""

    a: str
    b: str
    layer: int
    head: int
    slices: dict[str, TensorDiff]
    bytes_fetched: int
    header_bytes: int

    @property
    def ok(self) -> bool:
        """Whether all slices have the same bits."""
        return all(part.equal == 1 for part in self.slices.values())

    def to_dict(self) -> dict[str, Any]:
        """As `olmo-explain diff --layer L --head H --json` prints it."""
        slices = {name: part.to_dict() for name, part in self.slices.items()}
        return {**vars(self), "slices": slices, "ok": self.ok}


def diff(
    a: ModelLike | Checkpoint,
    b: ModelLike | Checkpoint,
    layer: int | None = None,
    head: int | None = None,
) -> Diff | HeadDiff:
    """How two checkpoints differ, tensor by tensor; of one head, if `layer` and `head` say which.

    Any two MODELs, such as `owner/name@step1000` and `owner/name@main`. Numbers are compared in
    blocks of 8 MiB, so that neither checkpoint has to fit into memory; of one head its slices alone
    are read, from either. Tensors of different shapes, or of a dtype that is not read, are not
    compared and said in `skipped`. Shows its progress on stderr when that takes long and a terminal
    is there to see it. CheckpointError where there is nothing to compare; OutOfRange where one does
    not have the head.

    >>> found = diff("tiny", "tiny", layer=5, head=1)
    >>> found.slices["q_proj"].equal, found.bytes_fetched
    (1.0, 65536)
    """
    first, second = (it if isinstance(it, Checkpoint) else Checkpoint(it) for it in (a, b))
    if (layer is None) != (head is None):
        raise UsageError("Which head is not clear", "Give both layer and head, or neither")
    if layer is not None and head is not None:
        return _diff_head(first, second, layer, head)
    return _diff_tensors(first, second)


def _diff_head(a: Checkpoint, b: Checkpoint, layer: int, head: int) -> HeadDiff:
    before = _fetched(a, b)
    (of_a, bits_a), (of_b, bits_b) = (read_slices(it, layer, head) for it in (a, b))
    slices = {}
    for projection, part in of_a.slices.items():
        pair = bits_a[projection], bits_b[projection]
        if part.shape != of_b.slices[projection].shape:
            shapes = shape(part.shape), shape(of_b.slices[projection].shape)
            raise CheckpointError(
                f"This head's slice of {projection} is {shapes[0]} in {a.source.name}, and "
                f"{shapes[1]} in {b.source.name}",
                "Compare models of one shape",
            )
        slices[projection] = _told(part.tensor, part.shape, *pair, distance(*pair))
    for checkpoint in (a, b):
        checkpoint.check_unchanged()
    names = a.source.name, b.source.name
    return HeadDiff(*names, layer, head, slices, _fetched(a, b) - before, _of_headers(a, b))


def _diff_tensors(a: Checkpoint, b: Checkpoint) -> Diff:
    before = _fetched(a, b)
    in_both = [name for name in a.names if name in b.weight_map]
    pairs = [(a.tensor(name), b.tensor(name)) for name in in_both]
    skipped = {of_a.name: why for of_a, of_b in pairs if (why := _why_not(of_a, of_b))}
    alike = [pair for pair in pairs if pair[0].name not in skipped]
    if not alike:
        raise CheckpointError(
            f"{a.source.name} and {b.source.name} have no tensor of the same name and shape",
            "Compare two checkpoints of one model",
        )
    # From elsewhere bytes come one request after another, as a polite reader asks for them.
    threads = THREADS if a.is_local and b.is_local else 1
    stop = Event()
    with (
        ThreadPoolExecutor(threads) as pool,
        progress("both checkpoints", sum(it.nbytes for it in chain(*alike)), "bytes") as advance,
    ):
        compare = partial(_compare, a, b, advance=advance, stop=stop)
        try:
            found = list(pool.map(compare, alike))
        finally:  # on Ctrl-C the rest is not begun
            stop.set()
    return Diff(
        a.source.name,
        b.source.name,
        [_told(it[0].name, it[0].shape, *it, its) for it, its in zip(alike, found, strict=True)],
        [name for name in a.names if name not in b.weight_map],
        [name for name in b.names if name not in a.weight_map],
        skipped,
        _fetched(a, b) - before,
        _of_headers(a, b),
    )


def _compare(
    a: Checkpoint,
    b: Checkpoint,
    pair: tuple[StoredTensor, StoredTensor],
    advance: Advance,
    stop: Event,
) -> Distance:
    """The distance of a tensor in both, by blocks. On this machine they are only compared at first,
    at the speed of memory: where all bits are the same, no more has to be known."""
    name, dtypes = pair[0].name, [it.dtype for it in pair]
    blocks, told = list(_rows(*pair)), 0
    if a.is_local and b.is_local and dtypes[0] == dtypes[1]:
        is_zero = True
        for rows in blocks:
            with a.borrow(name, rows) as bits_a, b.borrow(name, rows) as bits_b:
                if stop.is_set() or not have_same_bits(bits_a, bits_b):
                    break
                is_zero = is_zero and not bits_a.any()
                advance(bits_a.nbytes + bits_b.nbytes)
            told += 1
        else:
            return identical(math.prod(pair[0].shape), is_zero)
    found = Distance(same=0 if dtypes[0] == dtypes[1] else None)
    for number, rows in enumerate(blocks):
        if stop.is_set():
            break
        with a.borrow(name, rows) as bits_a, b.borrow(name, rows) as bits_b:
            found += distance(Stored(bits_a, dtypes[0]), Stored(bits_b, dtypes[1]))
            if number >= told:
                advance(bits_a.nbytes + bits_b.nbytes)
    return found


def _fetched(a: Checkpoint, b: Checkpoint) -> int:
    return sum(it.bytes_fetched for it in {a, b})


def _of_headers(a: Checkpoint, b: Checkpoint) -> int:
    return sum(it.header_bytes for it in {a, b})


def _told(
    name: str,
    shape: tuple[int, ...],
    a: StoredTensor | Stored,
    b: StoredTensor | Stored,
    found: Distance,
) -> TensorDiff:
    numbers = found.equal, found.max_abs_diff, found.relative, found.cosine
    return TensorDiff(name, shape, (a.dtype, b.dtype), *numbers)


def _why_not(a: StoredTensor, b: StoredTensor) -> str | None:
    """Why two tensors of one name are not compared."""
    if a.shape != b.shape:
        return f"{shape(a.shape)} in the first, {shape(b.shape)} in the second"
    unread = [dtype for dtype in dict.fromkeys((a.dtype, b.dtype)) if dtype not in BITS]
    return f"{' and '.join(unread)}, which is not read here" if unread else None


def _rows(a: StoredTensor, b: StoredTensor) -> Iterator[slice | None]:
    """The rows of a tensor, as many at a time as a block holds."""
    if not a.shape or not a.nbytes:
        yield None
        return
    step = max(1, BLOCK_BYTES * a.shape[0] // max(a.nbytes, b.nbytes))
    for first in range(0, a.shape[0], step):
        yield slice(first, min(first + step, a.shape[0]))
