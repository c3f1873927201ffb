"""Chapter 9: a lead at another temperature, bytes of a cache, what it keeps, and who guesses."""

from functools import cache
from typing import Any

from olmo_explain.checkpoint import BYTES_PER_PARAMETER, read_config
from olmo_explain.course.bundled import tiny, tiny_ids, tiny_values
from olmo_explain.course.exercise import Exercise, Wrong

TEMPERATURE, WRITTEN, SLIDING, FULL = 3, 100, 0, 3
BIG, TINY = read_config("olmo3-32b"), read_config("tiny")
BYTES = BYTES_PER_PARAMETER[BIG.dtype]


def _sentence() -> str:
    from olmo_explain.running import NEAR

    return NEAR


def _logits() -> Any:
    """Behind every position of the sentence, (T, V)."""
    return tiny_values(_sentence())["logits"][0]


def _lead() -> float:
    best, next_best = _logits()[-1].topk(2).values.tolist()
    return best - next_best


def _ratio(temperature: float) -> float:
    from math import exp

    return exp(_lead() / temperature)


def _of_a_position(
    heads: int = BIG.num_key_value_heads,
    layers: int = BIG.num_hidden_layers,
    each: int = 2,
    size: int = BYTES,
) -> int:
    """Bytes of one position in a cache."""
    return each * heads * BIG.head_dim * layers * size


@cache
def _kept() -> tuple[int, int]:
    """Positions that the cache hands to a sliding and to a full layer for token `WRITTEN`.

    What the tokens before it are does not matter, so the sentence stands in for them.
    """
    from olmo_explain.running import generate

    ids = tiny_ids(_sentence())
    before = ids.shape[1] + WRITTEN - 2  # its last one chooses token `WRITTEN`
    kept = generate(tiny()[0], ids.repeat(1, before)[:, :before], 2).tokens[1].kept
    return kept[SLIDING], kept[FULL]


def _guessed(most: int = 1, ahead: int = 1) -> int:
    """How often one of the likeliest tokens is the token so many places on."""
    ids = tiny_ids(_sentence())[0]
    length = len(ids) - ahead
    likeliest = _logits()[:length].topk(most).indices  # (length, most)
    return int((likeliest == ids[ahead:, None]).any(-1).sum())


def _plus(pair: tuple[int, int], sliding: int, full: int) -> tuple[int, int]:
    return pair[0] + sliding, pair[1] + full


EXERCISES = {
    "09.1": Exercise(
        question="how many times as likely the best token is at temperature 3",
        right=lambda: _ratio(TEMPERATURE),
        wrong={
            "That is at temperature 1. Divide the logits by the temperature first.": lambda: _ratio(
                1
            ),
            "That divides the ratio. The *logits* are divided, before e is raised to "
            "them.": lambda: _ratio(1) / TEMPERATURE,
            "That multiplies the lead by the temperature. A high temperature makes the draw bolder "
            "and shrinks every lead.": lambda: _ratio(1 / TEMPERATURE),
            "That is the lead itself, at this temperature. Raise e to it.": lambda: (
                _lead() / TEMPERATURE
            ),
            "That is the lead at temperature 1, a difference of logits. Divide it, and raise e to "
            "it.": lambda: _lead(),
            "Upside down: that is how likely the runner-up is, beside the best.": lambda: (
                1 / _ratio(TEMPERATURE)
            ),
            "That is the probability of the best one. How many times is it that of the "
            "runner-up?": lambda: (_logits()[-1] / TEMPERATURE).softmax(-1).max().item(),
        },
        hint="The lead, divided by the temperature; then e to the power of it.",
        shows="A threefold temperature takes the third root of every ratio.",
        tolerance=0.01,
    ),
    "09.2": Exercise(
        question="the bytes that one position adds to the KV cache of the 32B",
        unit="bytes",
        right=_of_a_position,
        wrong={
            "That has a key and a value for each of the query heads. The 32B shares: several query "
            "heads read one key-value head.": lambda: _of_a_position(BIG.num_attention_heads),
            "Half of it. Either one of keys and values is missing, or that counts numbers: each "
            "takes two bytes.": lambda: _of_a_position(each=1),
            "That is one layer. Each layer has keys and values of its own.": lambda: _of_a_position(
                layers=1
            ),
            "That would be float32. The config says bfloat16.": lambda: _of_a_position(size=4),
            "That leaves the full layers out. All layers keep the new position; sliding ones "
            "forget an old one later.": lambda: _of_a_position(
                layers=BIG.num_hidden_layers - len(BIG.full_attention_layers)
            ),
            "That is one head in each layer. There are several key-value heads.": lambda: (
                _of_a_position(heads=1)
            ),
        },
        hint="A key and a value of `head_dim` numbers, for each key-value head of each layer, "
        "at two bytes a number.",
        shows="With a key and a value for each of its query heads, it would be five times as much.",
    ),
    "09.3": Exercise(
        question="positions that the cache hands to layer 0 and to layer 3",
        right=lambda: _kept(),
        wrong={
            "That counts the token that goes through the model now, as the window does. From the "
            "cache come those before it.": lambda: _plus(_kept(), 1, 1),
            "Layer 0 is handed one less: the window counts the new token's own position, and that "
            "one brings its own key.": lambda: _plus(_kept(), 1, 0),
            "Layer 3 is handed one less: the token written last goes through the model now, and is "
            "not in the cache yet.": lambda: _plus(_kept(), 0, 1),
            "The 100th token is only chosen by this step, and the 99th goes through now: both are "
            "not in the cache yet.": lambda: _plus(_kept(), 0, 2),
            "Layer 0 slides: what has left its window is thrown away.": Wrong(
                lambda: (_kept()[1],) * 2,
                also=lambda: [(at, at) for at in range(WRITTEN - 2, _kept()[1] + 3)],
            ),
            "The sentence's own tokens are in the cache, too.": lambda: (
                _kept()[0],
                WRITTEN - 2,
            ),
            "The other way round: layer 0 slides, layer 3 is full.": lambda: _kept()[::-1],
        },
        hint="Eleven tokens of the sentence, and those that were written and have been through the "
        "model; a sliding layer keeps one less than its window.",
        shows="The sliding layer stopped growing long ago; the full one grows by one each time.",
    ),
    "09.4": Exercise(
        question="of how many of ten tokens the likeliest next one really follows",
        right=_guessed,
        wrong={
            "That counts the last token, too, whose successor is not in the sentence.": lambda: (
                _guessed() + 1
            ),
            "That compares each guess with its own token. It is a guess about the one to the "
            "right.": lambda: _guessed(ahead=0),
            "That counts where it is among the five likeliest. Only the first bar is asked "
            "for.": lambda: _guessed(most=5),
            "That would be all of them. The model never saw this sentence: read the first bar for "
            "each.": lambda: len(tiny_ids(_sentence())[0]) - 1,
        },
        hint="For each token but the last, compare the first bar with the token to the right.",
        shows="A good model of text is mostly unsure, and may well be: many words could follow. "
        "Only where a text repeats itself is the next one nearly certain.",
    ),
}
