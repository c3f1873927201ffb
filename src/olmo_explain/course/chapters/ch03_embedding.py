"""Chapter 3: which rows a prompt reads, and which it leaves alone."""

from functools import cache

from olmo_explain.checkpoint import read_config
from olmo_explain.course.bundled import tiny, tiny_ids
from olmo_explain.course.exercise import Exercise

PROMPT = "To be, or not to be: to be"
TWO_TOKENS = 2
SEVEN, BIG, TINY = (read_config(name) for name in ("olmo3-7b", "olmo3-32b", "tiny"))
UNREAD = (BIG.vocab_size - 1) * BIG.hidden_size / BIG.parameters
ROW_BYTES = TINY.hidden_size * 2


@cache
def _ids() -> list[int]:
    return tiny_ids(PROMPT)[0].tolist()


def _words() -> set[str]:
    """What a reader may count: the same word is the same, however it is written."""
    return {tiny()[1].decode([i]).strip().casefold() for i in _ids()}


@cache
def _by_length() -> list[int]:
    """Token ids, from the shortest row to the longest."""
    return tiny()[0].model.embed_tokens.weight.detach().norm(dim=-1).argsort().tolist()


def _text(token_id: int) -> str:
    return tiny()[1].decode([token_id])


EXERCISES = {
    "03.1": Exercise(
        question=f"bytes of `tiny`'s embedding that {PROMPT!r} reads",
        right=lambda: len(set(_ids())) * ROW_BYTES,
        wrong={
            "That reads a row for each token. A row that is looked up twice is still one row of "
            "the file.": lambda: len(_ids()) * ROW_BYTES,
            "That counts numbers. Each has two bytes in bfloat16.": lambda: (
                len(set(_ids())) * TINY.hidden_size
            ),
            "That takes a word for a token. Print the ids: the same word with a capital, or "
            "without a space before it, has another id "
            "and another row.": lambda: len(_words()) * ROW_BYTES,
            "That is what the embedding *holds*. A prompt reads the rows of its tokens.": lambda: (
                TINY.vocab_size * ROW_BYTES
            ),
            "So many rows. How many bytes has each?": lambda: len(set(_ids())),
        },
        hint="Different ids, times the bytes of a row: `hidden_size` numbers of two bytes.",
        shows="Reading is counted in rows of the file, not in words and not in tokens.",
    ),
    "03.2": Exercise(
        question="rows of the 7B's `lm_head.weight` that a prompt of two tokens reads",
        right=lambda: SEVEN.vocab_size,
        wrong={
            "That is the embedding, which looks rows up. `lm_head` gives a score to *every* token "
            "there is, and each score needs its row.": lambda: TWO_TOKENS,
            "The token that comes out is one, but it is chosen among the scores of all.": lambda: 1,
            "That multiplies by the positions. They share what is read: a row that is used at two "
            "positions is one row.": lambda: TWO_TOKENS * SEVEN.vocab_size,
            "That is how long a row is. How many rows has `lm_head.weight`?": lambda: (
                SEVEN.hidden_size
            ),
        },
        hint="`lm_head.weight` is [V, D], and its product with a position gives V scores.",
        shows="The same shape as the embedding, and read in the opposite way: all of it, always.",
    ),
    "03.3": Exercise(
        question="the share of the 32B's parameters that a prompt of one token leaves unread",
        right=lambda: UNREAD,
        wrong={
            "That leaves `lm_head` unread too. It is a product, and "
            "reads all of its rows.": lambda: 2 * UNREAD,
            "That is the share that is read. The rest is asked for.": lambda: 1 - UNREAD,
            "That is a share of the embedding. Of all parameters of the model, please.": lambda: (
                (BIG.vocab_size - 1) / BIG.vocab_size
            ),
            "That is the part of the embedding that one token *reads*.": lambda: 1 / BIG.vocab_size,
            "Right, in per cent. Answer with the share, between 0 and 1.": lambda: 100 * UNREAD,
        },
        hint="All rows of the embedding but one, over all parameters.",
        shows="Less than two per cent: a large matrix, and a small part of a large model.",
    ),
    "03.4": Exercise(
        question="the token of `tiny` with the shortest row",
        right=lambda: _text(_by_length()[0]),
        wrong={
            "That is the longest row.": lambda: _text(_by_length()[-1]),
            "That is its id. Answer with its text: `tokenizer.decode([...])`.": lambda: (
                _by_length()[0]
            ),
            "Very short, but one is shorter still. Does your list "
            "leave out special tokens?": lambda: _text(_by_length()[1]),
        },
        hint="`W.float().norm(dim=-1)` gives the length of each row; `argmin` finds one.",
        shows="The training text never holds it. The shortest rows are those of tokens that are "
        "hardly ever seen: weight decay shrinks them, and nothing else moves them.",
    ),
}
