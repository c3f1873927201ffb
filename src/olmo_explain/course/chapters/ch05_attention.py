"""Chapter 5: shapes, what QK-norm spans, the scale of scores, where a head writes."""

from typing import Any

from olmo_explain.checkpoint import read_config
from olmo_explain.course.bundled import tiny, tiny_ids, tiny_values
from olmo_explain.course.exercise import Exercise, Wrong

PROMPT, LAYER, TOKENS = "To be, or not to be", 3, 1000
SEVEN, TINY = read_config("olmo3-7b"), read_config("tiny")
H, Dh = SEVEN.num_attention_heads, SEVEN.head_dim


def _real() -> Any:
    return tiny_values(PROMPT)


def _after_q_proj() -> str:
    from olmo_explain.running import trace

    paths = [call.path for call in trace(tiny()[0], tiny_ids(PROMPT)).calls]
    at = paths.index(f"model.layers.{LAYER}.self_attn.q_proj")
    return paths[at + 1].rpartition(".")[2]


def _largest_shares(factor: float, masked: bool = True) -> Any:
    """The largest share of each query in each head, scores multiplied by a factor."""
    real = _real()
    mask = real[LAYER, "mask"] if masked else 0
    return (real[LAYER, "scores"] * factor + mask).softmax(-1).max(-1).values


def _largest_share(power: float, masked: bool = True) -> float:
    """Mean over heads and queries of the largest share, scores multiplied by a power of Dh."""
    return _largest_shares(TINY.head_dim**power, masked).mean().item()


def _written() -> Any:
    from olmo_explain.running import head_contributions

    return head_contributions(tiny()[0], tiny_ids(PROMPT), LAYER)[0]  # (T, H, D)


def _loud(head: int, normalised: bool = True, at: Any = -1) -> float:
    """A head's query at some positions: its length with head 1's rows × 10, over that before."""
    from olmo_explain.by_hand import rms_norm

    size = TINY.head_dim
    before = _real()[LAYER, "q_proj"][0, at]  # (…, H·Dh)
    after = before.clone()
    after[..., size : 2 * size] *= 10
    if normalised:
        gains = tiny()[0].model.layers[LAYER].self_attn.q_norm.weight.detach()
        eps = TINY.rms_norm_eps
        before, after = rms_norm(before, gains, eps), rms_norm(after, gains, eps)
    own = (..., slice(head * size, (head + 1) * size))
    return (after[own].norm() / before[own].norm()).item()


EXERCISES = {
    "05.1": Exercise(
        question="the shape of `scores` in the 7B, 1,000 tokens",
        right=lambda: (1, H, TOKENS, TOKENS),
        wrong={
            "That is the shape of `z`, what the heads give. Scores come earlier: one number for "
            "each query and each key.": lambda: (1, TOKENS, H, Dh),
            "That is the shape of `q`, before queries meet keys. In the product the `head_dim` "
            "axes meet and are summed away.": lambda: (1, H, TOKENS, Dh),
            "That would be one pattern for all heads. Each head has scores of its own.": lambda: (
                1,
                TOKENS,
                TOKENS,
            ),
            "That is what `tiny` made of the prompt above. The 7B has more heads, and the prompt "
            "asked about is longer.": lambda: tuple(_real()[LAYER, "scores"].shape),
            "Heads and positions have changed places: they are cut apart *and* transposed, so "
            "that each head has a matrix of its own.": lambda: (1, TOKENS, H, TOKENS),
        },
        hint="Scores pair every query with every key, in every head.",
        shows="At this length the scores of a layer already outnumber its outputs several times, "
        "and they grow with the square of the prompt.",
    ),
    "05.2": Exercise(
        question="the module that runs right after `q_proj`",
        right=_after_q_proj,
        wrong={
            "That is the one, by its whole path. Answer with the last part of it alone.": Wrong(
                lambda: f"model.layers.{LAYER}.self_attn.{_after_q_proj()}",
                also=lambda answer: _after_q_proj() in answer.split("."),
            ),
            "That is its type, which four modules of a layer share. Which of them is it?": lambda: (
                "Olmo3RMSNorm"
            ),
            "That one follows `k_proj`. What follows `q_proj`?": lambda: "k_norm",
            "That is the order of the report, and of our steps 1 to 4: all projections first. The "
            "trace shows another.": lambda: "k_proj",
            "The angles are computed once, before the first layer. And queries are turned only "
            "after they were normalised.": Wrong(
                lambda: "rotary_emb",
                also=lambda answer: answer.casefold() in ("rope", "rotary", "rotate"),
            ),
            "That norm works on what attention *writes*, after `o_proj`. Queries have a norm of "
            "their own.": lambda: "post_attention_layernorm",
        },
        hint="Look at the paths of `oe.trace(model, ids).calls`, in the layers' `self_attn`.",
        shows="A norm follows its projection at once. The report's order, all projections first, "
        "gives the same numbers.",
    ),
    "05.3": Exercise(
        question="the mean largest share without the division by √head_dim",
        right=lambda: _largest_share(0.5),
        wrong={
            "That is the pattern as it is, with the division. `scores` are divided already: "
            "multiply to undo it.": lambda: _largest_share(0),
            "That divides twice, by `head_dim` in all, and flattens the pattern. `scores` are "
            "divided already: multiply to undo it.": lambda: _largest_share(-0.5),
            "That multiplies by `head_dim`. Scores were divided by its *square root*.": lambda: (
                _largest_share(1)
            ),
            "That is without the mask: queries look at keys that come after them.": lambda: (
                _largest_share(0.5, masked=False)
            ),
            "That is the largest of all. Take the largest share of each query, then the mean over "
            "queries and heads.": lambda: _largest_shares(TINY.head_dim**0.5).max().item(),
            "You multiplied by √`hidden_size`. Scores were divided by √`head_dim`.": lambda: (
                _largest_shares(TINY.hidden_size**0.5).mean().item()
            ),
        },
        hint="Undo the division, add the mask, take the softmax over keys; then the largest of "
        "each row, and the mean of those.",
        shows="Sharper, closer to all or nothing: a query hears little but its best key.",
    ),
    "05.4": Exercise(
        question="how many numbers of the residual stream one head writes to",
        right=lambda: int(_written()[-1, 0].count_nonzero()),
        wrong={
            "That many numbers hold the head's output in `z`, *before* `o_proj`. Every one of "
            "them is then spread by a whole column of `o_proj`.": lambda: TINY.head_dim,
            "That counts all heads of the layer. One head is asked for.": lambda: int(
                _written()[-1].count_nonzero()
            ),
            "That counts all positions. One position is asked for.": lambda: int(
                _written()[:, 0].count_nonzero()
            ),
        },
        hint="`oe.head_contributions(model, ids, LAYER)` has axes batch, position, head, hidden: "
        "take one head at one position, and count what is not zero.",
        shows="All of them. So no slice of the output belongs to a head, and none can be switched "
        "off there.",
    ),
    "05.5": Exercise(
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
}
