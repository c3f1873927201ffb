"""What is put in place for a while, and comes off again whatever happens meanwhile.

An interrupt (Ctrl-C, or an exception that another thread raises in this one) may come between any
two bytecodes: also when `with` has called an `__exit__` written in Python, and before the first
line of it. So the way back runs no bytecode. `with` ends in `IOBase.__exit__`, which is C and calls
`close`, which is C, and so is all that is called there. What nobody closes is closed when it is
freed, by IOBase too.

>>> settings = {"colour": "green"}
>>> with Undo(lambda undo: undo.put(settings, "colour", "red")):
...     settings
{'colour': 'red'}
>>> settings
{'colour': 'green'}
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Hashable, MutableMapping
from functools import partial
from operator import call
from threading import Lock
from typing import Any, Generic, TypeVar
from weakref import ref

from olmo_explain.errors import UsageError

Given = TypeVar("Given")

_NOTHING = object()
LOCK = Lock()
_shared: dict[Hashable, Callable[[], Undo | None]] = {}  # weak references: nothing is kept here


class Undo(io.IOBase, Generic[Given]):
    """`with Undo(begin) as given`: `begin` puts things in place with what it is handed, this.

    All of it comes off when the block ends, the last first, in whatever thread. `given` is what
    `begin` returns. Blocks may end in any order, as long as they share only what they `hold`. One
    may be entered again when it has ended; before that it is a UsageError.
    """

    given: Given  # of what several hold

    def __init__(self, begin: Callable[[Any], Given]):
        self._begin = begin
        self._held: list[Undo] = []
        self._back: list[Any] = []
        self._end_with(self._back)

    def __enter__(self) -> Given:  # type: ignore[override]
        if self._back:
            raise UsageError("This is in use already", "Make another one")
        self._end_with([None, self._held.clear])
        try:
            return self._begin(self)
        except BaseException:
            self.close()
            raise

    def _end_with(self, back: list[Any]) -> None:
        # Calls what stands in the list, from its end down to the None, and no second time.
        calls: Any = map(call, iter(back.pop, None)) if back else ()
        self.close = partial(deque, calls, 0)  # type: ignore[method-assign,assignment]
        self._back = back

    def later(self, function: Callable[..., Any], *args: Any) -> None:
        """Calls `function(*args)` at the end. It has to be one of C, or an interrupt may end it."""
        self._back.append(partial(function, *args))

    def put(self, mapping: MutableMapping[Any, Any], key: Any, value: Any) -> None:
        """`mapping[key] = value` until the end; then what was there, or nothing. For a dict."""
        before = mapping.get(key, _NOTHING)
        if before is _NOTHING:
            self.later(mapping.pop, key, None)
        else:
            self.later(mapping.__setitem__, key, before)
        mapping[key] = value

    def now_and_later(self, now: Callable[[], Any], later: Callable[[], Any]) -> None:
        """Calls `now`, and `later` at the end, but only if `now` was called. Both are of C."""
        calls: tuple[Any, ...] = (now, partial(self._back.append, later))
        deque(map(call, calls), 0)

    def hold(self, key: Hashable, begin: Callable[[Undo], Given]) -> Given:
        """What `begin` puts in place stays there as long as any Undo holds it under this key."""
        with Undo(lambda undo: undo.now_and_later(LOCK.acquire, LOCK.release)):
            self._held.append(_shared.get(key, _nobody)() or _begun(key, begin))
        return self._held[-1].given


def _nobody() -> None:
    """Who holds what nobody has begun."""


def _begun(key: Hashable, begin: Callable[[Undo], Given]) -> Undo[Given]:
    def share(undo: Undo) -> Given:
        undo.later(_shared.pop, key, None)
        return begin(undo)

    undo = Undo(share)
    try:
        undo.given = undo.__enter__()
        _shared[key] = ref(undo)
        return undo
    except BaseException:
        undo.close()  # at once: the exception's traceback would keep it alive
        raise


def no_grad() -> Undo[None]:
    """As torch.no_grad, which leaves gradients off when it is interrupted on its way out."""
    import torch

    def begin(undo: Undo) -> None:
        undo.later(torch._C._set_grad_enabled, torch.is_grad_enabled())
        torch._C._set_grad_enabled(False)

    return Undo(begin)
