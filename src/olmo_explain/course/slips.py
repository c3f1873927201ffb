"""Slips that happen in any exercise: the unit, the factor of two, the order, the type.

Each is looked for when an answer is neither right nor one of the exercise's own misconceptions.
"""

import math
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import numpy as np

from olmo_explain.course.answers import (
    close,
    is_array,
    is_list,
    is_number,
    is_scalar,
    numbers,
    plain,
    same,
)

SAYS = {
    "infinite": "That is no finite number. Was something divided by zero, or taken from `-inf`?",
    "sign": "The size is right, the sign is not.",
    "by one": "Off by one. Count from 0, or an end too many or too few?",
    "rounded count": "Rounded, and this is a count: answer with the computed number.",
    "near a count": "Close, but this is a count. Which few are left out, or counted twice?",
    "upside down": "Upside down: divide the other way round.",
    "rounded": "Close, but rounded too far: answer with the computed number.",
    "near": "Near, but not it. Did you take other rows, heads or positions, or leave a term out?",
    "order": "The right values, in another order.",
    "size 1": "Right but for an axis of size 1. Is the batch an axis here?",
    "axes": "As many numbers, on other axes. Which axes are kept apart?",
    "length": "How many values belong to it? Not {}.",
    "values": "In part. Of {} values, not right yet: number {}.",
    "extra": "In part. What does not belong to it: {}.",
    "more": "In part: there is more of it ({}).",
}
"""Of numbers, tuples and sets: what is typed into a page can be wrong in these ways."""

Factor = tuple[float, str]  # and why


def _said(*factors: Factor) -> list[Factor]:
    """By what an answer can be too large or too small, and what is said of it."""
    return [
        (by, f"Too {word}, by a factor of {factor:,.5g}. {why}".rstrip())
        for factor, why in factors
        for by, word in ((factor, "large"), (1 / factor, "small"))
    ]


_UNITS: list[Factor] = [
    (100, "A share of one half is 0.5, and 50 in per cent."),
    *((base**power, "Which unit is asked for: one, or thousands, millions, billions of it?")
      for base in (1000, 1024) for power in (1, 2, 3)),
]  # fmt: skip
FACTORS = {
    "counts": _said(  # which a whole number answers
        (2, "One multiply-accumulate is two FLOPs, and things come in pairs, as keys and values."),
        (4, "In one layer of four attention is full."),
        *_UNITS,
    ),
    "bytes": _said(  # where the question speaks of them: any ratio is near some power of 1.024
        (2, "A number in bfloat16 has two bytes, and things come in pairs, as keys and values."),
        (4, "A float32 has four bytes, and in one layer of four attention is full."),
        *_UNITS,
        (8, "A byte has eight bits."),
        (1024 / 1000, "A kB is 1000 bytes, a KiB is 1024."),
        ((1024 / 1000) ** 2, "A MB is 1000² bytes, a MiB is 1024²."),
        ((1024 / 1000) ** 3, "A GB is 1000³ bytes, a GiB is 1024³."),
    ),
    "ratios": _said((2, ""), (4, ""), *_UNITS),
}
BYTES = re.compile(r"\b(bytes?|[kKMG]i?B)\b")
EXACT = 1e-9  # a factor of a whole number is just that factor
NEAR = 0.05


def find_slip(right: Any, answer: Any, tolerance: float | None, asked: str) -> str | None:
    """One sentence or two on what went wrong, or None. Both answers are plain (`answers.plain`).

    `asked` names the question in a few words. Never says the right answer.
    """
    return next(_slips(right, answer, tolerance, asked), None)


def _slips(right: Any, answer: Any, tolerance: float | None, asked: str) -> Iterator[str]:
    if answer is None:
        yield "That is None. `print` gives nothing back: answer with the value itself."
    if callable(answer) and isinstance(right, str):
        yield "That is the thing itself. Answer with its name, in quotes."
    if callable(answer) and not is_array(answer):
        yield "That is a function or a class. Call it, with `()`, and answer with what it gives."
    if isinstance(answer, str) and not isinstance(right, str) and is_scalar(right):
        yield f"That is text, in quotes. {_kind(right)} is asked for: {asked}."
    if isinstance(answer, bool):
        yield f"That is {answer}. {_kind(right)} is asked for: {asked}."
    if is_array(answer) and isinstance(right, tuple) and is_list(answer):
        answer = plain(answer.tolist())
    if is_array(answer) and not is_array(right):
        what = "its `.shape`, if a shape is asked for" if isinstance(right, tuple) else "that"
        yield f"That is a whole tensor. {_kind(right)} is asked for ({asked}): answer with {what}."
    if is_array(right):
        yield from _in_arrays(right, answer, tolerance, asked)
    elif is_number(right) and is_number(answer):
        yield from _in_numbers(right, answer, asked)
    elif isinstance(right, tuple) and isinstance(answer, tuple):
        yield from _in_tuples(right, answer, tolerance)
    elif isinstance(right, frozenset) and isinstance(answer, tuple | frozenset | str):
        yield from _in_sets(right, answer)
    elif type(right) is not type(answer):
        yield f"That is {_given(answer)}. {_kind(right)} is asked for: {asked}."


def cannot_compare(right: Any, asked: str) -> str:
    """The same of an answer that is not plain."""
    return f"That is of more values than can be compared. {_kind(right)} is asked for: {asked}."


def _in_numbers(right: float, answer: float, asked: str) -> Iterator[str]:
    if not _finite(answer):
        yield SAYS["infinite"]
        return
    exact = EXACT if isinstance(right, int) else 1e-3
    if right and close(answer, -right, exact):
        yield SAYS["sign"]
    if abs(right) > 2 and abs(answer - right) == 1:
        yield SAYS["by one"]
    if isinstance(right, int) and _rounded_count(right, answer):
        yield SAYS["rounded count"]
    if isinstance(right, int) and close(answer, right, 1e-3):
        yield SAYS["near a count"]
    if right and close(answer * right, 1, exact):
        yield SAYS["upside down"]
    for factor, said in FACTORS[factors_of(right, asked)]:
        if right and close(answer, right * factor, exact):
            yield said
    if isinstance(right, float) and close(answer, right, NEAR):
        if _rounded(right, answer):
            yield SAYS["rounded"]
        yield SAYS["near"]


def factors_of(right: float, asked: str) -> str:
    """Which of `FACTORS` an answer may be off by."""
    if BYTES.search(asked):
        return "bytes"
    few = abs(right) < 10  # a layer, a head: no product, in which a two is forgotten
    return "ratios" if few or not isinstance(right, int) else "counts"


def _rounded(right: float, answer: float) -> bool:
    """Whether the answer is the right one to as many digits as it has."""
    _, _, exponent = Decimal(repr(float(answer))).normalize().as_tuple()
    return round(right, -int(exponent)) == answer


def _rounded_count(right: int, answer: float) -> bool:
    """Whether the answer is a large count to its first two, three or four digits."""
    return right > 10**5 and any(float(f"{right:.{n}g}") == answer for n in (2, 3, 4))


def _in_tuples(right: tuple, answer: tuple, tolerance: float | None) -> Iterator[str]:
    if same(_ordered(right), _ordered(answer), tolerance):
        yield SAYS["order"]
    is_shape = all(isinstance(size, int) for size in (*right, *answer))
    if is_shape and [s for s in answer if s != 1] == [s for s in right if s != 1]:
        yield SAYS["size 1"]
    if is_shape and len(answer) != len(right) and math.prod(answer) == math.prod(right):
        yield SAYS["axes"]
    if len(answer) != len(right):
        yield SAYS["length"].format(len(answer))
        return
    wrong = [
        str(at)
        for at, pair in enumerate(zip(right, answer, strict=True), start=1)
        if not same(*pair, tolerance)
    ]
    if len(wrong) < len(right):
        yield SAYS["values"].format(len(right), ", ".join(wrong))


def _ordered(values: tuple) -> tuple:
    """By size, names after numbers."""
    return tuple(sorted(values, key=lambda v: (0, v, "") if is_number(v) else (1, 0, str(v))))


def _in_sets(right: frozenset, answer: tuple | frozenset | str) -> Iterator[str]:
    given = frozenset((answer,)) if isinstance(answer, str) else frozenset(answer)
    if not given & right:
        return
    if extra := sorted(map(str, given - right)):
        yield SAYS["extra"].format(", ".join(extra))
    yield SAYS["more"].format(len(right - given))


def _in_arrays(right: Any, answer: Any, tolerance: float | None, asked: str) -> Iterator[str]:
    if not is_array(answer):
        yield f"A tensor is asked for: {asked}."
        return
    shapes = tuple(right.shape), tuple(answer.shape)
    if math.prod(shapes[0]) != math.prod(shapes[1]):
        yield f"Your tensor has shape {shapes[1]}, and another one is asked for: {asked}."
        return
    if getattr(answer, "is_meta", False):
        yield "That tensor is on the meta device: it has a shape and no numbers."
        return
    expected, given = numbers(right), numbers(answer)
    allowed = (tolerance or 0) * np.abs(expected).max(initial=0)
    if not np.isfinite(given).all() and np.isfinite(expected).all():
        yield "Some of its numbers are infinite, or no numbers at all."
        return
    if expected.ndim > 1 and _near(given, np.swapaxes(expected, -1, -2), allowed):
        yield "Transposed: rows and columns have changed places."
    if shapes[0] != shapes[1] and _near(given.ravel(), expected.ravel(), allowed):
        yield f"The right numbers, but of shape {shapes[1]}."
    if shapes[0] != shapes[1]:
        yield f"Your tensor has shape {shapes[1]}, and another one is asked for: {asked}."
        return
    if _near(given, -expected, allowed):
        yield "The sizes are right, the sign is not."
    if _near(given, 2 * expected, 2 * allowed) or _near(2 * given, expected, allowed):
        yield "Off by a factor of two, everywhere."
    off = np.abs(given - expected) > allowed
    if not off.all():
        yield f"The right shape, and {off.sum():,} of {off.size:,} numbers are not right yet."


def _near(given: np.ndarray, expected: np.ndarray, allowed: float) -> bool:
    return given.shape == expected.shape and np.allclose(given, expected, rtol=1e-6, atol=allowed)


def _finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:
        return True


def _kind(right: Any) -> str:
    """What is asked for, said without saying it."""
    match right:
        case _ if is_array(right):
            return "A tensor"
        case int():
            return "A whole number"
        case float():
            return "A number"
        case str():
            return "A name, in quotes,"
        case frozenset():
            return "A set"
    return "A tuple of values"


def _given(answer: Any) -> str:
    match answer:
        case str():
            return "text"
        case int():
            return "a whole number"
        case float():
            return "a number"
        case tuple():
            return "a list or tuple"
        case frozenset():
            return "a set"
    return f"of type `{type(answer).__name__}`"
