"""The exercises, and what is said to an answer.

`chapters` holds the questions with their misconceptions, a file a chapter; `checking` answers,
`answers` says when two are the same, `slips` names what goes wrong in any exercise.
"""

from olmo_explain.doors import door

__getattr__, __dir__, __all__ = door(__name__, __file__)
