"""Reading a prompt and writing a word side by side: the arithmetic, and the bytes."""

from olmo_explain.costs import ATTENTION, Costs, total
from olmo_explain.figures.drawing import ACCENT, SMALL, TEXT, WIDTH, Drawing
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
    for y, name, blocks in ((34, f"read {tokens}", tokens), (72, "write 1", 1)):
        _bar(drawing, y, name, f"{_giga(flops[name.split()[0]])} GFLOP", blocks / tokens, blocks)
    _heading(drawing, 142, "Bytes of weights", "fetched once, for however many")
    for y, name in ((158, f"read {tokens}"), (196, "write 1")):
        count = moved[name.split()[0]]
        _bar(drawing, y, name, f"{_giga(count)} GB", count / moved["read"])
    factor = flops["read"] / flops["write"]
    return drawing.picture(
        f"Reading {tokens} tokens, and writing one: what the linear modules multiply, and every "
        f"weight once, in {reading.config.dtype}. Model: {model}.",
        f"Two pairs of bars. Reading takes {_giga(flops['read'])} GFLOP, writing "
        f"{_giga(flops['write'])}: {factor:.1f} times as much. Of weights they fetch "
        f"{_giga(moved['read'])} and {_giga(moved['write'])} GB.",
    )


def _heading(drawing: Drawing, y: float, words: str, more: str) -> None:
    drawing.text(0, y, words, size=TEXT + 1, weight=600)
    drawing.text(WIDTH, y, more, size=SMALL, anchor="end", quiet=True)


def _bar(
    drawing: Drawing, y: float, name: str, said: str, share: float, blocks: int | None = None
) -> None:
    """A bar of this share, in blocks where it is arithmetic; what it is, and what it says."""
    drawing.text(LEFT - 10, y + 18, name, anchor="end")
    drawing.text(WIDTH, y + 18, said, anchor="end", weight=600)
    each = (RIGHT - LEFT + GAP) * share / (blocks or 1)
    look = {"fill": "currentColor", "strength": 0.6} if blocks is None else {"fill": ACCENT}
    for at in range(blocks or 1):
        drawing.rect(LEFT + at * each, y, max(each - GAP, 0.5), 26, radius=3, **look)


def _giga(count: int) -> str:
    """In thousands of millions, with four digits."""
    return f"{count / 1e9:.4g}"
