"""Chapter 6: distances, turns, windows, and what the wrong RoPE changes first."""

import math
from dataclasses import replace
from functools import cache

from olmo_explain.checkpoint import LayerType, read_config
from olmo_explain.course.bundled import tiny, tiny_ids
from olmo_explain.course.exercise import Exercise, Wrong

SEVEN, TINY = read_config("olmo3-7b"), read_config("tiny")
WINDOW = SEVEN.sliding_window or 0
QUERY, KEY, EARLIER = 5000, 4900, 300
SLIDING_IN_A_ROW = 3


@cache
def _turn(layer_type: LayerType, pair: int = -1) -> float:
    """Positions that a pair of the 7B needs for a whole turn."""
    from olmo_explain.by_hand import frequencies

    return 2 * math.pi / frequencies(SEVEN.rope[layer_type], SEVEN.head_dim)[pair].item()


@cache
def _pairs(model: str) -> tuple[int, int, int]:
    """How many pairs YaRN leaves alone, slows a little, and slows by the whole factor."""
    from olmo_explain.by_hand import yarn_ramp

    config = read_config(model)
    ramp = yarn_ramp(config.rope["full_attention"], config.head_dim)
    alone, slowed = int((ramp == 0).sum()), int((ramp == 1).sum())
    return alone, len(ramp) - alone - slowed, slowed


@cache
def _first_difference(applied: LayerType) -> tuple[int | None, str]:
    """Where a reference differs first that gives this RoPE to every layer."""
    from olmo_explain.proof import verify

    wrong = replace(TINY, rope=dict.fromkeys(TINY.rope, TINY.rope[applied]))
    step = verify(tiny()[0], tiny_ids("To be, or not to be"), config=wrong).first_difference
    assert step is not None
    return step.layer, step.name


EXERCISES = {
    "06.1": Exercise(
        question="the position of the key that gets the same score",
        right=lambda: EARLIER - (QUERY - KEY),
        wrong={
            "That leaves the key where it was. Scores do not know where a key stands, only how "
            "far it is from the query.": lambda: KEY,
            "The right distance, on the other side: this key would come after the query.": lambda: (
                EARLIER + (QUERY - KEY)
            ),
            "That keeps the *ratio* of the positions. Angles grow with the position, and what "
            "counts is their difference.": lambda: EARLIER * KEY // QUERY,
            "That is the distance. At which position does the key stand?": lambda: QUERY - KEY,
        },
        hint="The score depends on the difference of the two positions.",
        shows="That is all that RoPE says of a position: how far away.",
    ),
    "06.2": Exercise(
        question="positions that the slowest pair of the 7B needs for a turn, in a full layer",
        right=lambda: _turn("full_attention"),
        wrong={
            "That is a sliding layer, where nothing is scaled. In a full layer YaRN slows this "
            "pair.": lambda: _turn("sliding_attention"),
            "That is one radian. A whole turn has 2π of them.": lambda: (
                _turn("full_attention") / (2 * math.pi)
            ),
            "That is pair 0, the fastest. The last is the slowest.": lambda: _turn(
                "full_attention", pair=0
            ),
            "That is the frequency, in radians a position. How many "
            "positions for a turn?": lambda: 2 * math.pi / _turn("full_attention"),
        },
        hint="2π over the last of `scaled`, the frequencies of a full layer.",
        shows="Many millions of positions. In any prompt the model can take, this pair hardly "
        "moves.",
    ),
    "06.3": Exercise(
        question="how many positions back three sliding layers of the 7B reach",
        right=lambda: SLIDING_IN_A_ROW * (WINDOW - 1),
        wrong={
            "The window counts the current position too. How far back is "
            "the oldest one it shows?": lambda: SLIDING_IN_A_ROW * WINDOW,
            "That is one layer. The position it reads from has itself read from further back, a "
            "layer below.": lambda: WINDOW - 1,
            "That is one window, its own position included. What did the oldest position in it "
            "read, a layer below?": lambda: WINDOW,
            "Hops add up, they do not multiply.": lambda: (WINDOW - 1) ** SLIDING_IN_A_ROW,
        },
        hint="One layer reaches window − 1 positions back. Three layers, three hops.",
        shows="If each hop is used, for which it must be learned. A full layer needs one.",
    ),
    "06.4": Exercise(
        question="how many pairs of `tiny` YaRN leaves alone",
        right=lambda: _pairs("tiny")[0],
        wrong={
            "That is the *number* of the last one, and pairs count from "
            "0. How many are they?": lambda: _pairs("tiny")[0] - 1,
            "Those are slowed by the whole factor.": lambda: _pairs("tiny")[2],
            "That takes in the pairs on the ramp, which are slowed a little.": lambda: sum(
                _pairs("tiny")[:2]
            ),
            "That is the 7B. Ask the config of `tiny`.": lambda: _pairs("olmo3-7b")[0],
        },
        hint="`yarn_ramp` of `tiny`'s full layers is 0 where a pair is left alone: count the "
        "zeros.",
        shows="`tiny` was made for so short a length that nearly every pair is slow in it.",
    ),
    "06.5": Exercise(
        question="layer and name of the first value that differs where YaRN is lost",
        right=lambda: _first_difference("sliding_attention"),
        wrong={
            "So it is with YaRN everywhere, which first shows in a *sliding* layer. Where YaRN is "
            "lost, sliding layers are as they "
            "should be.": lambda: _first_difference("full_attention"),
            "The right layer. But scores are made from queries that were turned, and something is "
            "computed even before that.": Wrong(
                lambda: (_first_difference("sliding_attention")[0], "scores"),
                also=lambda answer: (
                    answer[0] == _first_difference("sliding_attention")[0]
                    and answer[1] in ("q", "k", "pattern", "masked_scores", "sin")
                ),
            ),
            "They differ too, at the very end. `first_difference` "
            "looks from the beginning.": lambda: (None, "logits"),
        },
        hint='`oe.verify(model, few, config=regimes["yarn-lost"]).first_difference` has a `layer` '
        "and a `name`.",
        shows="The first full layer, and its cosines: no weight was read to get there. Compare "
        "with `yarn-everywhere`, which differs in the very first layer.",
    ),
}
