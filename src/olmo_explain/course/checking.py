"""Exercises, and what is said to an answer.

>>> check("05.1", 3072).ok
True

An exercise knows its right answer and the misconceptions that lead elsewhere, each as a function:
nothing is computed until somebody answers. They stand in `chapters/`, a file for each, found by
the first part of an exercise's id.
"""

import html
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import EllipsisType
from typing import Any, Literal

from olmo_explain.course import chapters
from olmo_explain.course.answers import NotComparable, plain, same, show
from olmo_explain.course.exercise import Exercise, Wrong
from olmo_explain.course.slips import cannot_compare, find_slip
from olmo_explain.doors import saying_what_is_missing
from olmo_explain.errors import UsageError
from olmo_explain.words import quoted

State = Literal["right", "wrong", "open"]


@dataclass(frozen=True, repr=False)
class Feedback:
    """What is said to an answer. As a truth value: whether it was right."""

    exercise: str
    state: State
    message: str

    @property
    def ok(self) -> bool:
        return self.state == "right"

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        return f"{self.exercise} {WORDS[self.state]}: {self.message}"

    def _repr_html_(self) -> str:
        # Styled here, in the colour of the text: Colab and JupyterLab have no style sheet of ours.
        text = MARKUP.sub(_tagged, html.escape(self.message, quote=False))
        style = "border-left: 3px solid currentColor; padding: 0.2rem 0.8rem; margin: 0.4rem 0"
        return (
            f'<div class="oe-feedback oe-{self.state}" role="status" style="{style}">'
            f'<span aria-hidden="true">{MARKS[self.state]}</span> '
            f"<strong>{self.exercise} {WORDS[self.state]}:</strong> {text}</div>"
        )


WORDS = {"right": "Right", "wrong": "Not yet", "open": "Not answered yet"}
MARKS = {"right": "✓", "wrong": "✗", "open": "○"}
MARKUP = re.compile(r"`([^`]+)`|\*(\w|\w[^*]*\w)\*")  # `code` and *stress*
LONGEST_NAME = 100
UNANSWERED = "replace `...` by your answer."


def _tagged(found: re.Match[str]) -> str:
    code, stressed = found.groups()
    return f"<code>{code}</code>" if code else f"<em>{stressed}</em>"


@saying_what_is_missing()
def check(exercise: str, answer: Any) -> Feedback:
    """What there is to say to an answer. Never raises for a wrong one, of whatever type.

    UsageError, naming ids near it, where there is no such exercise.
    """
    name, found = find_exercise(exercise)
    if isinstance(answer, EllipsisType):
        return Feedback(name, "open", UNANSWERED)
    right = plain(computed(found.right))
    try:
        given = plain(answer)
    except NotComparable:
        return Feedback(name, "wrong", cannot_compare(right, found.question))
    if _tried(same, right, given, found.tolerance):
        return Feedback(name, "right", said_of_right(found))
    for message, misconception in found.misconceptions.items():
        for value in values_of(misconception):
            if _tried(same, value, given, found.tolerance):
                return Feedback(name, "wrong", message)
    slip = _tried(find_slip, right, given, found.tolerance, found.question)
    return Feedback(name, "wrong", slip or found.hint)


def find_exercise(exercise: str) -> tuple[str, Exercise]:
    """An exercise and its whole id, "05.1" for "5.1"; UsageError where there is none."""
    asked = exercise.strip()[:LONGEST_NAME] if isinstance(exercise, str) else quoted(exercise)
    chapter, _, number = asked.partition(".")
    name = f"{chapter:0>2}.{number}"
    of_chapter = read_exercises(f"{chapter:0>2}")
    if name in of_chapter:
        return name, of_chapter[name]
    near = list(of_chapter) or get_close_matches(name, all_exercises(), n=3, cutoff=0)
    raise UsageError(f"There is no exercise {quoted(exercise)}", f"Choose {', '.join(near)}")


def all_exercises() -> dict[str, Exercise]:
    """Every exercise by its id, in order."""
    found: dict[str, Exercise] = {}
    for chapter in sorted(_modules()):
        found |= read_exercises(chapter)
    return found


def read_exercises(chapter: str) -> Mapping[str, Exercise]:
    """The exercises of one chapter, "05", by id; none where there is no such chapter."""
    module = _modules().get(chapter)
    return import_module(f"{chapters.__name__}.{module}").EXERCISES if module else {}


def _modules() -> dict[str, str]:
    """Chapter → the module of its exercises: "05" → "ch05_attention"."""
    names = (module.name for module in iter_modules(chapters.__path__))
    return {name[2:4]: name for name in names if re.match(r"ch\d\d_", name)}


def said_of_right(exercise: Exercise) -> str:
    return f"{show(plain(computed(exercise.right)))}. {exercise.shows}".rstrip()


def values_of(misconception: Wrong) -> list[Any]:
    """The answers to which it leads, plain."""
    values = computed(misconception.value), *computed(misconception.also)
    return [plain(value) for value in values]


@cache
def computed(value: Callable[[], Any]) -> Any:
    """What a function of an exercise gives, computed once."""
    return value()


def _tried(function: Callable[..., Any], *args: Any) -> Any:
    """What it gives, or None where the answer is of a kind that it cannot deal with."""
    try:
        return function(*args)
    except Exception:  # an answer can be anything, and its operators can raise anything
        return None
