"""How far two arrays of stored numbers are apart, by one pass over both. No torch.

>>> a = Stored(np.array([0x3F80, 0x4000, 0x4040], "<u2"), "BF16")  # 1, 2, 3
>>> b = Stored(np.array([0x3F80, 0x4000, 0x4080], "<u2"), "BF16")  # 1, 2, 4
>>> found = distance(a, b)
>>> found.equal, found.max_abs_diff, round(found.relative, 4), round(found.cosine, 4)
(0.6666666666666666, 1.0, 0.2673, 0.9915)
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from olmo_explain.checkpoint.heads import Stored
from olmo_explain.checkpoint.norms import HALF, TRUSTED, UPPER_HALF
from olmo_explain.checkpoint.safetensors import widen

if TYPE_CHECKING:  # only annotations need it, and it would double the time to import this
    from jaxtyping import Float, UInt

    from olmo_explain.checkpoint.safetensors import Bits

    Pieces = Float[np.ndarray, "piece number"]
    Room = UInt[np.ndarray, " half"]

# Two blocks of bfloat16, the float32 of half of each and their difference: 640 KiB, which stay in
# a core's own cache.
BLOCK_NUMBERS = 2**16
SPAN = 2**19  # bytes that are compared at a time
PIECE = 2**12  # numbers that are summed in float32


@dataclass(frozen=True)
class Distance:
    """Sums over numbers a of A and b of B; those of two parts add up to those of both together.

    `same`: how many have the same bits; None where the dtypes differ, and bits say nothing.
    """

    count: int = 0
    same: int | None = 0
    squares_a: float = 0.0
    squares_b: float = 0.0
    squares_apart: float = 0.0
    max_abs_diff: float = 0.0

    def __add__(self, other: Distance) -> Distance:
        known = self.same is not None and other.same is not None
        return Distance(
            self.count + other.count,
            self.same + other.same if known else None,  # type: ignore[operator]
            self.squares_a + other.squares_a,
            self.squares_b + other.squares_b,
            self.squares_apart + other.squares_apart,
            _larger(self.max_abs_diff, other.max_abs_diff),
        )

    @property
    def equal(self) -> float | None:
        """The share of numbers that have the same bits; 1 of none."""
        return None if self.same is None else self.same / self.count if self.count else 1.0

    @property
    def relative(self) -> float:
        """‖A−B‖ / ‖A‖: 0 where both are the same, infinite where A alone is zero."""
        if not self.squares_apart:
            return 0.0
        return _ratio(math.sqrt(self.squares_apart), math.sqrt(self.squares_a))

    @property
    def cosine(self) -> float:
        """⟨A, B⟩ / (‖A‖·‖B‖); NaN where one is zero. By their distance, which loses no digits."""
        if self.same == self.count and self.squares_a:
            return 1.0
        a, b = math.sqrt(self.squares_a), math.sqrt(self.squares_b)
        return 1 - _ratio(self.squares_apart - (a - b) ** 2, 2 * a * b) if a and b else math.nan


def have_same_bits(a: Bits, b: Bits) -> bool:
    """Whether two arrays of one shape and dtype hold the same bits, eight bytes at a time."""
    flat_a, flat_b = (it.reshape(-1).view("u1") for it in (a, b))
    for first in range(0, flat_a.size, SPAN):
        part_a, part_b = (it[first : first + SPAN] for it in (flat_a, flat_b))
        if part_a.size % 8 == 0:
            part_a, part_b = part_a.view("<u8"), part_b.view("<u8")
        if not np.array_equal(part_a, part_b):
            return False
    return True


def identical(count: int, is_zero: bool) -> Distance:
    """The distance of numbers that have the same bits, of which no more is known."""
    squares = 0.0 if is_zero else math.nan
    return Distance(count, count, squares, squares)


def distance(a: Stored, b: Stored) -> Distance:
    """The distance of two arrays of one shape, of any dtypes that are read.

    Sums of 4,096 products are float32 (float64 of F64), and added in float64; where that may lose
    or overflow, all of it is float64.
    """
    flat_a, flat_b = a.bits.reshape(-1), b.bits.reshape(-1)
    scratch = np.empty((3, BLOCK_NUMBERS // 2), "<u4")
    found = Distance(same=0 if a.dtype == b.dtype else None)
    for first in range(0, flat_a.size, BLOCK_NUMBERS):
        block = slice(first, first + BLOCK_NUMBERS)
        found += _of_block(Stored(flat_a[block], a.dtype), Stored(flat_b[block], b.dtype), scratch)
    return found


def _of_block(a: Stored, b: Stored, scratch: UInt[np.ndarray, "3 half"]) -> Distance:
    count = a.bits.size
    same = int(np.count_nonzero(a.bits == b.bits)) if a.dtype == b.dtype else None
    squares_a = squares_b = squares_apart = largest = 0.0
    room_a, room_b, room = scratch if a.dtype == b.dtype == "BF16" else (None, None, None)
    with np.errstate(over="ignore", invalid="ignore"):
        if same == count:
            if not a.bits.any():
                return Distance(count, same)
            squares_a = squares_b = sum(_dot(p) for p in _pieces(a, room_a))
            to_trust = [squares_a]
        else:
            for p, q in zip(_pieces(a, room_a), _pieces(b, room_b), strict=True):
                apart = np.subtract(p, q, out=_fitting(room, p))
                squares_a += _dot(p)
                squares_b += _dot(q)
                squares_apart += _dot(apart)
                largest = max(largest, float(apart.max()), -float(apart.min()))
            to_trust = [squares_a, squares_b, squares_apart]
    least = TRUSTED["F64" if "F64" in (a.dtype, b.dtype) else "F32"] * count
    if not all(least <= squares < math.inf for squares in to_trust):
        return _in_float64(a, b, same)
    return Distance(count, same, squares_a, squares_b, squares_apart, largest)


def _pieces(stored: Stored, room: Room | None) -> Iterator[Pieces]:
    """The numbers, some thousand in a row. Where there is room: those at odd places, and then, in
    the same room, those at even ones.

    As `norms` widens bfloat16: two of them are one uint32, of which a mask leaves the one and a
    shift the other.
    """
    bits, dtype = stored
    if room is not None and bits.size % (2 * PIECE) == 0:
        twos, out = bits.view("<u4"), room[: bits.size // 2]
        for widen_half, by in ((np.bitwise_and, UPPER_HALF), (np.left_shift, HALF)):
            yield widen_half(twos, by, out=out).view("<f4").reshape(-1, PIECE)
    else:
        yield widen(bits, dtype).reshape(-1, PIECE if bits.size % PIECE == 0 else bits.size)


def _fitting(room: Room | None, pieces: Pieces) -> Pieces | None:
    if room is None or pieces.size > room.size:
        return None
    return room[: pieces.size].view("<f4").reshape(pieces.shape)


def _dot(pieces: Pieces) -> float:
    return float(np.vecdot(pieces, pieces).sum(dtype=np.float64))


def _in_float64(a: Stored, b: Stored, same: int | None) -> Distance:
    """The same of numbers whose squares float32 does not hold; equal bits are no distance apart,
    though the difference of two infinities is no number."""
    p, q = (widen(*it).astype(np.float64) for it in (a, b))
    with np.errstate(all="ignore"):
        apart = p - q
        if same is not None:
            apart[a.bits == b.bits] = 0.0
    squares_a, squares_b, squares_apart = (float(np.square(it).sum()) for it in (p, q, apart))
    largest = float(np.abs(apart).max(initial=0.0))
    return Distance(p.size, same, squares_a, squares_b, squares_apart, largest)


def _larger(one: float, other: float) -> float:
    """The larger one; NaN where either is."""
    return one if one != one or one >= other else other


def _ratio(part: float, whole: float) -> float:
    """NaN where it has no meaning, infinite where only `whole` is 0."""
    if not (math.isfinite(part) and math.isfinite(whole)):
        return math.nan
    return part / whole if whole else math.inf
