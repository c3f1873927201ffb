"""A checkpoint as a bar of bytes, opened twice: to a tensor, and to a row of it."""

import re
from collections.abc import Iterable

from olmo_explain.checkpoint import Checkpoint
from olmo_explain.figures.drawing import ACCENT, ON_ACCENT, SMALL, Drawing, token_label
from olmo_explain.figures.picture import Picture
from olmo_explain.words import minus

LEFT, RIGHT = 4, 476
HEIGHT, BETWEEN = 30, 86
FILE, TENSOR, ROW = 24, 24 + BETWEEN, 24 + 2 * BETWEEN  # where the three bars begin


def draw_file_bar(
    checkpoint: Checkpoint, name: str, row: int, model: str, token: str = ""
) -> Picture:
    """The file, the tensor in it, and the bytes of one of its rows at their address.

    `token`: the word whose row it is.

    >>> draw_file_bar(Checkpoint("tiny"), "model.embed_tokens.weight", 5, "tiny")
    A file of 4,228,960 bytes, opened to row 5 of model.embed_tokens.weight. Model: tiny.
    """
    tensor = checkpoint.tensor(name)
    stored = [checkpoint.tensor(other) for other in checkpoint.names]
    stored = [other for other in stored if other.shard == tensor.shard]
    size, header = max(t.end for t in stored), min(t.start for t in stored)
    place = checkpoint.locate(name, rows=slice(row, row + 1))
    begin, end = place.byte_ranges[0]
    values = checkpoint.read(name, rows=slice(row, row + 1))[0]
    rows, width = tensor.shape[0], RIGHT - LEFT

    drawing = Drawing(282)
    drawing.text(LEFT, FILE - 8, f"{tensor.shard}, {size:,} bytes")
    scale = width / size
    for label, start, stop in _parts((t.name, t.start, t.end) for t in stored):
        _part(drawing, label, LEFT + start * scale, LEFT + stop * scale, label == _part_of(name))
    drawing.rect(LEFT, FILE, max(header * scale, 1.5), HEIGHT, strength=0.9, radius=0)

    _open(drawing, LEFT + tensor.start * scale, LEFT + tensor.end * scale, FILE)
    short = name.removeprefix("model.").removesuffix(".weight")
    drawing.text(LEFT, TENSOR - 9, f"{short}: {rows:,} rows, {tensor.end - tensor.start:,} bytes")
    drawing.rect(LEFT, TENSOR, width, HEIGHT, fill=ACCENT, strength=0.28, radius=1)
    x = LEFT + (row + 0.5) / rows * width
    drawing.rect(x - 1.5, TENSOR, 3, HEIGHT, fill=ACCENT, radius=0)

    _open(drawing, x - 1.5, x + 1.5, TENSOR)
    said = f"row {row}" + (f", the word {token_label(token)}" if token else "")
    drawing.text(LEFT, ROW - 9, f"{said}: {end - begin:,} bytes", weight=600)
    cell, most = width / len(values), abs(values).max() or 1
    for at, value in enumerate(values):
        share = float(abs(value) / most) ** 0.6
        drawing.rect(LEFT + at * cell, ROW, cell, HEIGHT, fill=ACCENT, strength=share, radius=0)
    drawing.path(f"M{LEFT} {ROW + HEIGHT + 4}v8", thick=2)
    drawing.path(f"M{RIGHT} {ROW + HEIGHT + 4}v8", thick=2)
    drawing.text(LEFT, ROW + HEIGHT + 28, f"from byte {begin:,}", mono=True, size=SMALL)
    drawing.text(RIGHT, ROW + HEIGHT + 28, f"to {end - 1:,}", anchor="end", mono=True, size=SMALL)
    number = minus(f"{values[0]:.4f}")
    first = checkpoint.read_bits(name, rows=slice(row, row + 1))[0, :1].tobytes().hex(" ")
    drawing.text(LEFT, ROW + HEIGHT + 48, f"its first two bytes, {first}, are {number}", size=SMALL)
    word = f"{token_label(token)} is " if token else ""
    return drawing.picture(
        f"A file of {size:,} bytes, opened to row {row} of {name}. Model: {model}.",
        f"Three bars, each opening a piece of the one above. The file has {size:,} bytes; "
        f"{short} takes {tensor.start:,} to {tensor.end - 1:,}, and {word}its row {row}: "
        f"{end - begin} bytes, from {begin:,} to {end - 1:,}. The first number is "
        f"{number}.",
    )


def _part_of(name: str) -> str:
    """The label of what a tensor belongs to: a layer's number, or a name of its own."""
    layer = re.search(r"\.layers\.(\d+)\.", name)
    return layer[1] if layer else name.removeprefix("model.").removesuffix(".weight")


def _parts(stored: Iterable[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    """What lies side by side in the file and belongs together, in the order of the file."""
    parts: list[tuple[str, int, int]] = []
    for name, start, end in sorted(stored, key=lambda tensor: tensor[1]):
        label = _part_of(name)
        if parts and parts[-1][0] == label:
            start = parts.pop()[1]
        parts.append((label, start, end))
    return parts


def _part(drawing: Drawing, label: str, x: float, end: float, chosen: bool) -> None:
    fill, strength = (ACCENT, 1.0) if chosen else ("currentColor", 0.12)
    drawing.rect(x + 0.75, FILE, max(end - x - 1.5, 0.75), HEIGHT, fill=fill, strength=strength)
    words = "embed" if label == "embed_tokens" else label
    if len(words) * 8.6 < end - x:
        colour = ON_ACCENT if chosen else "currentColor"
        drawing.text(
            (x + end) / 2, FILE + HEIGHT / 2 + 5, words, anchor="middle", size=SMALL,
            colour=colour, weight=600 if chosen else 400,
        )  # fmt: skip


def _open(drawing: Drawing, x: float, end: float, y: float) -> None:
    """From a piece of one bar to the whole of the next."""
    top, bottom = y + HEIGHT + 2, y + BETWEEN - 2
    drawing.parts.append(
        f'<path d="M{x:.4g} {top}H{end:.4g}L{RIGHT} {bottom}H{LEFT}Z" fill="{ACCENT}" '
        'fill-opacity="0.14"/>'
    )
