"""Chapter 7: the mean of squares, ε inside the root, what a norm spans, and where OLMo puts it."""

import math
from collections.abc import Sequence
from statistics import fmean, pstdev

from olmo_explain.checkpoint import read_config
from olmo_explain.course.bundled import tiny, tiny_ids, tiny_values
from olmo_explain.course.exercise import Exercise, Wrong
from olmo_explain.running import NEAR

LAYER = 7
VECTOR = (3.0, 4.0)
SMALL = 1e-3  # root mean square of the vector in 7.4
EPS = read_config("olmo3-7b").rms_norm_eps


def _normalised(numbers: Sequence[float], eps: float = 0.0) -> tuple[float, ...]:
    import torch

    from olmo_explain.by_hand import rms_norm

    return tuple(rms_norm(torch.tensor(numbers), torch.ones(len(numbers)), eps).tolist())


def _first_difference() -> str:
    """Where `verify` first sees that a layer's ε is a thousand times too large."""
    from olmo_explain.proof import verify
    from olmo_explain.running import load

    model, _ = load("tiny", "float32")  # one of our own, as it is changed
    model.model.layers[5].post_attention_layernorm.variance_epsilon *= 1000
    step = verify(model, tiny_ids(NEAR), config=read_config("tiny")).first_difference
    assert step is not None
    return step.name


def _norm_size(name: str) -> int:
    parts = read_config("olmo3-32b").components
    return next(part.parameters for part in parts if part.name.endswith(f"{name}.weight"))


def _of_silence() -> float:
    """The largest number of `attn_out` where all heads of the layer are off; no −0."""
    norm = tiny()[0].model.layers[LAYER].post_attention_layernorm
    return norm(0 * tiny_values(NEAR)[LAYER, "o_proj"]).abs().max().item()


def _loudest() -> float:
    """The same where they are on."""
    return tiny_values(NEAR)[LAYER, "attn_out"].max().item()


EXERCISES = {
    "07.1": Exercise(
        question="(3, 4), normalised",
        right=lambda: _normalised(VECTOR),
        wrong={
            "You divided by the length, the root of the sum of the squares. RMSNorm divides by "
            "the root of their mean.": lambda: tuple(x / math.hypot(*VECTOR) for x in VECTOR),
            "That is LayerNorm: it subtracts the mean first. RMSNorm leaves the mean in.": lambda: (
                tuple((x - fmean(VECTOR)) / pstdev(VECTOR) for x in VECTOR)
            ),
            "You divided by the mean square. The root is still to be taken.": lambda: tuple(
                x / fmean(x**2 for x in VECTOR) for x in VECTOR
            ),
        },
        hint="Square both numbers, take the mean, take the root, and divide both by it.",
        shows="The length of this vector is 5, and of the result √2: the root of its size.",
        tolerance=5e-3,
    ),
    "07.2": Exercise(
        question="the name of the first value that differs",
        right=_first_difference,
        wrong={
            "That differs too, but later: it is the sum. OLMo normalises before it adds, and the "
            "norm's output is a value of its own.": lambda: "resid_mid",
            "That is what the norm is given. It was computed before the wrong ε was met.": lambda: (
                "o_proj"
            ),
            "That is what attention reads, and OLMo has no norm there. This norm stands behind "
            "attention: it normalises what attention writes.": lambda: "resid_pre",
            "That is computed inside attention, before this norm: nothing there has changed. The "
            "norm works on what attention writes.": Wrong(
                lambda: "q_norm", also=lambda: ("q_proj", "k_proj", "v_proj", "k_norm")
            ),
            "That is the module. `verify` names values: which one does this module give?": Wrong(
                lambda: "post_attention_layernorm",
                also=lambda: [f"model.layers.{n}.post_attention_layernorm" for n in range(8)],
            ),
            "That is what the layer's last norm gives, which has an ε of its own. The one that "
            "was changed comes earlier.": lambda: "mlp_out",
        },
        hint="All values before this norm are as they were. What is its own output called, before "
        "anything is added?",
        shows="`verify` also says why: `wrong.cause` names the module and its ε.",
        choices=("resid_pre", "q_proj", "q_norm", "o_proj", "attn_out", "resid_mid", "mlp_out"),
    ),
    "07.3": Exercise(
        question="how many numbers share one mean square",
        unit="numbers",
        right=lambda: _norm_size("k_norm"),
        wrong={
            "That is `q_norm`'s number, H · Dh, and the hidden size too. The 32B has fewer heads "
            "of keys than of queries.": lambda: _norm_size("q_norm"),
            "That would be a norm for each head. OLMo normalises the whole projection, before it "
            "is cut into heads.": lambda: read_config("olmo3-32b").head_dim,
            "That is the 7B's, whose queries and keys have as many heads. Take the 32B.": lambda: (
                read_config("olmo3-7b").hidden_size
            ),
            "That is how many heads of keys there are. Each has `head_dim` numbers.": lambda: (
                read_config("olmo3-32b").num_key_value_heads
            ),
        },
        hint="The mean goes over all that `k_proj` gives for one position.",
        shows="K · Dh: all key heads of one position together, and no other position.",
    ),
    "07.4": Exercise(
        question="each number of the result",
        right=lambda: _normalised([SMALL], EPS)[0],
        wrong={
            "You added ε outside the root, to the root mean square. It belongs inside, beside the "
            "mean square, where it is as large as what "
            "it is added to.": lambda: SMALL / (SMALL + EPS),
            "That is without ε. Is it small beside the mean square of this vector?": lambda: (
                _normalised([SMALL])[0]
            ),
            "The ε is in the right place, but you divided by the "
            "mean square. Take the root.": lambda: SMALL / (SMALL**2 + EPS),
        },
        hint="The mean square is 0.001², and ε is added to it before the root is taken.",
        shows="1 / √2. An ε of a millionth matters for a vector of a thousandth: it is compared "
        "with the square.",
        tolerance=2e-4,
    ),
    "07.5": Exercise(
        question="the largest number of `attn_out` in layer 7, all its heads off",
        right=_of_silence,
        wrong={
            "A norm makes the root mean square one of whatever it is given, but for one vector. "
            "Which one has no direction?": lambda: 1.0,
            "That is the largest number with all heads on.": _loudest,
            "That is 1 / √ε. What is divided by √ε here is not one.": lambda: EPS**-0.5,
        },
        hint="All heads off, `z` is zero, and so is what `o_proj` makes of it. What does the norm "
        "make of a vector of zeros?",
        shows="0 / √(0 + ε) is 0. Without ε it would be 0 / 0, no number at all, and every number "
        "after it too.",
    ),
}
