"""Masks of attention beside each other: which words each word may look at."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool

from olmo_explain.figures.drawing import ACCENT, SMALL, TEXT, WIDTH, Drawing, token_label
from olmo_explain.figures.picture import Picture

SIZE, GAP, TOP = 204, 28, 56  # of a square; between two; above them
LEFT = (WIDTH - 2 * SIZE - GAP) / 2


def draw_masks(
    masks: Mapping[str, Bool[np.ndarray, "query key"]],
    tokens: Sequence[str],
    key: int,
    model: str,
) -> Picture:
    """Two masks, by their names; the last word's row is lit, and the word at `key` pointed out."""
    assert len(masks) == 2 and all(mask.shape == (len(tokens),) * 2 for mask in masks.values())
    drawing, last, cell = Drawing(TOP + SIZE + 30), len(tokens) - 1, SIZE / len(tokens)
    word, looker, said = token_label(tokens[key]), token_label(tokens[last]), []
    for i, (name, mask) in enumerate(masks.items()):
        x = LEFT + i * (SIZE + GAP)
        seen = bool(mask[last, key])
        drawing.text(x, 18, name, weight=600)
        counted = f"{int(mask[last].sum())} of {len(tokens)}"
        drawing.text(x + SIZE, 18, counted, anchor="end", size=SMALL, quiet=True)
        drawing.rect(x, TOP, SIZE, SIZE, strength=0, outline="currentColor", thick=0.75, radius=0)
        rows = [_row(row, x, TOP + query * cell, cell) for query, row in enumerate(mask)]
        for steps, lit in (
            ("".join(rows[:-1]), 'fill="currentColor" fill-opacity="0.22"'),
            (rows[-1], f'fill="{ACCENT}"'),
        ):
            drawing.parts.append(f'<path d="{steps}" {lit}/>')
        where = x + (key + 0.5) * cell
        drawing.path(f"M{where:.4g} {TOP - 6}V{TOP + SIZE + 6}", colour=ACCENT, dashes="3 3")
        drawing.text(x, TOP - 12, word, size=SMALL, colour=ACCENT)
        words = f"sees {word}" if seen else f"{word} is out of sight"
        drawing.text(x + SIZE, TOP + SIZE + 22, words, anchor="end", size=TEXT)
        said.append(
            f"{name}: the last word, {looker}, sees {counted} words, and {word} is "
            f"{'one' if seen else 'none'} of them"
        )
    return drawing.picture(
        f"What each word may look at: a row for each of {len(tokens)} tokens, the last one, "
        f"{looker}, in green; dashed: the column of {word}. Model: {model}.",
        f"Two square masks. {'. '.join(said)}.",
    )


def _row(row: Bool[np.ndarray, "key"], x: float, y: float, cell: float) -> str:
    """What one word may look at, as a box."""
    first, count = int(row.argmax()), int(row.sum())
    assert row[first : first + count].all(), "what a word may look at lies together"
    width = count * cell
    return f"M{x + first * cell:.5g} {y:.5g}h{width:.5g}v{cell:.5g}h{-width:.5g}z"
