"""Chapter 11: what silences a head, copiers that stand in for each other, QK-norm, and a job."""

import math
from collections.abc import Sequence
from functools import cache
from itertools import product
from typing import Any

from olmo_explain.checkpoint import PROJECTIONS, head_norms, head_slices, read_config
from olmo_explain.course.bundled import tiny
from olmo_explain.course.exercise import Exercise, Wrong

SAME = 1e-6  # of a probability: what rounding may move it
PERIOD, SEQUENCES = 40, 4

Place = tuple[int, int]


@cache
def _far() -> Any:
    from olmo_explain.running import FAR

    return tiny()[1](FAR, return_tensors="pt").input_ids


@cache
def _without(*silent: Place) -> Any:
    from olmo_explain.running import next_shares

    return next_shares(tiny()[0], _far(), silent)


def _share(*silent: Place) -> float:
    """Of the word that the far form ends with while no head is silent."""
    return _without(*silent)[int(_without().argmax())].item()


def _missed() -> Place:
    """The head that the far form can do without least."""
    return min(_places(), key=_share)


def _silencing() -> frozenset[str]:
    """The matrices whose slice of zeros is the same as that head's silence."""
    import torch

    layer, head = _missed()
    found = set()
    for name, part in head_slices(read_config("tiny"), layer, head).items():
        slice = tiny()[0].get_parameter(part.tensor).detach()[part.index]
        kept = slice.clone()
        try:
            slice.zero_()
            now = _without.__wrapped__()
        finally:
            slice.copy_(kept)
        if torch.allclose(now, _without((layer, head)), atol=SAME, rtol=0):
            found.add(name)
    return frozenset(found)


@cache
def _copiers() -> Sequence[Place]:
    """Heads of the last full layer, that which looks hardest at the answer first."""
    from olmo_explain.running import attention_patterns

    layer = read_config("tiny").full_attention_layers[-1]
    source = _far()[0].tolist().index(int(_without().argmax()))
    reads = attention_patterns(tiny()[0], _far())[layer, 0, :, -1, source]
    return [(layer, head) for head in reads.argsort(descending=True).tolist()]


def _both() -> float:
    return _share(*_copiers()[:2])


def _each() -> list[float]:
    return [_share(place) for place in _copiers()[:2]]


def _grown() -> float:
    """The factor by which one of four equally long queries grows when its rows are doubled."""
    import torch

    from olmo_explain.by_hand import rms_norm

    config = read_config("tiny")
    queries = torch.ones(config.num_attention_heads, config.head_dim)
    louder = queries.clone()
    louder[0] *= 2
    gain = torch.ones(queries.numel())
    before, after = (
        rms_norm(q.flatten(), gain, config.rms_norm_eps).view_as(queries) for q in (queries, louder)
    )
    return (after[0, 0] / before[0, 0]).item()


@cache
def _ids() -> Any:
    from olmo_explain.running import repeated_sequences

    return repeated_sequences(read_config("tiny").vocab_size, PERIOD, SEQUENCES)


def _loss_without(layer: int, head: int) -> float:
    from olmo_explain.running import ablate_head, repetition_losses

    with ablate_head(tiny()[0], layer, head):
        return repetition_losses(tiny()[0], _ids(), PERIOD).second


def _places() -> list[tuple[int, int]]:
    config = read_config("tiny")
    return list(product(range(config.num_hidden_layers), range(config.num_attention_heads)))


def _most_missed() -> tuple[int, int]:
    return max(_places(), key=lambda place: _loss_without(*place))


def _induction_head() -> tuple[int, int]:
    from olmo_explain.running import best_head, induction_scores

    return best_head(induction_scores(tiny()[0], _ids(), PERIOD))[:2]


def _largest(projection: str) -> tuple[int, int]:
    norms = head_norms("tiny")[projection]
    return divmod(int(norms.argmax()), norms.shape[1])


EXERCISES = {
    "11.1": Exercise(
        question="matrices of which a slice of zeros silences the head",
        right=_silencing,
        wrong={
            "With queries or keys of zero all scores are zero, and the softmax makes an even share "
            "of them: the head looks everywhere, and goes on writing.": lambda: frozenset(
                PROJECTIONS
            ),
            "Queries of zero ask nothing, but the softmax shares something out all the same.": (
                Wrong(lambda: {"q_proj"}, also=lambda: [{"k_proj"}])
            ),
            "That is one of them. What does a head hand on whose values are all zero?": lambda: {
                "o_proj"
            },
            "That is one of them. What becomes of a head whose columns are never read?": lambda: {
                "v_proj"
            },
        },
        hint="A head writes its values, mixed by its pattern, through its columns. Which zeros "
        "make that product zero?",
        shows="In the 32B only one of the two would do: five heads share their values, so zeros "
        "there would silence them all.",
    ),
    "11.2": Exercise(
        question="what is left of the answer without both, a share",
        right=_both,
        wrong={
            "So much is left without the one that is missed more. The other one counts, too.": (
                lambda: min(_each())
            ),
            "So much is left without the one that is missed less. The other one counts, too.": (
                lambda: max(_each())
            ),
            "With all heads it is so. Have both switches been turned?": lambda: _share(),
            "You multiplied what each of them leaves, as if each worked for itself.": lambda: (
                math.prod(_each()) / _share()
            ),
            "You added up what each of them costs alone, as if each worked for itself.": lambda: (
                sum(_each()) - _share()
            ),
            "So much is left without three of them.": lambda: _share(*_copiers()[:3]),
        },
        hint="Both switches of layer 7 at once, the answer's bar of the next token, in the far "
        "form.",
        shows="Less than the two alone would let you expect: each had stood in for the other.",
        tolerance=1e-2,
    ),
    "11.3": Exercise(
        question="the factor by which head 0's query grows",
        right=_grown,
        wrong={
            "So much before `q_norm`. The head is also part of what `q_norm` divides by, and that "
            "grew too.": lambda: 2.0,
            "You divided by the mean square. `q_norm` divides by its root.": lambda: (
                _grown() ** 2 / 2
            ),
            "So it would be with a norm for each head. OLMo's goes over all heads together: the "
            "others did not grow.": lambda: 1.0,
            "You doubled the mean square of that head. Doubling its numbers makes it four times "
            "as large.": Wrong(
                lambda: 2 / math.sqrt(2 * 4 / 4),
                also=lambda: [2 / math.sqrt(5 / 4)],
            ),
            "That is the factor of the other three heads, which only share the divisor.": lambda: (
                _grown() / 2
            ),
        },
        hint="Write the mean square before and after: one head of four has numbers twice as large, "
        "so squares four times as large.",
        shows="And the other three shrink, though their rows are what they were.",
        tolerance=5e-3,
    ),
    "11.4": Exercise(
        question="(layer, head) of the head that is missed most",
        right=_most_missed,
        wrong={
            "That head has the highest induction score, but others of its layer do the same work. "
            "Which head has no other to take its place?": _induction_head,
            "That head has the largest norm of its queries. A norm is not a job: measure the "
            "loss.": Wrong(lambda: _largest("q_proj"), also=lambda: [_largest("k_proj")]),
            "Another head is missed more. Take them all, and look for the largest loss.": Wrong(
                lambda: (0, 0), also=_places
            ),
        },
        hint="Silence each head in turn with `oe.ablate_head`, and compare "
        "`circuits.repetition_losses(model, ids, PERIOD).second`.",
        shows="Without it the induction heads no longer find the place.",
    ),
}
