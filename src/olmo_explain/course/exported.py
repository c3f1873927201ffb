"""Exercises as a page answers them, where no Python runs: book/_static/answers.js reads this.

A value is written so that a whole number stays one: `{"n": "3072"}`, 0.25, "cos", null, a list for
a tuple, `{"set": [...]}`.
"""

from typing import Any

from olmo_explain.course.answers import CLOSE, is_array, plain
from olmo_explain.course.checking import (
    MARKS,
    WORDS,
    computed,
    find_exercise,
    said_of_right,
    values_of,
)
from olmo_explain.course.slips import EXACT, FACTORS, NEAR, SAYS, factors_of


def exported_words() -> dict[str, Any]:
    """What is the same in every exercise."""
    return {
        "words": WORDS,
        "marks": MARKS,
        "says": SAYS,
        "factors": FACTORS,
        "close": CLOSE,
        "exact": EXACT,
        "near": NEAR,
    }


def exported_exercise(name: str) -> dict[str, Any]:
    """An exercise whose answer can be typed; of one that a tensor answers, just its kind."""
    _, exercise = find_exercise(name)
    right = plain(computed(exercise.right))
    if is_array(right):
        return {"kind": "tensor"}
    return {
        "kind": _kind(right),
        "unit": exercise.unit,
        "choices": list(exercise.choices),
        "right": written(right),
        "shows": said_of_right(exercise),
        "wrong": [
            [message, [written(value) for value in values_of(misconception)]]
            for message, misconception in exercise.misconceptions.items()
        ],
        "hint": exercise.hint,
        "tolerance": exercise.tolerance,
        "factors": factors_of(right, exercise.question) if _is_number(right) else None,
    }


def written(value: Any) -> Any:
    match value:
        case int() if not isinstance(value, bool):
            return {"n": str(value)}
        case float() | str() | None:
            return value
        case tuple():
            return [written(each) for each in value]
        case frozenset() if all(isinstance(each, str) for each in value):
            return {"set": sorted(value)}
    raise TypeError(f"A page cannot hold {value!r}")


def _is_number(right: Any) -> bool:
    return isinstance(right, int | float)


def _kind(right: Any) -> str:
    match right:
        case int():
            return "count"
        case float():
            return "number"
        case str():
            return "name"
        case tuple():
            return "values"
        case frozenset():
            return "names"
    raise TypeError(f"No field is for {right!r}")
