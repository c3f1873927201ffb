"""Answers of every kind: each is said to be wrong, in a few words and soon; none raises."""

import time
from decimal import Decimal
from functools import reduce
from itertools import count
from types import SimpleNamespace
from typing import NoReturn

import numpy as np
import pytest
import torch

import olmo_explain as oe
from olmo_explain.course.exercise import Exercise


class Wild:
    """Whatever is done with it fails."""

    def fail(self, *_: object) -> NoReturn:
        raise RuntimeError

    __eq__ = __repr__ = __len__ = __iter__ = __bool__ = __str__ = __float__ = __index__ = fail
    __hash__ = None


def endless() -> list:
    inside: list = [1]
    inside.append(inside)
    return inside


def nest(depth: int) -> list:
    nested: list = []
    for _ in range(depth):
        nested = [nested]
    return nested


ANSWERS = {
    "a nested tensor": lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    "a jagged tensor": lambda: torch.nested.nested_tensor(
        [torch.ones(2), torch.ones(3)], layout=torch.jagged
    ),
    "a billion times one": lambda: np.broadcast_to(1.0, 10**9),
    "a square of them": lambda: np.broadcast_to(1.0, (10**5, 10**5)),
    "a tensor of them": lambda: torch.ones(1).expand(10**9),
    "a list of them": lambda: [np.broadcast_to(1.0, 10**9)] * 3,
    "on no device": lambda: torch.ones(3, device="meta"),
    "sparse": lambda: torch.eye(3).to_sparse(),
    "quantized": lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
    "complex": lambda: torch.ones(3, dtype=torch.complex64),
    "objects": lambda: np.array([Wild(), None], dtype=object),
    "a generator": lambda: (number for number in range(3)),
    "what never ends": count,
    "wild": Wild,
    "wild ones": lambda: [Wild(), Wild()],
    "itself": endless,
    "deep": lambda: nest(10**5),
    "many in few": lambda: reduce(lambda inner, _: [inner] * 10, range(20), 1),
    "a long text": lambda: "x" * 10**7,
    "a long range": lambda: range(10**12),
    "a long list": lambda: [1] * 10**6,
    "a huge number": lambda: 10 ** (10**5),
    "huge numbers": lambda: (10**5000,) * 2,
    "no number": lambda: Decimal("NaN"),
    "half of a character": lambda: "\udcff",
}


RIGHT = {
    "a count": 7_298_011_136,
    "a shape": (1024, 5120),
    "a number": 0.1125,
    "names": frozenset({"vocab_size", "rms_norm_eps"}),
    "a name": "q_norm",
    "a tensor": torch.arange(6.0).view(2, 3),
    "a set": frozenset({3, 7}),
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # of torch, of nested and quantized tensors
@pytest.mark.parametrize("asked", RIGHT)
def test_whatever_is_answered_it_is_not_right_and_said_soon(asked, monkeypatch):
    """Whatever is asked for."""
    hint = "Look at the config once more."
    exercise = Exercise("something", lambda: RIGHT[asked], {"Half of it.": lambda: 2}, hint)
    module = SimpleNamespace(EXERCISES={"05.1": exercise})
    monkeypatch.setattr("olmo_explain.course.checking.import_module", lambda name: module)
    began = time.monotonic()
    for kind, make in ANSWERS.items():
        said = oe.check("05.1", make())
        assert said.state == "wrong", kind
        assert 10 < len(said.message) < 500 and said._repr_html_(), kind
    assert time.monotonic() - began < 10
