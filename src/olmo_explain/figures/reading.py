"""Reading a prompt and writing a word side by side: the arithmetic, and the bytes."""

from olmo_explain.costs import ATTENTION, Costs, total
from olmo_explain.figures.drawing import ACCENT, SMALL, TEXT, Drawing
from olmo_explain.figures.picture import Picture

LEFT, RIGHT = 84, 358  # of the bars; what they say follows
GAP = 2.5


def draw_reading(reading: Costs, writing: Costs, model: str) -> Picture:
    """Bars of FLOPs and of weight bytes: all tokens of a prompt at once, then one new token.

    >>> config = read_config("olmo3-7b")
    >>> draw_reading(count_costs(config, 11), count_costs(config, 12, decode=True), "7B config")
    """
    passes = {"read": reading, "write": writing}
    sums = {
        name: total(part for part in costs.model().values() if part.name not in ATTENTION)
        for name, costs in passes.items()
    }
    flops = {name: sums[name].matmul_flops for name in passes}
    moved = {name: sums[name].weight_bytes for name in passes}
    tokens = reading.positions
    drawing = Drawing(232)
    _heading(drawing, 18, "Arithmetic", f"a block for each of {tokens} tokens")
    for y, name, blocks in ((34, "read", tokens), (72, "write", 1)):
        _row(
            drawing,
            y,
            name,
            tokens,
            flops[name] / flops["read"],
            f"{_giga(flops[name])} GFLOP",
            blocks,
        )
    _heading(drawing, 142, "Bytes of weights", "fetched once, for however many")
    for y, name in ((158, "read"), (196, "write")):
        _row(
            drawing,
            y,
            name,
            tokens,
            moved[name] / moved["read"],
            f"{_giga(moved[name])} GB",
            1,
            bytes=True,
        )
    factor = flops["read"] / flops["write"]
    return drawing.picture(
        f"Reading {tokens} tokens, and writing one: what the linear modules multiply, and every "
        f"weight once, in {reading.config.dtype}. Model: {model}.",
        f"Two pairs of bars. Reading takes {_giga(flops['read'])} GFLOP, writing "
        f"{_giga(flops['write'])}: {factor:.1f} times as much. The bars of bytes are equally "
        f"long: {_giga(moved['read'])} and {_giga(moved['write'])} GB.",
    )


def _heading(drawing: Drawing, y: float, words: str, more: str) -> None:
    drawing.text(0, y, words, size=TEXT + 1, weight=600)
    drawing.text(480, y, more, size=SMALL, anchor="end", quiet=True)


def _row(
    drawing: Drawing,
    y: float,
    name: str,
    tokens: int,
    share: float,
    said: str,
    blocks: int,
    bytes: bool = False,
) -> None:
    """One bar, in so many blocks, what it is on its left and what it says on its right."""
    what = f"read {tokens}" if name == "read" else "write 1"
    drawing.text(LEFT - 10, y + 18, what, anchor="end", size=TEXT)
    width = (RIGHT - LEFT) * share
    block = (width + GAP) / blocks
    for at in range(blocks):
        drawing.rect(
            LEFT + at * block,
            y,
            max(block - GAP, 1),
            26,
            strength=0.6 if bytes else 1,
            fill="currentColor" if bytes else ACCENT,
            radius=3,
        )
    drawing.text(480, y + 18, said, anchor="end", size=TEXT, weight=600)


def _giga(count: int) -> str:
    """In thousands of millions, with four digits."""
    return f"{count / 1e9:.4g}"
