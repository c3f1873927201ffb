"""What became of a report's statements: a square for each, and what was wrong with the wrong."""

from collections.abc import Mapping, Sequence

from olmo_explain.figures.drawing import ACCENT, WIDTH, Drawing
from olmo_explain.figures.picture import Picture

PITCH, SIZE = 17.7, 14  # of the small squares
ROW, BOX = 21, 15  # of those that are sorted
LABELS = 190


def draw_verdicts(
    reproduced: int, corrected: Mapping[str, Sequence[str]], recorded: int, title: str
) -> Picture:
    """`corrected`: ids of claims, by what went wrong with them. `title` names report and model."""
    wrong = sum(map(len, corrected.values()))
    a_row = int(WIDTH // PITCH)
    rows = -(-reproduced // a_row)
    top = 24 + rows * PITCH + 30
    drawing = Drawing(top + len(corrected) * ROW + 14 + 20)
    drawing.text(0, 15, f"{reproduced} hold", weight=600)
    for number in range(reproduced):
        y = 24 + number // a_row * PITCH
        drawing.rect(number % a_row * PITCH, y, SIZE, SIZE, fill=ACCENT, strength=0.28)
    drawing.text(0, top - 7, f"{wrong} needed correcting", weight=600)
    for line, (slip, ids) in enumerate(corrected.items()):
        y = top + line * ROW
        drawing.text(0, y + 15, slip)
        for number in range(len(ids)):
            drawing.rect(LABELS + number * ROW, y + 3, BOX, BOX, fill=ACCENT)
        drawing.text(LABELS + len(ids) * ROW + 3, y + 15, str(len(ids)), quiet=True)
    y = drawing.height - 18
    drawing.text(0, y + 13, f"{recorded} only recorded", weight=600)
    for number in range(recorded):
        drawing.rect(
            LABELS + number * ROW, y, BOX, BOX, strength=0, outline="currentColor", thick=1.2
        )
    slips = ", ".join(f"{slip} {len(ids)}" for slip, ids in corrected.items())
    return drawing.picture(
        f"The {reproduced + wrong + recorded} statements of {title}",
        f"A square for each statement. {reproduced} are pale: they hold. {wrong} are strong, in "
        f"rows by what went wrong: {slips}. {recorded} are empty: they take the real weights, or "
        "that day.",
    )
