"""How fast this machine can multiply and read, and which of the two holds an operation up.

A roofline has two lines. An operation that does few FLOPs for each byte waits for memory; one that
does many waits for the multipliers; they meet at the *ridge*. (Williams, Waterman and Patterson,
"Roofline", Communications of the ACM 52(4), 2009.)

>>> machine = Roofline("bfloat16", threads=2, flops_per_second=1e12, bytes_per_second=1e10)
>>> machine.ridge
100.0
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import cycle
from typing import Any, Literal

from olmo_explain.checkpoint import BYTES_PER_PARAMETER
from olmo_explain.costs.counting import Operation
from olmo_explain.doors import saying_what_is_missing
from olmo_explain.errors import UsageError
from olmo_explain.waiting import progress

Bound = Literal["compute", "memory"]

MATRIX = 2048  # rows and columns: large enough for full speed, 2·2048³ FLOPs a product
SMALLER = (128, 256, 512, 1024)
LONGEST_SECONDS = 1.0  # of one product: then it is measured on a smaller matrix
READ_BYTES = 2**28  # beyond what caches hold
REPEATS = 5
READS = 20  # each takes a fraction of a product's time
ROWS = (1, 4, 16, 64, 256, 1024)  # positions that go through one weight together


@dataclass(frozen=True)
class Placement:
    """An operation on a roofline. `seconds`: the least that it can take on this machine."""

    name: str
    intensity: float
    bound: Bound
    seconds: float


@dataclass(frozen=True)
class Roofline:
    """What one machine reaches in one dtype: FLOP/s in matrix products, bytes/s from memory."""

    dtype: str
    threads: int
    flops_per_second: float
    bytes_per_second: float

    @property
    def ridge(self) -> float:
        """FLOPs a byte at which multiplying takes as long as reading."""
        return self.flops_per_second / self.bytes_per_second

    def reachable(self, intensity: float) -> float:
        """The most FLOP/s for an operation of this arithmetic intensity (FLOPs a byte)."""
        return min(self.flops_per_second, intensity * self.bytes_per_second)

    def reaching(self, timed: Iterable["Timed"]) -> "Roofline":
        """The same machine, no slower than these products found it: a busy one varies."""
        pairs = [(it.flops_per_second, it.flops_per_second / it.intensity) for it in timed]
        return (
            replace(
                self,
                flops_per_second=max(self.flops_per_second, *(flops for flops, _ in pairs)),
                bytes_per_second=max(self.bytes_per_second, *(moved for _, moved in pairs)),
            )
            if pairs
            else self
        )

    def place(self, operation: Operation) -> Placement:
        """Where an operation lies, taking it alone: it reads its inputs and writes its output."""
        computing = operation.flops / self.flops_per_second
        moving = operation.bytes / self.bytes_per_second
        bound: Bound = "compute" if computing >= moving else "memory"
        return Placement(operation.name, operation.intensity, bound, max(computing, moving))

    def to_dict(self, operations: Iterable[Operation]) -> dict[str, Any]:
        """As `roofline` in `olmo-explain flops --roofline --json`."""
        places = [asdict(self.place(operation)) for operation in operations]
        return asdict(self) | {"ridge": self.ridge, "operations": places}


@dataclass(frozen=True)
class Timed:
    """A matrix product as it ran here: so many rows times one weight."""

    rows: int
    intensity: float
    flops_per_second: float


@saying_what_is_missing()
def time_products(dtype: str = "bfloat16", rows: Sequence[int] = ROWS) -> list[Timed]:
    """Products with a weight of 2048 × 2048, each of several repeats with a weight of its own.

    So the weight comes from memory, or from a cache as large as `READ_BYTES`, and not from the
    product before. As much memory as that, and a few seconds; ends early where a product is slow.
    """
    import torch

    kind, size = _torch_dtype(dtype), MATRIX
    a_weight = size * size * kind.itemsize
    weights = cycle(
        [torch.ones(size, size, dtype=kind) for _ in range(max(2, READ_BYTES // a_weight))]
    )
    timed: list[Timed] = []
    seconds, before = 0.0, 1
    for count in rows:
        if seconds * count / before > LONGEST_SECONDS:
            break
        x = torch.ones(count, size, dtype=kind)
        multiply = partial(torch.nn.functional.linear, x)
        seconds, before = (
            min(_seconds(partial(multiply, next(weights))) for _ in range(REPEATS + 1)),
            count,
        )
        flops, moved = 2 * count * size * size, a_weight + 2 * count * size * kind.itemsize
        timed.append(Timed(count, flops / moved, flops / seconds))
    return timed


@saying_what_is_missing()
def measure_roofline(dtype: str = "bfloat16") -> Roofline:
    """Measures this machine's CPU, in a few seconds and with 0.3 GB of memory.

    The best of several repeats counts: whatever else runs here can only slow a repeat down. The
    memory figure is for reading, as reading weights is what generation waits for.
    """
    import torch

    kind = _torch_dtype(dtype)
    sizes = [*(size for size in SMALLER if size < MATRIX), MATRIX]
    with progress("Measuring this machine", len(sizes) + 1) as advance:
        # Without instructions for a dtype a large product takes a minute, and a small one will do.
        for size in sizes:
            ones = torch.ones(size, size, dtype=kind)
            product = partial(torch.matmul, ones, torch.ones_like(ones))
            seconds = min(_seconds(product) for _ in range(2))  # the first one warms up
            advance(1)
            if 8 * seconds > LONGEST_SECONDS:
                break
        products = [_seconds(product) for _ in range(REPEATS)]
        advance(1)
        much = torch.ones(READ_BYTES // 4)
        reads = [_seconds(much.sum) for _ in range(READS)]
    return Roofline(
        dtype=dtype,
        threads=torch.get_num_threads(),
        flops_per_second=2 * size**3 / min(products),
        bytes_per_second=READ_BYTES / min(reads),
    )


def _torch_dtype(dtype: str) -> Any:
    if dtype not in BYTES_PER_PARAMETER:
        raise UsageError(f"Unknown dtype {dtype!r}", f"Choose {', '.join(BYTES_PER_PARAMETER)}")
    import torch

    return getattr(torch, dtype)


def _seconds(run: Callable[[], Any]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started
