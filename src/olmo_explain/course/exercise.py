"""What an exercise is: a question, its right answer, and the misconceptions that lead elsewhere."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Answer = Callable[[], Any]
"""Computed when somebody answers, and not before."""


@dataclass(frozen=True)
class Wrong:
    """The answer to which a misconception leads. `also`: others that come from the same one."""

    value: Answer
    also: Callable[[], Iterable[Any]] = tuple


@dataclass(frozen=True)
class Exercise:
    """One question. `question`: in a few words, for messages. `hint`: said to an unknown answer.

    `right`: computed from a config, a model or a trace, never typed. `wrong`: what is said of each
    known misconception, with the answer to which it leads. `shows`: what is worth noticing, said
    with "Right". `tolerance`: as `answers.same` takes it. `unit`: of a number, beside the field in
    which it is typed. `choices`: the names that the question offers.
    """

    question: str
    right: Answer
    wrong: Mapping[str, Answer | Wrong]
    hint: str
    shows: str = ""
    tolerance: float | None = None
    unit: str = ""
    choices: Sequence[str] = ()

    @property
    def misconceptions(self) -> dict[str, Wrong]:
        """What is said of each, and how it is recognised."""
        return {
            message: wrong if isinstance(wrong, Wrong) else Wrong(wrong)
            for message, wrong in self.wrong.items()
        }
