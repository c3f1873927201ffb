"""Interrupts at any moment, by bytecode or by the clock; and all that they may leave behind."""

import ctypes
import gc
import random
import sys
import time
from collections import deque
from collections.abc import Callable
from functools import cache
from threading import Event, Thread, get_ident
from types import FrameType
from typing import Any

import torch
from support.random_olmo import build, olmo3, traces_left
from torch import nn

import olmo_explain as oe
from olmo_explain.running import ablate_output_slice, capture

IDS = torch.tensor([[1, 2, 3]])
ENDS = 400  # bytecodes: where things are put on and taken off


def small() -> nn.Module:
    """An OLMo 3 of two layers."""
    layers = {"num_hidden_layers": 2, "layer_types": ["sliding_attention", "full_attention"]}
    return build(olmo3(**layers), torch.float32)


def _ablate(model: nn.Module) -> None:
    with oe.ablate_head(model, 1, 2), ablate_output_slice(model, 0, 1):
        pass


def _capture(model: nn.Module) -> None:
    with capture(model), capture(model):
        pass


USES: dict[str, Callable[[nn.Module], Any]] = {
    "verify": lambda model: oe.verify(model, IDS),
    "capture": _capture,
    "trace": lambda model: oe.trace(model, IDS),
    "trace of operators": lambda model: oe.trace(model, IDS, ops=True),
    "ablate_head": _ablate,
    "head_contributions": lambda model: oe.head_contributions(model, IDS, 1),
    "run_by_hand": lambda model: oe.run_by_hand(model, IDS),
}
"""All that puts something on a model, or changes a mode of torch."""


def case(chance: random.Random) -> str:
    """One interrupt of one of them, which has to leave everything as it was."""
    name = chance.choice(list(USES))
    model = _model()
    before = traces_left(model)

    def use() -> None:
        USES[name](model)

    try:
        if chance.random() < 0.5:
            length = _length(name)
            near = chance.choice([length, min(ENDS, length)])
            place = chance.randrange(near)
            came = interrupted_at(chance.choice([place, length - 1 - place]), use)
        else:
            came = interrupted_after(chance.random() * _seconds(name), use)
        now = traces_left(model)
        left = {what: now[what] for what in now if now[what] != before[what]}
        assert not left, f"an interrupt of {name} left {left}"
    except AssertionError:
        _model.cache_clear()
        raise
    return f"{name} interrupted" if came else f"{name} ended before"


@cache
def _model() -> nn.Module:
    return small()


@cache
def _length(name: str) -> int:
    USES[name](small())
    return bytecodes(lambda: USES[name](_model()))


@cache
def _seconds(name: str) -> float:
    USES[name](small())
    started = time.perf_counter()
    USES[name](_model())
    return time.perf_counter() - started


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
        gc.disable()  # what it calls swallows an exception
        sys.settrace(watch)
        action()
        return False
    except Interrupted:
        return True
    finally:
        sys.settrace(before)
        gc.enable()


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
