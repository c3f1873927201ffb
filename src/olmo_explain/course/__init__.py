"""The exercises, and what is said to an answer.

`chapters` holds the questions with their misconceptions, a file a chapter; `checking` answers,
`answers` says when two are the same, `slips` names what goes wrong in any exercise.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
