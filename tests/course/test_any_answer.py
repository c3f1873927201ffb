"""Answers of every kind: each is said to be wrong, in a few words and soon; none raises."""

import time
from decimal import Decimal
from functools import reduce
from itertools import count
from typing import NoReturn

import numpy as np
import pytest
import torch

import olmo_explain as oe


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


@pytest.mark.filterwarnings("ignore::UserWarning")  # of torch, of nested and quantized tensors
@pytest.mark.parametrize("exercise", ["01.1", "01.2", "01.3", "01.5", "03.4", "04.2", "13.4"])
def test_whatever_is_answered_it_is_not_right_and_said_soon(exercise):
    """A count, a shape, a number, names, a name, a tensor and a set are asked for."""
    began = time.monotonic()
    for kind, make in ANSWERS.items():
        said = oe.check(exercise, make())
        assert said.state == "wrong", kind
        assert 10 < len(said.message) < 500 and said._repr_html_(), kind
    assert time.monotonic() - began < 10
