"""Chapter 2: which bytes hold what, strides, and what a bit is worth."""

from functools import cache

import numpy as np

from olmo_explain.checkpoint import Checkpoint, read_config
from olmo_explain.course.exercise import Exercise

NAME = "model.layers.0.self_attn.q_proj.weight"
R, C = 5, 17
WIDTH = read_config("tiny").hidden_size
ONE = 0b0_01111111_0000000


@cache
def _start() -> int:
    """The byte of the file at which the tensor begins."""
    return Checkpoint("tiny").tensor(NAME).start


@cache
def _header() -> int:
    """Bytes before the first number: the length and the header."""
    checkpoint = Checkpoint("tiny")
    return min(checkpoint.tensor(name).start for name in checkpoint.names)


def _place() -> int:
    return _start() + (R * WIDTH + C) * 2


@cache
def _bits() -> int:
    return int(Checkpoint("tiny").read_bits(NAME)[R, C])


def _from_bits(bits: int) -> float:
    return float(np.array([bits << 16], dtype="uint32").view("float32")[0])


def _flipped(bit: int) -> float:
    return _from_bits(_bits() ^ 1 << bit)


def _step_above_one() -> float:
    return _from_bits(ONE + 1) - _from_bits(ONE)


EXERCISES = {
    "02.1": Exercise(
        question="the byte of `tiny`'s file at which row 5, column 17 of `q_proj` stands",
        right=_place,
        wrong={
            "Counted from the end of the header, as `data_offsets` are. Counted from the start of "
            "the file, the 8 bytes and the header come first.": lambda: _place() - _header(),
            "That counts numbers. Each of them has two bytes.": lambda: _start() + R * WIDTH + C,
            "Row and column have changed places. Whole *rows* come before it.": lambda: (
                _start() + (C * WIDTH + R) * 2
            ),
            "There begins its row. It has numbers before it in the row.": lambda: (
                _start() + R * WIDTH * 2
            ),
            "There the tensor begins: row 0, column 0.": _start,
        },
        hint="Where the tensor begins, and on by five rows and 17 numbers, of two bytes each.",
        shows="One sum, and any number of any file is found without reading what is before it.",
    ),
    "02.2": Exercise(
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
    "02.3": Exercise(
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
