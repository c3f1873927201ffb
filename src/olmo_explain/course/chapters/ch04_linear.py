"""Chapter 4: rows are outputs, MACs and FLOPs, what is read and what is multiplied."""

from functools import cache
from typing import Any

from olmo_explain.checkpoint import read_config
from olmo_explain.course.bundled import tiny
from olmo_explain.course.exercise import Exercise

POSITIONS, INTENSITY, OUTPUT = 64, 64, 3
SEVEN, TINY = read_config("olmo3-7b"), read_config("tiny")
D, F = SEVEN.hidden_size, SEVEN.intermediate_size
MACS = POSITIONS * D * D


@cache
def _weight(name: str) -> Any:
    return getattr(tiny()[0].model.layers[0].self_attn, name).weight.detach()


def _rank_of_head() -> int:
    """Of head 0's part of o_proj times its part of v_proj."""
    import torch

    product = _weight("o_proj")[:, : TINY.head_dim] @ _weight("v_proj")[: TINY.head_dim]
    return int(torch.linalg.matrix_rank(product))


EXERCISES = {
    "04.1": Exercise(
        question="the shape of `down_proj.weight` in the 7B",
        right=lambda: (D, F),
        wrong={
            "Rows and columns have changed places: that is `gate_proj`, which takes D to F. "
            "Outputs come first.": lambda: (F, D),
            "That is a projection of attention. `down_proj` brings the F numbers inside the MLP "
            "back to D.": lambda: (D, D),
            "F numbers go in; how many come out, onto the residual stream?": lambda: (F, F),
        },
        hint="[outputs, inputs]. `down_proj` takes `intermediate_size` numbers to `hidden_size`.",
        shows="The first index, the row, is the output; the second, the column, is the input.",
    ),
    "04.2": Exercise(
        question="FLOPs of `q_proj` in one layer of the 7B, for 64 positions",
        right=lambda: 2 * MACS,
        wrong={
            "Those are multiply-accumulates (MACs). Each is two FLOPs: one to multiply, one to "
            "add.": lambda: MACS,
            "That is one position. The weights are shared by all positions, the multiplying is "
            "not.": lambda: 2 * D * D,
            "That is `q_proj`, `k_proj` and `v_proj` together. One of them is asked for.": lambda: (
                3 * 2 * MACS
            ),
            "A factor of two too many. Two bytes a weight have no "
            "part in a count of FLOPs.": lambda: 4 * MACS,
        },
        hint="Each output at each position takes `hidden_size` multiply-accumulates.",
        shows="Tools and papers write FLOPs for either count. Ask which, before you compare.",
    ),
    "04.3": Exercise(
        question="the weights that make output 3 of `x @ W`",
        right=lambda: _weight("q_proj")[:, OUTPUT],
        wrong={
            "Row 3 makes output 3 of `x @ W.T`, which is what the module computes. Here nothing "
            "is turned on its side.": lambda: _weight("q_proj")[OUTPUT],
            "That is the one before. Outputs count from 0, as indices do.": lambda: _weight(
                "q_proj"
            )[:, OUTPUT - 1],
            "That is several of them. One output is made by one vector of weights.": lambda: (
                _weight("q_proj")[:, : OUTPUT + 1]
            ),
        },
        hint="In `x @ W`, each output is x times a *column* of W.",
        shows="Each number in it belongs to another output of the real layer. No shape complains, "
        "as the matrix is square: only a check against the module finds it.",
    ),
    "04.4": Exercise(
        question="positions at which `q_proj` of the 7B does 64 FLOPs for each byte of its weights",
        right=lambda: INTENSITY * (D * D * 2) // (2 * D * D),
        wrong={
            "So it is if a multiply-accumulate counts once. It is two FLOPs.": lambda: (
                2 * INTENSITY
            ),
            "That is FLOPs for each *weight*. A weight in bfloat16 has two bytes.": lambda: (
                INTENSITY // 2
            ),
            "That grows with the size of the matrix. More weights are more FLOPs *and* more "
            "bytes: the size cancels.": lambda: INTENSITY * D,
        },
        hint="FLOPs: 2 · T · D². Bytes: 2 · D². What is left when one is divided by the other?",
        shows="In bfloat16, FLOPs for each byte are just the number of positions, whatever the "
        "matrix. A machine that can do hundreds of FLOPs while a byte arrives idles on short "
        "prompts.",
    ),
    "04.5": Exercise(
        question="the rank of head 0's `o_proj` part times its `v_proj` part, in `tiny`",
        right=_rank_of_head,
        wrong={
            "That is the size of the product, the most that a matrix of that size could have, or "
            "all heads together. Through how many numbers does everything "
            "pass in one head?": lambda: TINY.hidden_size,
            "That is the number of heads. One head's values have more numbers than that.": lambda: (
                TINY.num_attention_heads
            ),
            "`v_proj` and `o_proj` meet in the *same* numbers: do not add them.": lambda: (
                TINY.head_dim * 2
            ),
        },
        hint="`torch.linalg.matrix_rank(o[:, :Dh] @ v[:Dh])`, with `Dh` for `head_dim`.",
        shows="Two linear layers with nothing between them are one matrix [D, D], and this one is "
        "thin: a head reads and writes no more than `head_dim` directions.",
    ),
}
