"""The frame of every benchmark: ways to do one thing, measured in turn, and rows that tell of them.

A ratio of two times is worth something only when both were taken under the same conditions. So the
ways take turns (A B C, B C A, …) within one process and one run; a row gives the median of its
times, and the median of its ratios to the first way's time in the same round.
"""

import gc
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import psutil

ROUNDS = 7  # at least
MOST_ROUNDS = 101

Way = Callable[[], Any]


@dataclass(frozen=True)
class Row:
    """One figure: `value` in `unit`, `ratio` to the row named `against`, measured in turn with it.

    `rounds`: how many times it was measured. `note`: what to know about it.
    """

    what: str
    model: str
    value: float
    unit: str
    ratio: float | None = None
    against: str | None = None
    rounds: int = 1
    note: str = ""


@dataclass(frozen=True)
class Subject:
    """One benchmark's rows, or in `skipped` why there are none."""

    name: str
    title: str
    rows: list[Row] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "rows": [asdict(row) for row in self.rows]}


@dataclass(frozen=True)
class Plan:
    """How this run measures. `quick`: smaller and fewer, to see that everything works.

    `seven_b`: a checkpoint of the 7B's size on disk; without it, one made of holes stands in.
    """

    quick: bool = False
    seven_b: Path | None = None
    html: Path | None = None

    @property
    def rounds(self) -> int:
        return 2 if self.quick else ROUNDS

    @property
    def seconds(self) -> float:
        """For one comparison, where more rounds than the least fit into it."""
        return 0.1 if self.quick else 6.0


@dataclass(frozen=True)
class Times:
    """Seconds of each way, round by round."""

    seconds: Mapping[str, Sequence[float]]

    def rows(self, model: str, unit: str = "ms") -> list[Row]:
        """A row a way, its ratio to the first one's."""
        names = list(self.seconds)
        scale = {"s": 1, "ms": 1e3, "µs": 1e6}[unit]
        return [
            Row(
                what=name,
                model=model,
                value=scale * statistics.median(self.seconds[name]),
                unit=unit,
                ratio=self.ratio(name, names[0]) if name != names[0] else None,
                against=names[0] if name != names[0] else None,
                rounds=len(self.seconds[name]),
            )
            for name in names
        ]

    def ratio(self, name: str, base: str) -> float:
        """The median of the ratios, each of two times of one round."""
        pairs = zip(self.seconds[name], self.seconds[base], strict=True)
        return statistics.median(one / other for one, other in pairs)

    def median(self, name: str) -> float:
        return statistics.median(self.seconds[name])


def take_turns(ways: Mapping[str, Way], plan: Plan) -> Times:
    """Measures each way once a round, in an order that turns, after one round that does not count.

    Python's garbage collector rests meanwhile, as in timeit, and works between two measurements: on
    what came since the first, for a look at all that torch made would empty the processor's caches.
    """
    names = list(ways)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for way in ways.values():
        way()
    with _collector_at_rest():
        began = time.perf_counter()
        number = 0
        while number < plan.rounds or (
            number < MOST_ROUNDS and time.perf_counter() - began < plan.seconds
        ):
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                gc.collect()
                start = time.perf_counter()
                ways[name]()
                seconds[name].append(time.perf_counter() - start)
            number += 1
    return Times(seconds)


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """p of the power law value ∝ size^p that fits best: the slope between their logarithms.

    >>> round(exponent([1, 2, 4], [3, 6, 12]), 6)
    1.0
    """
    return float(np.polyfit(np.log(sizes), np.log(np.maximum(values, 1e-12)), 1)[0])


def process(*words: str, **environment: str) -> Way:
    """A way that starts a process, and waits for its end. It must end well."""

    def run() -> None:
        subprocess.run(words, check=True, capture_output=True, env={**os.environ, **environment})

    return run


def python(*words: str) -> Way:
    return process(sys.executable, *words)


def tell(line: str) -> None:
    """Progress, on stderr."""
    print(f"bench: {line}", file=sys.stderr, flush=True)


def machine() -> dict[str, Any]:
    """What these figures were measured on, and when."""
    packages = ("torch", "transformers", "numpy", "safetensors", "olmo-explain")
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.release()}",
        "load_before": round(psutil.getloadavg()[0], 2),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in packages},
        },
    }


def _cpu() -> str:
    """The processor's name, as the system knows it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
