"""Chapter 11: a head's columns, shared keys, norms at the start, QK-norm, and a head's job."""

import math
from collections.abc import Callable
from functools import cache
from itertools import product
from typing import Any

from olmo_explain.checkpoint import OlmoConfig, head_norms, head_slices, initial_norm, read_config
from olmo_explain.course.answers import same
from olmo_explain.course.bundled import tiny
from olmo_explain.course.exercise import Exercise, Wrong

HEAD = 3  # of 11.1
SHARING = 27  # the query head of 11.2
PERIOD, SEQUENCES = 40, 4


def _layer() -> int:
    """The chapter's: the last full-attention layer."""
    return read_config("tiny").full_attention_layers[-1]


def _weight(projection: str = "o_proj", layer: int | None = None) -> Any:
    attention = tiny()[0].model.layers[_layer() if layer is None else layer].self_attn
    return attention.get_submodule(projection).weight.detach()


def _columns(head: int) -> slice:
    part = head_slices(read_config("tiny"), _layer(), head)["o_proj"]
    return slice(part.start, part.stop)


def _big() -> OlmoConfig:
    return read_config("olmo3-32b")


def _others(group_of: Callable[[int], int]) -> frozenset[int]:
    """Query heads that `group_of` puts into the group of head 27, without itself."""
    heads = range(_big().num_attention_heads)
    return frozenset(h for h in heads if group_of(h) == group_of(SHARING) and h != SHARING)


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
        question="what head 3 writes with, [D, Dh]",
        right=lambda: _weight()[:, _columns(HEAD)],
        wrong={
            "Those are rows. The matrix is square, so nothing fails, but a row of `o_proj` is one "
            "number of the output, to which every head writes.": Wrong(
                lambda: _weight()[_columns(HEAD)],
                also=lambda answer: same(_weight()[_columns(HEAD)].T, answer),
            ),
            "That is the head before it. Heads are counted from 0.": lambda: _weight()[
                :, _columns(HEAD - 1)
            ],
            "You took every fourth column. A head is one block of `head_dim` columns.": lambda: (
                _weight()[:, HEAD :: read_config("tiny").num_attention_heads]
            ),
            "That is one column. A head has `head_dim` of them.": Wrong(
                lambda: _weight()[:, HEAD : HEAD + 1],
                also=lambda answer: same(_weight()[:, HEAD], answer),
            ),
            "Those are the right columns of another layer's `o_proj`. The chapter's layer is "
            "`LAYER`.": Wrong(
                lambda: _weight(layer=read_config("tiny").full_attention_layers[0])[
                    :, _columns(HEAD)
                ],
                also=lambda answer: any(
                    same(_weight(layer=layer)[:, _columns(HEAD)], answer)
                    for layer in range(read_config("tiny").num_hidden_layers)
                ),
            ),
            "Those are columns of another weight. A head writes with `o_proj`.": Wrong(
                lambda: _weight("v_proj")[:, _columns(HEAD)],
                also=lambda answer: any(
                    same(_weight(name)[part], answer)
                    for name in ("q_proj", "k_proj", "v_proj")
                    for part in (_columns(HEAD), (slice(None), _columns(HEAD)))
                ),
            ),
        },
        hint="The heads stand side by side at the input of `o_proj`, and inputs are columns.",
        shows='`head_slices` gives the same: `o_proj.weight[head_slices(…)["o_proj"].index]`.',
    ),
    "11.2": Exercise(
        question="the other heads that share keys with head 27",
        right=lambda: _others(lambda head: head // _big().queries_per_kv_head),
        wrong={
            "Those are all that read these keys. Which other ones are there?": lambda: (
                _others(lambda head: head // _big().queries_per_kv_head) | {SHARING}
            ),
            "You dealt the heads out in turn, `h % 8`. Heads that share stand side by side: `h // "
            "(H / K)`.": Wrong(
                lambda: _others(lambda head: head % _big().num_key_value_heads),
                also=lambda heads: same(_others(lambda h: h % _big().queries_per_kv_head), heads),
            ),
            "You made groups of eight. Eight is how many groups there are; how many query heads "
            "are in each?": lambda: _others(lambda head: head // _big().num_key_value_heads),
        },
        hint="H / K query heads share one key-value head, the first ones number 0, and so on.",
        shows="So a slice of `k_proj` in the 32B belongs to five heads.",
    ),
    "11.3": Exercise(
        question="norm of a head's slice of q_proj at initialisation, 32B",
        right=lambda: initial_norm(_big()),
        wrong={
            "That is the 7B's. The rows of the 32B are longer.": lambda: initial_norm(
                read_config("olmo3-7b")
            ),
            "That is the whole of `q_proj`, all heads. One head has `head_dim` rows.": lambda: (
                _big().initializer_range * _big().hidden_size
            ),
            "That is the sum of the squares. The norm is its root.": lambda: (
                initial_norm(_big()) ** 2
            ),
            "You multiplied σ by n. The squares add up, so the norm is σ · √n.": lambda: (
                _big().initializer_range * _big().head_dim * _big().hidden_size
            ),
            "That is one row. A head has `head_dim` of them.": lambda: (
                _big().initializer_range * math.sqrt(_big().hidden_size)
            ),
        },
        hint="It is σ · √n, and the slice has n numbers: `head_dim` rows of `hidden_size` numbers.",
        shows="A norm says something only beside the norm of its model's initialisation: a larger "
        "model starts with larger slices.",
    ),
    "11.4": Exercise(
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
                also=lambda factor: same(2 / math.sqrt(5 / 4), factor),
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
    "11.5": Exercise(
        question="(layer, head) of the head that is missed most",
        right=_most_missed,
        wrong={
            "That head has the highest induction score, but others of its layer do the same work. "
            "Which head has no other to take its place?": _induction_head,
            "That head has the largest norm of its queries. A norm is not a job: measure the "
            "loss.": Wrong(
                lambda: _largest("q_proj"), also=lambda place: place == _largest("k_proj")
            ),
            "Another head is missed more. Take them all, and look for the largest loss.": Wrong(
                lambda: (0, 0), also=lambda place: place in _places()
            ),
        },
        hint="Silence each head in turn with `oe.ablate_head`, and compare "
        "`circuits.repetition_losses(model, ids, PERIOD).second`.",
        shows="Without it the induction heads no longer find the place. It is also first by the "
        "norms of `v_proj` and `o_proj`, which nobody could know: by those of `q_proj` and "
        "`k_proj` it stands in the second half.",
    ),
}
