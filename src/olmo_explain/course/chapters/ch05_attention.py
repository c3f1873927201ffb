"""Chapter 5: where a head writes, what the factor does to a lead, what QK-norm spans, one head."""

import math
from functools import cache
from typing import Any

from olmo_explain.checkpoint import read_config
from olmo_explain.course.bundled import tiny, tiny_ids, tiny_values
from olmo_explain.course.exercise import Exercise, Wrong

LAYER, HEAD = 7, 0
SEA, REPEATED = "She loves the sea, and he loves the", 3  # " sea" is its token 3
TINY = read_config("tiny")
D, H, Dh = TINY.hidden_size, TINY.num_attention_heads, TINY.head_dim


def _real() -> Any:
    from olmo_explain.running import NEAR  # takes seconds: not before it is needed

    return tiny_values(NEAR)


def _lead() -> float:
    """By how much the best score of the last query is above the second."""
    best, second = _real()[LAYER, "scores"][0, HEAD, -1].topk(2).values.tolist()
    return best - second


def _factor() -> float:
    return _real()[3, "cos"][0, 0, 0].item()


def _loud(head: int, normalised: bool = True, at: Any = -1) -> float:
    """A head's query at some positions: its length with head 1's rows × 10, over that before."""
    from olmo_explain.by_hand import rms_norm

    before = _real()[LAYER, "q_proj"][0, at]  # (…, H·Dh)
    after = before.clone()
    after[..., Dh : 2 * Dh] *= 10
    if normalised:
        gains = tiny()[0].model.layers[LAYER].self_attn.q_norm.weight.detach()
        eps = TINY.rms_norm_eps
        before, after = rms_norm(before, gains, eps), rms_norm(after, gains, eps)
    own = (..., slice(head * Dh, (head + 1) * Dh))
    return (after[own].norm() / before[own].norm()).item()


@cache
def _without_each_head() -> list[tuple[int, int]]:
    """Every (layer, head), the one first that leaves least to the repeated word."""
    import torch

    from olmo_explain.running import ablate_head

    model, ids = tiny()[0], tiny_ids(SEA)
    left = {}
    for layer in range(TINY.num_hidden_layers):
        for head in range(H):
            with ablate_head(model, layer, head), torch.no_grad():
                chances = model(ids).logits[0, -1].softmax(-1)
            left[layer, head] = chances[ids[0, REPEATED]].item()
    return sorted(left, key=lambda place: left[place])


EXERCISES = {
    "05.1": Exercise(
        question="how many numbers of head 1's columns still do their work",
        unit="numbers",
        right=lambda: (D - Dh) * Dh,
        wrong={
            "That would be so if the zeroed numbers were head 1's own. Each of them is a sum over "
            "all heads, and head 1 writes to the others as well.": lambda: 0,
            "That many no longer count: those in the rows that were zeroed. How many are "
            "left?": lambda: Dh * Dh,
            "Those are all of head 1's columns. Some of their rows were zeroed.": lambda: D * Dh,
            "That counts the columns of every head. Head 1 has only its own.": lambda: (
                (D - Dh) * H * Dh
            ),
            "That counts rows. Each of them has a number in every column of the head.": lambda: (
                D - Dh
            ),
        },
        hint="A head's columns of `o_proj` are a matrix: a row for each number that comes out, a "
        "column for each of the head's. Some rows are zeroed.",
        shows="Three quarters of the head go on writing, and a quarter of each other one is gone.",
    ),
    "05.2": Exercise(
        question="how many times as much the best key gets as the second, without the factor",
        right=lambda: math.exp(_lead() / _factor() ** 2),
        wrong={
            "That is with the factor, as it is.": lambda: math.exp(_lead()),
            "The factor is in the query *and* in the key, so it is in the score twice.": lambda: (
                math.exp(_lead() / _factor())
            ),
            "That multiplies the scores by the factor once more. Take it out.": lambda: math.exp(
                _lead() * _factor() ** 2
            ),
            "The factor is in the scores, not in the shares: divide before you raise e to "
            "them.": lambda: math.exp(_lead()) / _factor() ** 2,
            "That is the difference of the two scores. Raise e to it.": lambda: (
                _lead() / _factor() ** 2
            ),
        },
        hint="Divide the difference of the two scores by the square of the factor, and raise e to "
        "what is left.",
        shows="So the factor sharpens a pattern: the best key gets more, and all others less.",
        tolerance=0.01,
    ),
    "05.3": Exercise(
        question="by which factor head 0's query changes when head 1's rows grow tenfold",
        right=lambda: _loud(head=0),
        wrong={
            "That would be so if each head were normalised alone, or not at all. Over how many "
            "numbers does `q_norm` take its mean?": lambda: 1.0,
            "That is head 1, whose rows grew. Head 0 is asked for, "
            "whose rows are as before.": lambda: _loud(head=1),
            "That is head 1 before the norm. Take head 0, after it.": lambda: _loud(
                head=1, normalised=False
            ),
            "That would be so if head 1 were all of the length. The norm's divisor takes in all "
            "heads, so the factor depends on how long the others are: measure it.": lambda: 0.1,
            "That is over all positions. The last one alone is asked for.": lambda: _loud(
                head=0, at=slice(None)
            ),
            "Upside down: the length afterwards over the length before.": lambda: 1 / _loud(head=0),
        },
        hint="Ten times the rows are ten times the outputs: change a copy of `real[LAYER, "
        '"q_proj"]`, normalise it, and compare the first `head_dim` numbers.',
        shows="Head 0's weights are untouched, and its query shrinks: the two share one norm. "
        "Head 1 does not grow tenfold either.",
        tolerance=0.01,
    ),
    "05.4": Exercise(
        question="the head, as (layer, head), whose loss costs *sea* most",
        right=lambda: _without_each_head()[0],
        wrong={
            "The layer comes first, then the head, both counted from 0.": lambda: (
                _without_each_head()[0][::-1]
            ),
            "Without that head *sea* even gains. Look for the one without which least of it is "
            "left.": lambda: _without_each_head()[-1],
            "Near: without another head still less of *sea* is left.": lambda: _without_each_head()[
                1
            ],
            "More of *sea* is left without that head than without another. Try those whose arcs "
            "land on *sea*, one at a time.": Wrong(
                lambda: _without_each_head()[2],
                also=lambda: _without_each_head()[3:-1],
            ),
        },
        hint="Two numbers, `(layer, head)`. Switch off one head at a time, and read the bar of "
        "*sea* each time.",
        shows="Several heads of the last full layer copy, but do not share out the work evenly. "
        "Try the same with *France*.",
    ),
}
