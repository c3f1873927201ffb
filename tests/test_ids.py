"""Token ids as readers write them, and what is said of those that are none."""

import re
from functools import partial

import numpy as np
import pytest
import torch

from olmo_explain.by_hand import run_by_hand
from olmo_explain.errors import OutOfRange, UsageError
from olmo_explain.ids import as_ids, as_mask, check_room
from olmo_explain.proof import verify
from olmo_explain.running import head_contributions, load, trace


@pytest.mark.parametrize(
    "given",
    [
        *([5, 6], (5, 6), range(5, 7), [[5, 6]], torch.tensor([5, 6]), torch.tensor([[5, 6]])),
        *(torch.tensor([5, 6], dtype=torch.int8), np.array([5, 6]), np.array([[5, 6]], "u1")),
    ],
    ids=repr,
)
def test_lists_and_tensors(given):
    ids = as_ids(given, 10)
    assert ids.tolist() == [[5, 6]] and ids.dtype == torch.long


def test_several_prompts():
    assert as_ids([[1, 2], [3, 4]], 10).shape == (2, 2)


class Wild:
    def __repr__(self):
        raise RuntimeError


def nested(depth):
    given = []
    for _ in range(depth):
        given = [given]
    return given


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ("Hello", UsageError, "'Hello' is text, and a model reads token ids. Give those of its"),
        ([], UsageError, "The prompt holds no token. Give at least one"),
        ([[]], UsageError, "The prompt holds no token"),
        (torch.empty(1, 0, dtype=torch.long), UsageError, "The prompt holds no token"),
        ([5, 10], OutOfRange, "There is no token 10. Token ids go from 0 to 9"),
        ([-1], OutOfRange, "There is no token -1"),
        ([[1, 2], [3]], UsageError, "not equally long. Pad them, and give an attention_mask"),
        ([1.5], UsageError, "cannot be read from list"),
        ([True], UsageError, "cannot be read from list"),
        (["a"], UsageError, "cannot be read from list"),
        (None, UsageError, "cannot be read from NoneType"),
        ([10**5000], OutOfRange, "There is no token whose id has 5,001 digits. No vocabulary"),
        ([-(2**64)], OutOfRange, "There is no token whose id has 20 digits"),
        (np.broadcast_to(5, 10**9), OutOfRange, "1,000,000,000 numbers are no prompt"),
        (range(10**9), OutOfRange, "1,000,000,000 numbers are no prompt. Give up to 8,388,608"),
        (range(10**30), OutOfRange, "numbers are no prompt"),
        ([range(10**12)], OutOfRange, "1,000,000,000,000 numbers are no prompt"),
        (torch.zeros(1, 1, dtype=torch.long).expand(1, 10**10), OutOfRange, "are no prompt"),
        (torch.eye(3).long().to_sparse(), UsageError, "A sparse or nested tensor holds the token"),
        (torch.ones(1, 3, dtype=torch.long, device="meta"), UsageError, "without numbers"),
        (Wild(), UsageError, "cannot be read from Wild <Wild>"),
        (nested(3000), UsageError, "cannot be read from list [[[[...]]]]"),
        ([[10**5000], "a"], UsageError, "cannot be read from list <list>"),
        (["a" * 10**6], UsageError, "cannot be read from list ['aaaa"),
        (torch.tensor([0.5]), UsageError, "whole numbers, and these are float32"),
        (torch.ones(1, 1, 1, dtype=torch.long), UsageError, "shape [1, 1, 1]"),
    ],
)
def test_what_is_no_prompt(given, error, said):
    with pytest.raises(error) as caught:
        as_ids(given, 10)
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [[0, 1, 1], [[0, 1, 1]], [False, True, True], torch.tensor([[0.0, 1.0, 1.0]])],
    ids=repr,
)
def test_masks(given):
    model, _ = load("tiny")
    ids = torch.tensor([[5, 6, 7]])
    assert as_mask(given, ids).tolist() == [[0, 1, 1]] and as_mask(None, ids) is None
    expected = verify(model, ids, torch.tensor([[0, 1, 1]]))
    assert expected.ok and verify(model, ids, given) == expected
    by_hand = run_by_hand(model, ids, given)["logits"]
    assert torch.equal(by_hand, run_by_hand(model, ids, torch.tensor([[0, 1, 1]]))["logits"])
    assert not torch.equal(by_hand, run_by_hand(model, ids)["logits"])
    parts = head_contributions(model, ids, 3, given)
    assert torch.equal(parts, head_contributions(model, ids, 3, torch.tensor([[0, 1, 1]])))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([1, 1], "The attention_mask has shape [1, 2], the ids [1, 3]. Give a 1 for each token"),
        ([[1, 1, 1], [1, 1, 1]], "has shape [2, 3], the ids [1, 3]"),
        ([1, 2, 1], "other numbers than 0 and 1"),
        (torch.tensor([[0.0, -torch.inf, 0.0]]), "other numbers than 0 and 1"),
        ("111", "cannot be read from str '111'"),
        ([[1, 1], [1]], "cannot be read from list"),
        (range(10**12), "1,000,000,000,000 numbers are no prompt"),
        ([10**400] * 3, "cannot be read from list"),
        (torch.ones(1, 3, device="meta"), "A tensor on the meta device, without numbers, holds"),
        (torch.ones(1, 3).to_sparse(), "A sparse or nested tensor holds the attention_mask"),
    ],
    ids=lambda it: repr(it)[:40],
)
@pytest.mark.parametrize("use", [verify, run_by_hand])
def test_what_is_no_mask(use, given, said):
    with pytest.raises((UsageError, OutOfRange)) as caught:
        use(load("tiny")[0], [5, 6, 7], given)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_trace_verify_and_the_reference_take_lists():
    model, _ = load("tiny")
    ids = torch.tensor([[5, 6, 7]])
    assert trace(model, [5, 6, 7]) == trace(model, ids) == trace(model, input_ids=[5, 6, 7])
    assert verify(model, [5, 6, 7]).ok
    assert torch.equal(run_by_hand(model, [5, 6, 7])["logits"], run_by_hand(model, ids)["logits"])


@pytest.mark.parametrize("use", [trace, verify, run_by_hand])
def test_trace_verify_and_the_reference_say_what_is_wrong(use):
    model, _ = load("tiny")
    for given, said in [("Hello", "is text"), ([], "no token"), ([2048], "from 0 to 2047")]:
        with pytest.raises((UsageError, OutOfRange), match=said):
            use(model, given)


@pytest.mark.parametrize("use", [trace, verify, run_by_hand, partial(head_contributions, layer=1)])
def test_more_positions_than_there_is_memory_for(monkeypatch, use):
    """Eager attention forms a score for each pair of them."""
    monkeypatch.setattr("olmo_explain.ids.free_memory_bytes", lambda: 2**30)
    model, _ = load("tiny")
    with pytest.raises(OutOfRange) as caught:
        use(model, [5] * 40_000)
    assert "40,000 positions take " in str(caught.value)
    assert "of memory for their attention scores, and 1.0 GiB are free" in str(caught.value)
    longest = int(re.search(r"Give up to ([\d,]+)", str(caught.value))[1].replace(",", ""))
    check_room(torch.zeros(1, longest), 4, 2)
    assert longest < 40_000


def test_what_has_no_numbers_needs_no_room(monkeypatch):
    monkeypatch.setattr("olmo_explain.ids.free_memory_bytes", lambda: 2**30)
    assert trace(load("olmo3-7b")[0], [5] * 40_000).total == 389
