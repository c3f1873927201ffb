"""What a reader may answer, in Python's own types, and whether two answers are the same. No torch.

A number may come as numpy's or torch's, a tuple as a list or a shape, a name as a dtype. Arrays and
tensors stay what they are until two of them have the same shape, as a huge one costs a copy.
"""

import math
from collections.abc import Iterable, Iterator, Sized
from functools import partial
from numbers import Real
from typing import Any

import numpy as np

CLOSE = 1e-3
"""How far a number that is not whole may be off, as a share of the right one."""
MOST = 10_000  # values of an answer that are looked at one by one


class NotComparable(Exception):
    """An answer of more values than anybody asks for, or of a kind that fails to show its own."""


def plain(answer: Any) -> Any:
    """The answer in Python's own types, as far as it has one. NotComparable for what has no end.

    >>> plain([np.int64(4), np.float32(0.5)])
    (4, 0.5)
    """
    try:
        return _plain(answer, iter(range(MOST)))
    except Exception as error:  # an answer can be anything, and its methods can raise anything
        raise NotComparable from error


def _plain(answer: Any, left: Iterator[int]) -> Any:
    if next(left, None) is None:
        raise NotComparable
    each = partial(_plain, left=left)
    if isinstance(answer, np.dtype) or type(answer).__name__ == "dtype":  # the latter: torch's
        return str(answer).removeprefix("torch.")
    if is_array(answer):
        if math.prod(answer.shape) != 1:
            return answer
        try:
            return answer.item()
        except RuntimeError:  # on the meta device there is no number to give
            return answer
    if isinstance(answer, np.generic):
        return answer.item()
    if isinstance(answer, str):
        return answer.strip(" \n`'\"")
    if isinstance(answer, set | frozenset):
        return frozenset(map(each, answer))
    if isinstance(answer, tuple | list | range | type({}.keys()) | type({}.values())):
        return tuple(map(each, answer))
    if isinstance(answer, Iterable) and not isinstance(answer, Sized):  # it may never end
        raise NotComparable
    return answer


def same(right: Any, answer: Any, tolerance: float | None = None) -> bool:
    """Whether a plain answer is the right one: a number, a name, a tuple, a set or an array.

    Whole numbers and names must be equal. Other numbers may be off by `tolerance` as
    a share of the right one, numbers of an array by that share of its largest; without a tolerance
    that is 1e-3 for a number, and nothing for an array.
    """
    if is_array(right):
        return is_array(answer) and _same_arrays(right, answer, tolerance)
    if is_array(answer):
        listed = isinstance(right, tuple | frozenset) and is_list(answer)
        if not listed or (isinstance(right, tuple) and len(answer) != len(right)):
            return False
        answer = plain(answer.tolist())
    match right:
        case tuple() if len(right) == 1 and not isinstance(answer, tuple):
            return same(right[0], answer, tolerance)
        case tuple():
            return (
                isinstance(answer, tuple)
                and len(answer) == len(right)
                and all(same(r, a, tolerance) for r, a in zip(right, answer, strict=True))
            )
        case _ if isinstance(answer, tuple) and len(answer) == 1 and is_scalar(right):
            return same(right, answer[0], tolerance)
        case int() | float():
            return is_number(answer) and _same_numbers(right, answer, tolerance)
        case str():
            return isinstance(answer, str) and answer.casefold() == right.casefold()
        case frozenset():
            return isinstance(answer, tuple | frozenset) and frozenset(answer) == right
    return type(answer) is type(right) and bool(answer == right)


def is_array(value: Any) -> bool:
    """A numpy array or a torch tensor, without a look at torch. A nested one has no shape."""
    if isinstance(value, np.ndarray):
        return True
    if type(value).__module__.partition(".")[0] != "torch" or not hasattr(value, "detach"):
        return False
    try:
        return all(type(size) is int for size in value.shape)
    except RuntimeError:
        return False


def is_list(array: Any) -> bool:
    """An array of one axis, with no more values than a list may have."""
    return len(array.shape) == 1 and array.shape[0] <= MOST


def is_number(value: Any) -> bool:
    """A real number; True and False are none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def is_scalar(value: Any) -> bool:
    return isinstance(value, Real | str)


def numbers(array: Any) -> np.ndarray:
    """An array's numbers in float64, wherever they are. Copies: first look at the shape."""
    if "complex" in str(array.dtype):
        raise TypeError("complex numbers have no place among real ones")
    if hasattr(array, "detach"):
        array = array.detach().cpu().double().numpy()
    return np.asarray(array, dtype=np.float64)


def close(a: float, b: float, tolerance: float = CLOSE) -> bool:
    try:
        return math.isclose(a, b, rel_tol=tolerance)
    except OverflowError:  # a whole number larger than any float
        return False


def show(value: Any) -> str:
    """An answer as a sentence names it.

    >>> show(7298011136), show((32, 128)), show(frozenset({"q_proj"}))
    ('7,298,011,136', '(32, 128)', 'q_proj')
    """
    if is_array(value):
        return f"a tensor of shape {tuple(value.shape)}"
    match value:
        case bool() | str():
            return str(value)
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.1f}" if 1e5 <= abs(value) < 1e15 else f"{value:.6g}"
        case tuple():
            items = (repr(v) if isinstance(v, int | str) else show(v) for v in value)
            return f"({', '.join(items)}{',' if len(value) == 1 else ''})"
        case frozenset():
            return ", ".join(sorted(map(show, value)))
    return str(value)


def _same_numbers(right: float, answer: float, tolerance: float | None) -> bool:
    if tolerance is None and isinstance(right, int):
        return answer == right
    if right == 0:
        return abs(answer) <= (tolerance or 0)
    return close(right, answer, CLOSE if tolerance is None else tolerance)


def _same_arrays(right: Any, answer: Any, tolerance: float | None) -> bool:
    if tuple(right.shape) != tuple(answer.shape):
        return False
    right, answer = numbers(right), numbers(answer)
    if tolerance is None:
        return np.array_equal(right, answer)
    return np.allclose(right, answer, rtol=0, atol=tolerance * np.abs(right).max(initial=0))
