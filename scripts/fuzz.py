"""Looks for what breaks us, as long as one likes: `make fuzz SECONDS=600 SEED=7`.

Random configs, files, answers of servers, command lines and interrupts, in turn, each made from the
seed, its kind and its number alone: what is found can be seen again, with ONLY and CASE. Every case
has ten seconds and a gigabyte. The tests run a few hundred cases of the same generators; what this
finds becomes a test. Exits with 1 when it found something.
"""

import random
import resource
import signal
import sys
import time
import traceback
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

KINDS = ("configs", "headers", "answers", "commands", "interrupts")
CASE_SECONDS = 10
CASE_BYTES = 2**30
MOST_FAULTS = 20


class TooLong(BaseException):
    """A case that did not end. No Exception, so that nobody takes it for an answer."""


def main() -> None:
    wanted = _wanted()
    kinds = [wanted.only] if wanted.only else KINDS
    cases = {kind: import_module(f"support.fuzz.{kind}").case for kind in kinds}
    numbers = [wanted.case] if wanted.case is not None else count()
    said, faults, started = Counter(), 0, time.monotonic()
    for number in numbers:
        for kind, case in cases.items():
            faults += not _is_fine(kind, case, wanted.seed, number, said)
        if time.monotonic() - started > wanted.seconds or faults >= MOST_FAULTS:
            break
    for (kind, what), times in sorted(said.items()):
        print(f"{kind:10} {times:8,}  {what}")
    print(f"Seed {wanted.seed}: {sum(said.values()):,} cases, {faults} of them faults.")
    sys.exit(1 if faults else 0)


def _is_fine(kind: str, case: Callable, seed: int, number: int, said: Counter) -> bool:
    before = _peak()
    try:
        with _at_most(CASE_SECONDS):
            what = case(random.Random(f"{seed} {kind} {number}"))
        if (more := _peak() - before) > CASE_BYTES:
            raise MemoryError(f"took {more:,} bytes")
    except KeyboardInterrupt:
        raise
    except BaseException:
        said[kind, "fault"] += 1
        print(f"make fuzz SEED={seed} ONLY={kind} CASE={number}", file=sys.stderr)
        traceback.print_exc()
        return False
    said[kind, what] += 1
    return True


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    def end(*_: Any) -> None:
        raise TooLong(f"not done after {seconds} s")

    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _peak() -> int:
    """The most memory that this process has had so far."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _wanted() -> Namespace:
    parser = ArgumentParser(description=__doc__, prog="make fuzz")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=KINDS)
    parser.add_argument("--case", type=int)
    return parser.parse_args()


if __name__ == "__main__":
    main()
