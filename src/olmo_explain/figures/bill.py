"""The bill: how much each part of the model adds to one token's lead over another."""

import math
from collections.abc import Sequence

from olmo_explain.figures.drawing import ACCENT, SMALL, WIDTH, Drawing, token_label
from olmo_explain.figures.picture import Picture
from olmo_explain.words import minus

ROW, TOP, END = 25, 28, 40  # units, of a layer, above the first and below the last
NAMES, NUMBER = 88, 52  # that the rows' names take, and a number at the end of a bar


def draw_bill(
    embedding: float,
    attention: Sequence[float],
    mlp: Sequence[float],
    answer: str,
    rival: str,
    model: str,
) -> Picture:
    """A row for each layer, what its attention adds on the left and what its MLP adds on the right.

    All numbers are shares of one difference, the answer's logit minus the rival's; they are drawn
    to one scale, and their sum stands below.
    """
    columns = ([embedding, *attention], [0.0, *mlp])
    total = math.fsum(map(math.fsum, columns))
    below, above = ([reach(*it, 0.0) for it in columns] for reach in (min, max))
    scale = (WIDTH - NAMES - 4 * NUMBER) / (sum(above) - sum(below) or 1)
    zeros = (NAMES + NUMBER - below[0] * scale, WIDTH - NUMBER - above[1] * scale)
    bottom = TOP + ROW * len(columns[0])
    drawing = Drawing(bottom + END)
    for row in range(len(columns[0])):
        name = f"layer {row - 1}" if row else "embedding"
        drawing.text(0, TOP + ROW * (row + 0.5) + 5, name, size=SMALL, quiet=True)
    for zero, amounts, words in zip(zeros, columns, ("attention", "MLP"), strict=True):
        drawing.text(zero, 16, words, anchor="middle", size=SMALL, quiet=True)
        drawing.path(f"M{zero:.4g} {TOP - 4}L{zero:.4g} {bottom}", strength=0.35, thick=1)
        for row, amount in enumerate(amounts):
            if row or amounts is columns[0]:
                loud = amount == max(above)
                _bar(drawing, zero, TOP + ROW * (row + 0.5), amount, scale, loud)
    drawing.path(f"M0 {bottom + 6}L480 {bottom + 6}", strength=0.35, thick=1)
    drawing.text(0, bottom + 28, f"together {_signed(total)}", weight=700)
    ahead, behind = (answer, rival) if total >= 0 else (rival, answer)
    drawing.text(
        480,
        bottom + 28,
        f"{token_label(ahead)} is {_times(total)} × as likely as {token_label(behind)}",
        anchor="end",
        size=SMALL,
    )
    return drawing.picture(
        f"What each part adds to the logit of {token_label(answer)} minus that of "
        f"{token_label(rival)}, the final norm's divisor held. Model: {model}.",
        _said(embedding, attention, mlp, answer, rival),
    )


def _bar(
    drawing: Drawing, zero: float, middle: float, amount: float, scale: float, loud: bool
) -> None:
    long, up = abs(amount) * scale, amount >= 0
    drawing.rect(
        zero if up else zero - long,
        middle - 8,
        long,
        16,
        fill=ACCENT if up else "currentColor",
        strength=1 if up else 0.4,
    )
    drawing.text(
        zero + (long + 5) * (1 if up else -1),
        middle + 5,
        _signed(amount),
        anchor="start" if up else "end",
        size=SMALL,
        weight=700 if loud else 400,
    )


def _signed(amount: float) -> str:
    return minus(f"{amount:+.2f}")


def _times(difference: float) -> str:
    ratio = math.exp(abs(difference))
    return f"{ratio:,.0f}" if ratio >= 9.5 else f"{ratio:.1f}"


def _said(
    embedding: float,
    attention: Sequence[float],
    mlp: Sequence[float],
    answer: str,
    rival: str,
) -> str:
    named = [("the embedding", embedding)]
    for what, amounts in (("attention", attention), ("the MLP", mlp)):
        named += [(f"{what} in layer {layer}", amount) for layer, amount in enumerate(amounts)]
    named.sort(key=lambda part: part[1])
    (most, largest), (next_most, second), (least, lowest) = named[-1], named[-2], named[0]
    total = math.fsum(amount for _, amount in named)
    return (
        f"{len(named)} bars that add up to {_signed(total)}, the lead of “{answer.strip()}” over "
        f"“{rival.strip() or token_label(rival)}”. Most comes from {most}, {_signed(largest)}, "
        f"then from {next_most}, {_signed(second)}; {least} speaks most against it, "
        f"{_signed(lowest)}."
    )
