"""The stream read as a word after each layer, as if the model ended there."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from olmo_explain.figures.drawing import ACCENT, SMALL, Drawing, token_label
from olmo_explain.figures.picture import Picture

ROW, TOP = 27, 32  # units, of a layer and above the first
STREAM, WORD, BAR, LONGEST = 104, 122, 268, 158  # where these begin; the length of a whole bar
LONGEST_WORD = 11  # letters


def draw_lens(
    shares: Float[Any, "row vocab"], words: Sequence[str], full: Sequence[int], model: str
) -> Picture:
    """A row for the embedding and one for each layer: its best word, and what the answer has.

    `shares`: the probability of each token, as read there. `words`: the likeliest token of each
    row, as text; that of the last is the answer. `full`: the layers whose attention is full.

    >>> draw_lens(np.array([[0.9, 0.1], [0.5, 0.5001]]), [" the", " a"], full=[0], model="none")
    The last token's stream after each layer, read as a word by … from 10 % to 50 %.
    """
    table, answer = np.asarray(shares), words[-1]
    best, of_answer = table.max(-1).tolist(), table[:, table[-1].argmax()].tolist()
    drawing = Drawing(TOP + ROW * len(words) + 6)
    middles = [TOP + ROW * (row + 0.5) for row in range(len(words))]
    drawing.text(0, 16, "after", size=SMALL, quiet=True)
    drawing.text(WORD, 16, "best word", size=SMALL, quiet=True)
    drawing.text(BAR, 16, f"share of {token_label(answer)}", size=SMALL, quiet=True)
    drawing.path(
        f"M{STREAM} {TOP - 6}L{STREAM} {middles[-1]:g}", colour=ACCENT, strength=0.45, thick=4
    )
    for row, (middle, word, sure, share) in enumerate(
        zip(middles, words, best, of_answer, strict=True)
    ):
        line, found = middle + 5, word == answer
        drawing.text(0, line, _name(row, full), size=SMALL, quiet=not found)
        if found:
            drawing.rect(STREAM + 10, middle - 12, BAR - STREAM - 18, 24, fill=ACCENT, strength=0.2)
        drawing.circle(STREAM, middle, 5.5, fill=ACCENT, outline="currentColor", thick=1)
        drawing.text(WORD, line, _fit(word), size=SMALL, weight=700 if found else 400, mono=True)
        drawing.text(BAR - 16, line, _percent(sure), anchor="end", size=SMALL, quiet=not found)
        drawing.rect(BAR, middle - 8, LONGEST, 16, strength=0.08)
        if share > 0:
            drawing.rect(BAR, middle - 8, max(LONGEST * share, 1), 16, fill=ACCENT)
        drawing.text(480, line, _percent(share), anchor="end", weight=700 if found else 400)
    return drawing.picture(
        "The last token's stream after each layer, read as a word by the final norm and lm_head. "
        f"Model: {model}.",
        _said(words, of_answer, answer, full),
    )


def _name(row: int, full: Sequence[int]) -> str:
    if not row:
        return "embedding"
    return f"layer {row - 1}" + (" · full" if row - 1 in full else "")


def _fit(word: str) -> str:
    label = token_label(word)
    return label if len(label) <= LONGEST_WORD else f"{label[: LONGEST_WORD - 1]}…"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.0995 or not share else f"{100 * share:.1f} %"


def _said(words: Sequence[str], shares: Sequence[float], answer: str, full: Sequence[int]) -> str:
    runs: list[tuple[str, int, int]] = []  # word, first row, last row
    for row, word in enumerate(words):
        begins = runs.pop()[1] if runs and runs[-1][0] == word else row
        runs.append((word, begins, row))
    told = [
        f"“{word.strip() or token_label(word)}” {_span(first, last)}" for word, first, last in runs
    ]
    row = max(range(1, len(shares)), key=lambda at: shares[at] - shares[at - 1])
    return (
        f"The best word is {', then '.join(told)}. “{answer.strip()}” gains most in layer {row - 1}"
        f"{', whose attention is full' if row - 1 in full else ''}: from "
        f"{_percent(shares[row - 1])} to {_percent(shares[row])}."
    )


def _span(first: int, last: int) -> str:
    names = ["the embedding" if not row else f"layer {row - 1}" for row in (first, last)]
    return f"after {names[0]}" if first == last else f"from {names[0]} to {names[1]}"
