"""Chapter 4: rows are outputs, columns inputs, and no two words meet."""

from functools import cache
from typing import Any

from olmo_explain.checkpoint import read_config
from olmo_explain.course.bundled import tiny, tiny_values
from olmo_explain.course.exercise import Exercise

OUTPUT = 3
TWINS = 2, 10  # the two "from" of the sentence
SEVEN, TINY = read_config("olmo3-7b"), read_config("tiny")
D, F = SEVEN.hidden_size, SEVEN.intermediate_size


@cache
def _weight(name: str) -> Any:
    return getattr(tiny()[0].model.layers[0].self_attn, name).weight.detach()


def _first_apart() -> int:
    """The first layer whose `q_proj` is not the same for the twins, but for rounding.

    A processor's product of matrices may sum row 2 in another order than row 10.
    """
    from olmo_explain.running import NEAR

    values = tiny_values(NEAR)
    first, second = TWINS
    rows = (values[layer, "q_proj"][0] for layer in range(TINY.num_hidden_layers))
    return next(n for n, row in enumerate(rows) if not row[first].allclose(row[second], atol=1e-4))


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
    "04.3": Exercise(
        question="the first layer in which the two rows differ",
        right=_first_apart,
        wrong={
            "In layer 0 `q_proj` reads what both fetched from one row of the table. No position "
            "is in it yet, and no other word.": lambda: 0,
            "That is the first full layer. The sliding layers before it see 32 tokens back, more "
            "than this sentence has.": lambda: TINY.full_attention_layers[0],
            "By the last layer they have been apart for long. Go back, layer by layer.": lambda: (
                TINY.num_hidden_layers - 1
            ),
        },
        hint="Attention of which layer is the first that can have changed what `q_proj` reads?",
        shows="Attention of the layer before has read other words for the one *from* than for the "
        "other. From then on all that is computed for them differs.",
    ),
    "04.4": Exercise(
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
