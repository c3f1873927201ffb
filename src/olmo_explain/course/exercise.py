"""What an exercise is: a question, its right answer, and the misconceptions that lead elsewhere."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Wrong:
    """A known misconception: the answer to which it leads, and what to say about it.

    `also`: recognises other answers that come from the same misconception. It is given the answer
    in Python's own types, and need not expect every type: what raises is not recognised.
    """

    value: Callable[[], Any]
    message: str
    also: Callable[[Any], bool] | None = None


@dataclass(frozen=True)
class Exercise:
    """One question. `question`: in a few words, for messages. `hint`: said to an unknown answer.

    `right`: computed from a config, a model or a trace, never typed. `shows`: what is worth
    noticing, said with "Right". `tolerance`: as `answers.same` takes it.
    """

    question: str
    right: Callable[[], Any]
    wrong: list[Wrong]
    hint: str
    shows: str = ""
    tolerance: float | None = None
