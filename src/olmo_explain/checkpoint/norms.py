"""How large weights are: Frobenius norms and sums of squares of stored bits. No torch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from olmo_explain.checkpoint.safetensors import widen

if TYPE_CHECKING:  # only annotations need it, and it would double the time to import this
    from jaxtyping import Float64, UInt

    from olmo_explain.checkpoint.safetensors import Bits

# A block of bfloat16 and half of it in float32 are 512 KiB each: they stay in a core's own cache,
# and are long enough that threads seldom wait for Python's lock.
BLOCK_NUMBERS = 2**18
HALF, UPPER_HALF = np.uint32(16), np.uint32(0xFFFF0000)


def frobenius(bits: Bits, dtype: str) -> float:
    """Frobenius norm, the root of the sum of the squares, of numbers as `read_bits` gives them.

    >>> frobenius(np.array([[0x4040, 0x4080]], dtype="<u2"), "BF16")  # 3 and 4
    5.0
    """
    return math.sqrt(_squares(bits, dtype).sum())


def squares_of_rows(bits: Bits, dtype: str, count: int) -> Float64[np.ndarray, " part"]:
    """Sums of squares of a matrix, of each `count` rows together: a head's, in q, k and v."""
    # Taken as few long rows.
    long = bits.reshape(-1, _rows_at_once(bits.shape[1], count) * bits.shape[1])
    return _squares(long, dtype).reshape(len(bits) // count, -1).sum(axis=1)


def squares_of_columns(bits: Bits, dtype: str, count: int) -> Float64[np.ndarray, " part"]:
    """The same of each `count` columns together: a head's, in o_proj, whose rows cross them all."""
    return _squares(bits, dtype, parts=bits.shape[1] // count).sum(axis=0)


def _squares(bits: Bits, dtype: str, parts: int = 1) -> Float64[np.ndarray, "row part"]:
    """Sum of squares of each of `parts` equal pieces of each row.

    A piece is summed in float32 (float64 for F64), pieces are to be added in float64. Works through
    blocks that stay in cache, on contiguous pieces: ten times the speed of a strided view.
    """
    if not bits.size:
        return np.zeros((1, parts))
    rows = bits.reshape(len(bits), -1) if bits.ndim else bits.reshape(1, 1)
    if dtype == "BF16" and rows.shape[1] % (2 * parts) == 0 and rows.flags.c_contiguous:
        squares = _squares_in_pairs(rows.view("<u4"), parts)
    else:
        squares = _squares_in_blocks(rows, dtype, parts)
    if not np.isfinite(squares).all():  # numbers near float32's largest, or infinite ones
        squares = _squares_in_blocks(rows, dtype, parts, np.float64)
    return squares


def _squares_in_blocks(
    rows: Bits, dtype: str, parts: int, summed_in: type | None = None
) -> Float64[np.ndarray, "row part"]:
    squares = np.empty((len(rows), parts))
    block = _block(rows.shape[1])
    with np.errstate(over="ignore", invalid="ignore"):  # infinite weights have infinite norms
        for first in range(0, len(rows), block):
            numbers = widen(rows[first : first + block], dtype)
            if summed_in:
                numbers = numbers.astype(summed_in)
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
