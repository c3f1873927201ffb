"""The embedding as a lookup: each token of a sentence points at its row of the table."""

from collections import Counter
from collections.abc import Sequence

from olmo_explain.figures.drawing import ACCENT, SMALL, Drawing, token_label
from olmo_explain.figures.picture import Picture

TOP, MOST = 24, 264
FROM, TABLE, SAID = 152, 326, 392


def draw_lookup(ids: Sequence[int], tokens: Sequence[str], rows: int, model: str) -> Picture:
    """An arrow from each token to its row of a table of `rows` rows.

    Rows that are looked up more than once are in the accent.

    >>> draw_lookup([5, 9, 5], ["a", "b", "a"], 16, "tiny")
    3 tokens look up 2 rows of 16. Model: tiny.
    """
    times = Counter(ids)
    pitch = min(MOST / len(ids), 24)
    height = max(pitch * len(ids), 160)
    drawing = Drawing(TOP + height + 12)
    drawing.text(FROM - 54, 14, "token", anchor="end", size=SMALL, quiet=True)
    drawing.text(FROM - 8, 14, "row", anchor="end", size=SMALL, quiet=True)
    drawing.text((TABLE + SAID) / 2, 14, f"{rows:,} rows", anchor="middle", size=SMALL, quiet=True)
    drawing.rect(TABLE, TOP, SAID - TABLE, height, strength=0.08)

    order = sorted(range(len(ids)), key=lambda at: times[ids[at]])  # the accent comes last, on top
    for at in order:
        again = times[ids[at]] > 1
        colour, weight = (ACCENT, 600) if again else ("currentColor", 400)
        y, to = TOP + (at + 0.5) * pitch, TOP + (ids[at] + 0.5) / rows * height
        drawing.text(
            FROM - 54, y + 5, token_label(tokens[at]), anchor="end", mono=True, weight=weight
        )
        drawing.text(FROM - 8, y + 5, str(ids[at]), anchor="end", size=SMALL, weight=weight)
        middle = (FROM + TABLE) / 2
        drawing.path(
            f"M{FROM} {y:.4g}C{middle:g} {y:.4g} {middle:g} {to:.4g} {TABLE} {to:.4g}",
            colour=colour,
            strength=1 if again else 0.45,
            thick=2.4 if again else 1.4,
        )
        drawing.rect(
            TABLE, to - 1.5, SAID - TABLE, 3, fill=colour, strength=1 if again else 0.6, radius=0
        )
    _name_rows(drawing, ids, tokens, rows, height)
    twice = [f"{token_label(tokens[ids.index(i)])} at {_positions(ids, i)}" for i in times]
    twice = [said for said, i in zip(twice, times, strict=True) if times[i] > 1]
    return drawing.picture(
        f"{len(ids)} tokens look up {len(times)} rows of {rows:,}. Model: {model}.",
        f"{len(ids)} tokens on the left, each with an arrow to its row of a table of {rows:,}. "
        f"They reach {len(times)} rows. "
        + (f"On one row land: {'; '.join(twice)}." if twice else "No two land on one row."),
    )


def _positions(ids: Sequence[int], wanted: int) -> str:
    return " and ".join(str(at) for at, token_id in enumerate(ids) if token_id == wanted)


def _name_rows(
    drawing: Drawing, ids: Sequence[int], tokens: Sequence[str], rows: int, height: float
) -> None:
    """Right of the table: the rows that are looked up more than once."""
    last = -100.0
    for token_id in sorted({i for i in ids if ids.count(i) > 1}):
        y = TOP + (token_id + 0.5) / rows * height
        last = max(y, last + 20)
        token = token_label(tokens[ids.index(token_id)])
        drawing.path(f"M{SAID + 2} {y:.4g}L{SAID + 10} {last:.4g}", colour=ACCENT)
        drawing.text(SAID + 14, last + 5, f"{token} ×{ids.count(token_id)}", size=SMALL, mono=True)
