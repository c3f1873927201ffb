"""Interrupts at any moment: at a chosen bytecode, or after a chosen time."""

import ctypes
import sys
import time
from collections import deque
from collections.abc import Callable
from threading import Event, Thread, get_ident
from types import FrameType
from typing import Any


class Interrupted(BaseException):
    """As KeyboardInterrupt, and not to be taken for the reader's own."""


_last: deque[Interrupted] = deque(maxlen=1)
"""With its traceback and all that lived in its frames, as a notebook keeps its last exception."""


def interrupted_at(bytecode: int, action: Callable[[], Any]) -> bool:
    """Runs `action` and interrupts it before this bytecode. False where it ended before that.

    Every bytecode counts, of every function that is called: a real interrupt comes between some of
    them only.
    """
    left = bytecode

    def watch(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal left
        frame.f_trace_opcodes = True
        if event == "opcode":
            left -= 1
            if left < 0:
                sys.settrace(None)
                raise Interrupted
        return watch

    before = sys.gettrace()
    try:
        sys.settrace(watch)
        action()
        return False
    except Interrupted:
        return True
    finally:
        sys.settrace(before)


def bytecodes(action: Callable[[], Any]) -> int:
    """How many of them `action` runs."""
    count = 0

    def watch(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return watch

    before = sys.gettrace()
    try:
        sys.settrace(watch)
        action()
    finally:
        sys.settrace(before)
    return count


def interrupted_after(seconds: float, action: Callable[[], Any]) -> bool:
    """Runs `action` and raises an exception in it from another thread. False where it was over."""
    here, over = ctypes.c_ulong(get_ident()), Event()
    raise_here = ctypes.pythonapi.PyThreadState_SetAsyncExc

    def interrupt() -> None:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:  # a sleep is not exact enough
            pass
        if not over.is_set():
            raise_here(here, ctypes.py_object(Interrupted))

    thread = Thread(target=interrupt)
    try:
        thread.start()
        action()
        over.set()
        thread.join()
        time.sleep(0)  # what was on its way arrives now
        return False
    except Interrupted as error:
        _last.append(error)
        return True
    finally:
        over.set()
        thread.join()
