"""Interrupted at any moment, ended in any order: nothing is left on the model, nor anywhere."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from threading import Barrier, Thread
from typing import Any

import pytest
import torch
from support.fuzz.interrupts import IDS, USES, case, small
from support.random_olmo import traces_left
from torch import nn

import olmo_explain as oe
from olmo_explain.errors import UsageError
from olmo_explain.running import capture, hooked
from olmo_explain.running.tracing import _Recorder

INTERRUPTS = 400


def run(model: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(IDS, use_cache=False).logits


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_nothing_is_left_behind_by_an_interrupt():
    chance = random.Random(0)
    ends = Counter(case(chance) for _ in range(INTERRUPTS))
    assert sum(count for said, count in ends.items() if said.endswith("interrupted")) > 300, ends
    assert {said.removesuffix(" interrupted") for said in ends} >= set(USES)


ORDERS = list(permutations(range(3)))


@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_captures_may_end_in_any_order(order):
    model = small()
    before = traces_left(model)
    captures = [capture(model) for _ in order]
    values = [each.__enter__() for each in captures]
    for number in order:
        run(model)
        assert all((1, "pattern") in values[open_one] for open_one in order[order.index(number) :])
        captures[number].__exit__(None, None, None)
        values[number].clear()
    run(model)
    assert traces_left(model) == before
    assert not any(values)


def test_captures_of_two_tasks_may_overlap():
    model = small()
    before = traces_left(model)

    async def task(first: asyncio.Event, second: asyncio.Event) -> int:
        with capture(model) as values:
            first.set()
            await second.wait()
            run(model)
            await asyncio.sleep(0)
        return len(values)

    async def both() -> list[int]:
        one, two = asyncio.Event(), asyncio.Event()
        return await asyncio.gather(task(one, two), task(two, one))

    with ThreadPoolExecutor(1) as pool:  # here a browser's own loop may be running
        counts = pool.submit(asyncio.run, both()).result()
    assert counts[0] == counts[1] > 40
    assert traces_left(model) == before


def test_captures_of_two_threads_see_their_own():
    model = small()
    before = traces_left(model)
    with capture(model) as values:
        run(model)
        expected = set(values)
    together, found = Barrier(2), {}

    def thread(number: int) -> None:
        for _ in range(5):
            together.wait()
            with capture(model) as values:
                together.wait()
                model(IDS + number, use_cache=False)
                assert torch.equal(values["embedding"], model.model.embed_tokens(IDS + number))
                found[number] = set(values)
                together.wait()

    threads = [Thread(target=thread, args=(number,)) for number in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert found == {0: expected, 1: expected}
    assert traces_left(model) == before


def test_a_capture_may_end_in_another_thread():
    model = small()
    before = traces_left(model)
    begun = capture(model)
    begun.__enter__()
    thread = Thread(target=begun.__exit__, args=(None, None, None))
    thread.start()
    thread.join()
    assert traces_left(model) == before


def test_a_capture_that_nobody_ends_is_over_when_it_is_freed():
    model = small()
    before = traces_left(model)
    begun = capture(model)
    begun.__enter__()
    assert traces_left(model) != before
    del begun
    assert traces_left(model) == before


def test_within_a_capture_attention_is_called_by_its_own_name():
    model = small()
    with capture(model):
        checked = oe.verify(model, IDS)
    assert checked.attention == "eager"
    assert checked.ok


def compiled(model: nn.Module) -> nn.Module:
    return torch.compile(model, backend="eager")


def compiled_in_place(model: nn.Module) -> nn.Module:
    model.compile(backend="eager")
    return model


WATCHES: dict[str, Callable[[Any], Any]] = {
    "verify": lambda model: oe.verify(model, IDS),
    "trace": lambda model: oe.trace(model, IDS),
    "capture": lambda model: capture(model).__enter__(),
    "ablate_head": lambda model: oe.ablate_head(model, 0, 0),
    "head_contributions": lambda model: oe.head_contributions(model, IDS, 0),
}


@pytest.mark.parametrize("make", [compiled, compiled_in_place])
@pytest.mark.parametrize("name", WATCHES)
def test_a_compiled_model_is_refused(name, make):
    with pytest.raises(UsageError, match="compiled code does not call hooks"):
        WATCHES[name](make(small()))


def test_a_compiled_model_can_be_run_by_hand():
    model = small()
    assert torch.equal(oe.run_by_hand(compiled(model), IDS)["logits"], run(model))


@pytest.mark.parametrize("name", ["verify", "head_contributions", "run_by_hand"])
def test_a_model_without_weights_is_refused(name):
    with torch.device("meta"):
        model = small()
    with pytest.raises(UsageError, match="shapes and no weights"):
        USES[name](model)


@pytest.mark.parametrize("name", [*WATCHES, "run_by_hand"])
def test_a_name_is_no_model(name):
    with pytest.raises(UsageError, match=r"'tiny' is .*load\("):
        (WATCHES | USES)[name]("tiny")


@pytest.mark.parametrize("make", [lambda model: oe.ablate_head(model, 1, 1), capture])
def test_what_has_ended_may_begin_again_and_what_has_not_may_not(make):
    model = small()
    before, plain = traces_left(model), run(model)
    again = make(model)
    for _ in range(2):
        with again:
            changed = run(model)
        assert traces_left(model) == before
    with again, pytest.raises(UsageError, match="in use already"), again:
        pass
    with again:
        with pytest.raises(UsageError), again:
            pass
        assert torch.equal(run(model), changed)
    assert traces_left(model) == before
    assert torch.equal(run(model), plain)


def test_two_models_of_one_config_are_told_apart():
    one = small()
    with torch.random.fork_rng():
        other = type(one)(one.config).eval()
    with capture(one) as ones, capture(other) as others:
        run(one)
        assert not others
        pattern = ones[1, "pattern"].clone()
        run(other)
    assert torch.equal(ones[1, "pattern"], pattern)
    assert not torch.equal(others[1, "pattern"], pattern)


def test_a_hook_that_is_called_once_more_says_nothing():
    """Torch takes the hooks of a call, and then asks each for its flags: it may be off by then."""
    model = small()
    heard = []
    with hooked() as hooks:
        hooks.before(model.lm_head, lambda *args: heard.append(args))
        (late,) = model.lm_head._forward_pre_hooks.values()
    late(model.lm_head, ())
    recorder = _Recorder(model, ops=False)
    thread = Thread(target=recorder._after, args=(model.lm_head, (), None))
    thread.start()
    thread.join()
    assert not heard and not recorder.calls
