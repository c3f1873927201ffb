"""How large weights are: Frobenius norms of stored bits. No torch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from olmo_explain.checkpoint.safetensors import widen

if TYPE_CHECKING:  # only annotations need it, and it would double the time to import this
    from collections.abc import Sequence

    from jaxtyping import Float64, UInt

    from olmo_explain.checkpoint.safetensors import Bits

# A block of bfloat16 and half of it in float32 are 512 KiB each: they stay in a core's own cache,
# and are long enough that threads seldom wait for Python's lock.
BLOCK_NUMBERS = 2**18
TRUSTED = {"F32": 2.0**-100, "F64": 2.0**-968}  # 2²⁶ and 2⁵⁴ times the least normal number
PIECE = 2**12  # numbers: as long as a row is, few enough to be summed in float32
HALF, UPPER_HALF = np.uint32(16), np.uint32(0xFFFF0000)


def frobenius(bits: Bits, dtype: str) -> float:
    """Frobenius norm, the root of the sum of the squares, of numbers as `read_bits` gives them.

    >>> frobenius(np.array([[0x4040, 0x4080]], dtype="<u2"), "BF16")  # 3 and 4
    5.0
    """
    flat = bits.reshape(-1)
    whole = flat.size - flat.size % PIECE
    pieces = [flat[:whole].reshape(-1, PIECE), flat[whole:].reshape(1, -1)]
    squares = sum(_squares(piece, dtype).sum() for piece in pieces)
    (norm,) = _roots(np.array([squares]), [flat], dtype)
    return float(norm)


def norms_of_rows(bits: Bits, dtype: str, count: int) -> Float64[np.ndarray, " part"]:
    """Frobenius norms of a matrix, of each `count` rows together: a head's, in q, k and v."""
    # Taken as few long rows.
    long = bits.reshape(-1, _rows_at_once(bits.shape[1], count) * bits.shape[1])
    parts = list(bits.reshape(len(bits) // count, -1))
    return _roots(_squares(long, dtype).reshape(len(parts), -1).sum(axis=1), parts, dtype)


def norms_of_columns(bits: Bits, dtype: str, count: int) -> Float64[np.ndarray, " part"]:
    """The same of each `count` columns together: a head's, in o_proj, whose rows cross them all."""
    parts = np.split(bits, bits.shape[1] // count, axis=1)
    return _roots(_squares(bits, dtype, parts=len(parts)).sum(axis=0), parts, dtype)


def _roots(
    sums: Float64[np.ndarray, " part"], parts: Sequence[Bits], dtype: str
) -> Float64[np.ndarray, " part"]:
    """The roots of sums of squares of these parts, all of one size; where they cannot be trusted,
    the norms themselves.

    A square below the least normal number loses at most that much, and n squares n times as much.
    That is too little to be seen, less than a rounding, in a sum of n · TRUSTED or more. A sum that
    is less may be of small numbers, or of none; one that is infinite or NaN, of large ones.
    """
    trusted = TRUSTED["F64" if dtype == "F64" else "F32"] * parts[0].size
    roots = np.sqrt(sums)
    for part in map(int, np.flatnonzero(~((sums >= trusted) & (sums < np.inf)))):
        roots[part] = _scaled_norm(parts[part], dtype)
    return roots


def _scaled_norm(bits: Bits, dtype: str) -> float:
    """A norm where squares may be beyond all measure, at either end: numbers are scaled first."""
    flat = bits.reshape(-1)
    sums: list[tuple[float, int]] = []  # of a block, and the power of two that it was divided by
    for first in range(0, flat.size, BLOCK_NUMBERS):
        if (some := flat[first : first + BLOCK_NUMBERS]).any():
            numbers = widen(some, dtype).astype(np.float64)
            if not (largest := np.abs(numbers).max()):  # −0 has a bit, and no size
                continue
            exponent = int(np.frexp(largest)[1])
            scaled = np.ldexp(numbers, -exponent) if np.isfinite(largest) else largest
            sums.append((float(np.square(scaled).sum()), exponent))
    greatest = max((exponent for _, exponent in sums), default=0)
    whole = sum(float(np.ldexp(part, 2 * (exponent - greatest))) for part, exponent in sums)
    with np.errstate(over="ignore"):
        return float(np.ldexp(math.sqrt(whole), greatest))


def _squares(bits: Bits, dtype: str, parts: int = 1) -> Float64[np.ndarray, "row part"]:
    """Sum of squares of each of `parts` equal pieces of each row.

    A piece is summed in float32 (float64 for F64), pieces are to be added in float64. Works through
    blocks that stay in cache, on contiguous pieces: ten times the speed of a strided view.
    """
    if not bits.size:
        return np.zeros((1, parts))
    if dtype == "BF16" and bits.shape[1] % (2 * parts) == 0 and bits.flags.c_contiguous:
        return _squares_in_pairs(bits.view("<u4"), parts)
    return _squares_in_blocks(bits, dtype, parts)


def _squares_in_blocks(rows: Bits, dtype: str, parts: int) -> Float64[np.ndarray, "row part"]:
    squares = np.empty((len(rows), parts))
    block = _block(rows.shape[1])
    with np.errstate(over="ignore", invalid="ignore"):  # infinite weights have infinite norms
        for first in range(0, len(rows), block):
            numbers = widen(rows[first : first + block], dtype)
            pieces = numbers.reshape(len(numbers), parts, -1)
            squares[first : first + block] = np.vecdot(pieces, pieces)
    return squares


def _squares_in_pairs(
    pairs: UInt[np.ndarray, "row pair"], parts: int
) -> Float64[np.ndarray, "row part"]:
    """The same of BF16, two numbers at a time: half of the work of widening each of them alone.

    Two bfloat16 are one uint32, and a bfloat16 is the upper half of a float32: a mask completes the
    one, a shift the other.
    """
    count, width = pairs.shape
    block = min(count, _block(2 * width))
    scratch = np.empty((block, width), "<u4")
    squares = np.empty((2, count, parts), "<f4")
    with np.errstate(over="ignore", invalid="ignore"):
        for first in range(0, count, block):
            some = pairs[first : first + block]
            completed = scratch[: len(some)]
            pieces = completed.view("<f4").reshape(len(some), parts, -1)
            np.bitwise_and(some, UPPER_HALF, out=completed)
            np.vecdot(pieces, pieces, out=squares[0, first : first + block])
            np.left_shift(some, HALF, out=completed)
            np.vecdot(pieces, pieces, out=squares[1, first : first + block])
    return squares.sum(axis=0, dtype=np.float64)


def _block(width: int) -> int:
    """How many rows are worked on at a time."""
    return max(1, BLOCK_NUMBERS // max(width, 1))


def _rows_at_once(width: int, count: int) -> int:
    """How many of `count` rows are summed as one: the most, up to a block, that divide it."""
    return max(rows for rows in range(1, count + 1) if count % rows == 0 and rows <= _block(width))
