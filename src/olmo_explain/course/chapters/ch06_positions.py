"""Chapter 6: windows, and what the wrong RoPE changes first."""

from dataclasses import replace
from functools import cache

from olmo_explain.checkpoint import LayerType, OlmoConfig, read_config, ropes_under
from olmo_explain.course.bundled import tiny, tiny_ids
from olmo_explain.course.exercise import Exercise, Wrong
from olmo_explain.course.puzzle import ENGINES

SEVEN, TINY = read_config("olmo3-7b"), read_config("tiny")
WINDOW = SEVEN.sliding_window or 0
SLIDING_IN_A_ROW = 3
LAYER, HEAD, KEY = 7, 0, 3  # the copying head, and where " France" stands


def _under(rope: str) -> OlmoConfig:
    return replace(TINY, rope=ropes_under(rope, TINY.rope))


@cache
def _layers_that_see_the_first(length: int) -> int:
    """Layers of the 7B in which the last of so many tokens may look at the first."""
    back = length - 1
    return sum(
        kind == "full_attention" or back < WINDOW  # the window counts the token that looks
        for kind in SEVEN.layer_types
    )


@cache
def _attention(rope: str, apart: int = 2, head: int = HEAD) -> float:
    """Attention from the last word to France, with so many lines between, under a regime."""
    from olmo_explain.by_hand import run_by_hand
    from olmo_explain.running import APART

    values = run_by_hand(tiny()[0], tiny_ids(APART[apart]), config=_under(rope))
    return values[LAYER, "pattern"][0, head, -1, KEY].item()


@cache
def _probability(rope: str) -> float:
    """Of France as the next word, in the far form."""
    from olmo_explain.by_hand import run_by_hand
    from olmo_explain.running import FAR

    logits = run_by_hand(tiny()[0], tiny_ids(FAR), config=_under(rope))["logits"]
    return logits[0, -1].softmax(-1)[tiny_ids(" France")[0, 0]].item()


@cache
def _first_difference(applied: LayerType) -> tuple[int | None, str]:
    """Where a reference differs first that gives this RoPE to every layer."""
    from olmo_explain.proof import verify
    from olmo_explain.running import FAR

    wrong = replace(TINY, rope=dict.fromkeys(TINY.rope, TINY.rope[applied]))
    step = verify(tiny()[0], tiny_ids(FAR), config=wrong).first_difference
    assert step is not None
    return step.layer, step.name


def _engines(**other: str) -> tuple[str, ...]:
    """The mistake of each engine of the puzzle, some of them taken for others."""
    return tuple((ENGINES | other).values())


EXERCISES = {
    "06.1": Exercise(
        question="in how many layers the last token can look at the first, for each prompt",
        right=lambda: (_layers_that_see_the_first(WINDOW), _layers_that_see_the_first(WINDOW + 1)),
        wrong={
            "The second is right. But seen from the last of 4,096 tokens, the first is 4,095 "
            "back. Is that outside a window of 4,096?": lambda: (
                (_layers_that_see_the_first(WINDOW + 1),) * 2
            ),
            "The first is right. But with one more token, the first is 4,096 back, and a window "
            "counts the token that looks.": lambda: (_layers_that_see_the_first(WINDOW),) * 2,
            "The first is right. With one more token the sliding layers lose it. You have counted "
            "those: which are left?": lambda: (
                SEVEN.num_hidden_layers,
                SEVEN.num_hidden_layers - len(SEVEN.full_attention_layers),
            ),
        },
        hint="A sliding layer sees 4,095 tokens back, a full one any number.",
        shows="One token more, and most of the layers have lost the beginning.",
    ),
    "06.2": Exercise(
        question="the share of its attention that layer 7, head 0 gives to France",
        right=lambda: _attention("yarn-lost"),
        wrong={
            "That is the model as designed. Choose YaRN lost.": lambda: _attention("per-layer"),
            "That is YaRN everywhere. Choose YaRN lost.": lambda: _attention("yarn-everywhere"),
            "That is the near form. Pull the halves apart by two lines.": lambda: _attention(
                "yarn-lost", apart=0
            ),
            "That is how probable France is as the next word. How much of its attention does the "
            "head give to it?": lambda: _probability("yarn-lost"),
        },
        hint="The line that names layer 7, head 0 says where it looks, and with what share.",
        shows="The head knows what it looks for, but its scores are too low to stand out.",
        tolerance=0.01,
    ),
    "06.3": Exercise(
        question="how many positions back three sliding layers of the 7B reach",
        unit="positions",
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
        question="layer and name of the first value that differs where YaRN is lost",
        right=lambda: _first_difference("sliding_attention"),
        wrong={
            "So it is with YaRN everywhere, which first shows in a *sliding* layer. Where YaRN is "
            "lost, sliding layers are as they "
            "should be.": lambda: _first_difference("full_attention"),
            "The right layer. But scores are made from queries that were turned, and something is "
            "computed even before that.": Wrong(
                lambda: (_first_difference("sliding_attention")[0], "scores"),
                also=lambda: [
                    (_first_difference("sliding_attention")[0], name)
                    for name in ("q", "k", "pattern", "masked_scores", "sin")
                ],
            ),
            "They differ too, at the very end. `first_difference` "
            "looks from the beginning.": lambda: (None, "logits"),
        },
        hint='`oe.verify(model, ids, config=regimes["yarn-lost"]).first_difference` has a `layer` '
        "and a `name`.",
        shows="The first full layer, and its cosines: no weight was read to get there. Compare "
        "with `yarn-everywhere`, which differs in the very first layer.",
    ),
    "06.5": Exercise(
        question="the mistake of each of three engines, by its name",
        right=_engines,
        wrong={
            "The first and the third are right. Another size of the window would make it a little "
            "surer of France, far back. Is the second engine surer?": Wrong(
                lambda: _engines(B="window-minus-one"), also=lambda: [_engines(B="window-plus-one")]
            ),
            "The second is right, and the other two have changed places. Compare the second "
            "likeliest words.": lambda: _engines(A=ENGINES["C"], C=ENGINES["A"]),
            "The first two are right. The third is less sure than that, near and far: more of the "
            "factor is missing.": lambda: _engines(C="attention-factor-once"),
            "The first two are right. Without any YaRN it would be surer near, and less sure "
            "far.": lambda: _engines(C="yarn-nowhere"),
        },
        hint="One of them is as right as the model itself, as long as no word stands further back "
        "than a window. Break the figure in each way, near and far, and compare both words.",
        shows="Three mistakes that raise no error, and each has a name. `olmo-explain diagnose` "
        "finds it in the logits of any engine.",
    ),
}
