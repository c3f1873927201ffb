"""Chapter 3: which rows a prompt reads, and which it leaves alone."""

from functools import cache

from olmo_explain.checkpoint import read_config
from olmo_explain.course.bundled import tiny_ids
from olmo_explain.course.exercise import Exercise

SMALL, LARGE = "What news from france?", "What news from France?"
TWICE = "I gave you a horse, you gave me a"
TWO_TOKENS = 2
SEVEN, TINY = read_config("olmo3-7b"), read_config("tiny")
ROW_BYTES = TINY.hidden_size * 2


@cache
def _ids(prompt: str) -> list[int]:
    return tiny_ids(prompt)[0].tolist()


def _new() -> int:
    return len(set(_ids(SMALL)) - set(_ids(LARGE)))


def _rows() -> int:
    return len(set(_ids(TWICE)))


EXERCISES = {
    "03.1": Exercise(
        question="rows that a small f adds",
        unit="rows",
        right=_new,
        wrong={
            "A small letter makes another token of it, with another row.": lambda: 0,
            "That takes a word for a token. Look at the pieces.": lambda: 1,
            "So many tokens it has in all. Some of their rows the other sentence reads "
            "too.": lambda: len(_ids(SMALL)),
        },
        hint="The rows of the one sentence that are not among those of the other.",
        shows="`tiny` knows *France* with a capital only. Written small it is a word that "
        "nobody knows, in pieces, and none of them lies where *France* does.",
    ),
    "03.2": Exercise(
        question=f"bytes of `tiny`'s table that {TWICE!r} reads",
        unit="bytes",
        right=lambda: _rows() * ROW_BYTES,
        wrong={
            "That reads a row for each token. A row that is looked up twice is still one row of "
            "the file.": lambda: len(_ids(TWICE)) * ROW_BYTES,
            "That counts numbers. Each has two bytes in bfloat16.": lambda: (
                _rows() * TINY.hidden_size
            ),
            "That is what the table *holds*. A prompt reads the rows of its tokens.": lambda: (
                TINY.vocab_size * ROW_BYTES
            ),
            "So many rows. How many bytes does each take?": _rows,
        },
        hint="Different tokens, times the bytes of a row.",
        shows="Reading is counted in rows of the file, not in tokens.",
    ),
    "03.3": Exercise(
        question="rows of the 7B's `lm_head.weight` that a prompt of two tokens reads",
        unit="rows",
        right=lambda: SEVEN.vocab_size,
        wrong={
            "That is the table, which looks rows up. `lm_head` gives a score to *every* token "
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
}
