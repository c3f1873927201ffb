"""What one head looks at: its pattern as square cells, and arcs from the word that looks.

A token looks at itself and back, never ahead, so half of the square stays empty. The tokens' names
stand there, each at the end of its row and on top of its column, and the arcs run around them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from jaxtyping import Float
from numpy import ndarray

from olmo_explain.errors import UsageError
from olmo_explain.figures.drawing import ACCENT, SMALL, Drawing, token_label
from olmo_explain.figures.picture import Picture

CELL, STEP, SKIPPED = 22, 24, 10  # a cell, from one to the next, and more where tokens are left out
LEFT, TOP = 3, 3
MOST, RECENT = 11, 5  # tokens that are drawn, and how many of them are the last ones
NAME, SHARE = 15, 16  # sizes of type
MONO, SANS = 0.61, 0.56  # of a letter, its width by the size of its type
FAINT, LOOKED_AT = 0.002, 0.05  # smaller shares get no colour, and no arc


def draw_pattern(
    pattern: Float[ndarray, "query key"], tokens: Sequence[str], model: str, layer: int, head: int
) -> Picture:
    """A head's pattern on a text, its last row lit, with arcs from the last token to what it sees.

    `pattern`: an array or a tensor, a row for each query. Of a long text eleven tokens are drawn:
    the last ones, and those that the last one looks at most, each with the one before it.

    >>> draw_pattern(np.array([[1, 0], [0.9, 0.1]]), ["To", " be"], "tiny", 7, 0).alt
    'The pattern of 2 words. The last, be, gives 90 % of its attention to To.'
    """
    if not len(tokens) or tuple(pattern.shape) != (len(tokens),) * 2:
        raise UsageError(
            f"{len(tokens)} tokens need a pattern of as many rows and columns",
            "Give that of one head: patterns[layer, head]",
        )
    shares = pattern.tolist()
    kept = _kept(shares[-1])
    row = [shares[-1][key] for key in kept]
    places = _Places(kept, [token_label(tokens[at]) for at in kept])
    looks = {at: share for at, share in enumerate(row[:-1]) if share >= LOOKED_AT}
    twin = max((at for at, key in enumerate(kept[:-1]) if tokens[key] == tokens[-1]), default=None)
    drawing = Drawing(places.y(len(kept) - 1) + CELL + 5)
    _draw_cells(drawing, places, [[shares[query][key] for key in kept] for query in kept])
    _light_row(drawing, places, looks)
    _write_names(drawing, places, row, looks, twin)
    for at, share in sorted(looks.items(), key=lambda look: look[1]):
        _draw_arc(drawing, places, at, share)
    some = "" if len(kept) == len(tokens) else f", {len(kept)} of {len(tokens)} tokens"
    return drawing.picture(
        "Each row is a word, its name at the end. Its cells show how it looks at the words so far, "
        f"itself last. Model: {model}, layer {layer}, head {head}{some}.",
        _told([tokens[key].strip() for key in kept], row, twin, len(tokens)),
    )


@dataclass
class _Places:
    """Where each token's cell and name are, by its number among those that are drawn."""

    kept: Sequence[int]
    names: Sequence[str]

    def __post_init__(self) -> None:
        jumps = [0, *(SKIPPED * (b - a > 1) for a, b in pairwise(self.kept))]
        self._starts = [at * STEP + sum(jumps[: at + 1]) for at in range(len(jumps))]

    def x(self, at: int) -> float:
        return LEFT + self._starts[at]

    def y(self, at: int) -> float:
        return TOP + self._starts[at]

    def middle(self, at: int) -> float:
        return self.y(at) + CELL / 2

    def name(self, at: int) -> float:
        """Where a name begins."""
        return self.x(at) + STEP + 6

    def end(self, at: int, said: str = "") -> float:
        """Where a name ends, and what is said behind it."""
        behind = 8 + len(said) * SHARE * SANS if said else 0
        return self.name(at) + len(self.names[at]) * NAME * MONO + behind


def _kept(row: Sequence[float]) -> list[int]:
    """The tokens that are drawn."""
    last = len(row) - 1
    kept = set(range(max(0, last + 1 - RECENT), last + 1))
    for key in sorted(range(last), key=lambda key: -row[key]):
        more = {key, max(0, key - 1)}
        if len(kept | more) <= MOST:
            kept |= more
    return sorted(kept)


def _draw_cells(drawing: Drawing, places: _Places, rows: Sequence[Sequence[float]]) -> None:
    for query, row in enumerate(rows):
        for key, share in enumerate(row[: query + 1]):
            box = (places.x(key), places.y(query), CELL, CELL)
            drawing.rect(*box, strength=0.07, radius=3)
            if share > FAINT:
                drawing.rect(*box, fill=ACCENT, strength=share**0.6, radius=3)


def _light_row(drawing: Drawing, places: _Places, looks: dict[int, float]) -> None:
    """A frame round the last row, and from what it looks at up the column to the name."""
    last = len(places.kept) - 1
    y = places.y(last)
    drawing.rect(
        LEFT - 2, y - 2, places.x(last) + CELL + 4 - LEFT, CELL + 4,
        strength=0, outline=ACCENT, radius=5, thick=2,
    )  # fmt: skip
    for at in looks:
        x = places.x(at) + CELL / 2
        line = f"M{x:g} {places.y(at) + STEP:g}L{x:g} {y - 3:g}"
        drawing.path(line, colour=ACCENT, dashes="1.5 4", thick=2)


def _write_names(
    drawing: Drawing,
    places: _Places,
    row: Sequence[float],
    looks: dict[int, float],
    twin: int | None,
) -> None:
    for at, name in enumerate(places.names):
        y = places.middle(at) + 5
        is_lit = at in looks or at == len(row) - 1
        colour, weight = (ACCENT, 700) if is_lit else ("currentColor", 400)
        drawing.text(places.name(at), y, name, size=NAME, mono=True, colour=colour, weight=weight)
        if at in looks:
            x = places.end(at) + 8
            drawing.text(x, y, _percent(looks[at]), size=SHARE, colour=ACCENT, weight=700)
        elif at == twin:
            said = f"the same word: {_percent(row[at])}"
            drawing.text(places.end(at) + 8, y, said, size=SMALL, quiet=True)


def _draw_arc(drawing: Drawing, places: _Places, at: int, share: float) -> None:
    """From behind the last name, round all the others, to a word and its share."""
    last = len(places.kept) - 1
    x1, y1 = places.end(last) + 6, places.middle(last)
    x2, y2 = places.end(at, _percent(share)) + 10, places.middle(at)
    widest = max(places.end(between) for between in range(at, last + 1))
    bend = min(drawing.width + 20, widest + 20 + 1.1 * (y1 - y2))
    size = 5 + 5 * share
    path = f"M{x1:g} {y1:g}C{bend:.4g} {y1:g} {bend:.4g} {y2:g} {x2 + size:.4g} {y2:g}"
    strength = 0.4 + 0.6 * share
    drawing.path(path, colour=ACCENT, strength=strength, thick=1 + 6 * share)
    drawing.parts.append(
        f'<path d="M{x2:.4g} {y2:g}l{1.4 * size:.4g} {-size:.4g}v{2 * size:.4g}z" fill="{ACCENT}" '
        f'fill-opacity="{strength:.3g}"/>'
    )


def _told(words: Sequence[str], row: Sequence[float], twin: int | None, count: int) -> str:
    """What one should see."""
    best = max(range(len(row)), key=lambda at: row[at])
    told = f"The last, {words[-1]}, gives {_percent(row[best])} of its attention to {words[best]}"
    if twin is not None and best == twin + 1:
        told += (
            f", the word right after the same word earlier, which itself gets {_percent(row[twin])}"
        )
    return f"The pattern of {count} words. {told}."


def _percent(share: float) -> str:
    return f"{100 * share:.{1 if 0.0005 <= share < 0.01 else 0}f} %"
