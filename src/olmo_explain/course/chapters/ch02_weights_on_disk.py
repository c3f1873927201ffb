"""Chapter 2: which bytes hold what, strides, and what a bit is worth."""

from functools import cache

import numpy as np

from olmo_explain.checkpoint import Checkpoint, read_config
from olmo_explain.course.exercise import Exercise

ROW, NAME = 100, "lm_head.weight"
R, C = 5, 17
BIG, TINY = read_config("olmo3-32b"), read_config("tiny")
ONE = 0b0_01111111_0000000


@cache
def _row() -> int:
    """The byte of the file at which the row begins."""
    place = Checkpoint("tiny").locate(NAME, rows=slice(ROW, ROW + 1))
    return place.byte_ranges[0][0]


def _start() -> int:
    return Checkpoint("tiny").tensor(NAME).start


def _header() -> int:
    """Bytes before the first number: the length and the header."""
    checkpoint = Checkpoint("tiny")
    return min(checkpoint.tensor(name).start for name in checkpoint.names)


@cache
def _bits() -> int:
    name = "model.layers.0.self_attn.q_proj.weight"
    return int(Checkpoint("tiny").read_bits(name)[R, C])


def _from_bits(bits: int) -> float:
    return float(np.array([bits << 16], dtype="uint32").view("float32")[0])


def _flipped(bit: int) -> float:
    return _from_bits(_bits() ^ 1 << bit)


def _step_above_one() -> float:
    return _from_bits(ONE + 1) - _from_bits(ONE)


EXERCISES = {
    "02.1": Exercise(
        question="the byte of `tiny`'s file at which row 100 of `lm_head.weight` begins",
        right=_row,
        wrong={
            "Counted from the end of the header, as `data_offsets` are. Counted from the start of "
            "the file, the 8 bytes and the header come first.": lambda: _row() - _header(),
            "That counts numbers. Each of them has two bytes.": lambda: (
                _start() + ROW * TINY.hidden_size
            ),
            "There begins *column* 100 of row 0. A row further on is a whole row of bytes further "
            "on.": lambda: _start() + ROW * 2,
            "That is the row before. Rows count from 0, so row 100 "
            "has a hundred before it.": lambda: _row() - TINY.hidden_size * 2,
            "There the tensor begins: row 0. A hundred rows come before row 100.": _start,
        },
        hint="Where the tensor begins in the file, and a hundred rows of two bytes a number on.",
        shows="One sum, and any row of any file is found without reading what is before it.",
    ),
    "02.2": Exercise(
        question="how many byte ranges hold one head's part of the 32B's `o_proj`, of how many "
        "bytes",
        right=lambda: (BIG.hidden_size, BIG.head_dim * 2),
        wrong={
            "That is a head of `q_proj`, whose part is whole rows in one piece. A head's part of "
            "`o_proj` is columns.": lambda: (1, BIG.head_dim * BIG.hidden_size * 2),
            "Rows and columns have changed places. Each *row* of `o_proj` holds some numbers of "
            "the head.": lambda: (BIG.head_dim, BIG.hidden_size * 2),
            "The right number of ranges, but of numbers: each has two bytes.": lambda: (
                BIG.hidden_size,
                BIG.head_dim,
            ),
            "The right number of ranges, but those are bits.": lambda: (
                BIG.hidden_size,
                BIG.head_dim * 16,
            ),
        },
        hint="A head's part of `o_proj` is `head_dim` columns: one range in each row.",
        shows="The same count of bytes as a head of `q_proj` has, in thousands of small pieces. "
        "That is why `Checkpoint` reads gaps too, where asking again would cost more.",
    ),
    "02.3": Exercise(
        question="the stride of `W[:, :32]`",
        right=lambda: (TINY.hidden_size, 1),
        wrong={
            "So it would be after a copy. A slice looks at the same storage: how many numbers lie "
            "between two of its rows?": lambda: (32, 1),
            "That is the stride of its transpose. The step to "
            "the next *row* comes first.": lambda: (1, TINY.hidden_size),
            "In bytes. PyTorch counts a stride in numbers.": lambda: (TINY.hidden_size * 2, 2),
        },
        hint="Nothing is copied, so a step to the next row is as long as it was in W.",
        shows="The slice is a view. Its rows are no longer next to each other: to read one after "
        "the other is to skip the rest of each row.",
    ),
    "02.4": Exercise(
        question="how far the next bfloat16 above 1.0 lies above it",
        right=_step_above_one,
        wrong={
            "That is the number itself. How far above 1.0 is it?": lambda: 1 + _step_above_one(),
            "That is the most by which rounding can miss, half a step. Count the bits of the "
            "mantissa again.": lambda: _step_above_one() / 2,
            "That is float16, with ten bits of mantissa. A bfloat16 gave three of them up for the "
            "exponent.": lambda: float(np.finfo("float16").eps),
            "That is float32. A bfloat16 is the upper half of "
            "it: seven bits of mantissa.": lambda: float(np.finfo("float32").eps),
        },
        hint="1.0 has exponent 127 and a mantissa of zeros. Which is the next pattern of bits?",
        shows="Seven bits of mantissa: from 1 up to 2 there is room for 2⁷ numbers, and no more.",
    ),
    "02.5": Exercise(
        question="a weight with the highest bit of its exponent flipped",
        right=lambda: _flipped(14),
        wrong={
            "That flips the sign, bit 15. The exponent begins below it.": lambda: _flipped(15),
            "That is the *lowest* bit of the exponent, which doubles "
            "or halves. Take the highest.": lambda: _flipped(7),
            "That is the highest bit of the mantissa. The exponent has "
            "the eight bits above it.": lambda: _flipped(6),
            "That is the weight as it was: nothing was flipped.": lambda: _from_bits(_bits()),
        },
        hint="Sixteen bits, counted from 0 at the right: mantissa 0 to 6, exponent 7 to 14, sign "
        "15. `bits ^ 1 << n` flips bit n.",
        shows="A small weight has become an enormous one. One damaged bit can ruin a model, and no "
        "shape tells.",
    ),
}
