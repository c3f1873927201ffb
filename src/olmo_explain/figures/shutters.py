"""How far back each layer sees: a shutter for each, open to its end or only at its edge."""

from collections.abc import Mapping, Sequence

from olmo_explain.checkpoint import OlmoConfig
from olmo_explain.figures.drawing import ACCENT, SMALL, Drawing, token_label
from olmo_explain.figures.picture import Picture

LEFT, RIGHT, TOP, MOST = 46, 474, 22, 240


def draw_shutters(
    config: OlmoConfig,
    model: str,
    tokens: Sequence[str] = (),
    marked: Sequence[int] = (),
) -> Picture:
    """What the last token may look at, layer by layer, in a text as long as the model reads.

    `tokens`: a text to draw instead of one that long; `marked`: positions in it to draw a line
    through.

    >>> draw_shutters(read_config("olmo3-7b"), "7B config")
    How far back each layer looks: green is seen, grey is shut. Model: 7B config.
    """
    length = len(tokens) or config.max_position_embeddings
    pitch = min(MOST / config.num_hidden_layers, 20)
    unit = (RIGHT - LEFT) / length
    bottom = TOP + pitch * config.num_hidden_layers
    drawing = Drawing(bottom + 40)
    drawing.text(LEFT - 8, 14, "layer", anchor="end", size=SMALL, quiet=True)
    seen = {}
    for layer, kind in enumerate(config.layer_types):
        window = config.sliding_window if kind == "sliding_attention" else None
        seen[layer] = length if window is None else min(window, length)
        y, split = TOP + pitch * layer, RIGHT - seen[layer] * unit
        full = seen[layer] == length
        drawing.rect(LEFT, y, split - LEFT, pitch - 2, strength=0.1, radius=1)
        drawing.rect(split, y, RIGHT - split, pitch - 2, fill=ACCENT, radius=1)
        if pitch > 12 or full:
            baseline = y + pitch / 2 + 3.5
            drawing.text(LEFT - 8, baseline, str(layer), anchor="end", size=SMALL, quiet=not full)
    if not marked:
        drawing.text(
            RIGHT, 14, "what the last token may look at", anchor="end", size=SMALL, quiet=True
        )
    for position in marked:
        _mark(drawing, LEFT + (position + 0.5) * unit, bottom, tokens[position])
    least = min(seen.values())
    _scale(drawing, bottom, RIGHT - least * unit, least, length)
    return drawing.picture(
        f"How far back each layer looks: green is seen, grey is shut. Model: {model}.",
        _words(config, seen, length, {position: tokens[position] for position in marked}),
    )


def _mark(drawing: Drawing, x: float, bottom: float, token: str) -> None:
    drawing.path(f"M{x:g} {TOP - 6}L{x:g} {bottom:g}", thick=2)
    drawing.text(x, 14, token_label(token), anchor="middle", size=SMALL, mono=True)


def _scale(drawing: Drawing, y: float, split: float, window: int, length: int) -> None:
    """Below: the whole length, and what of it a window holds."""
    drawing.path(f"M{LEFT} {y + 4:g}v6H{RIGHT}v-6", strength=0.6)
    drawing.path(f"M{split:g} {y + 4:g}v6H{RIGHT}v-6", colour=ACCENT, thick=2.5)
    drawing.text(LEFT, y + 29, f"{length:,} tokens", size=SMALL)
    if window < length:
        drawing.text(
            RIGHT, y + 29, f"the last {window:,}", anchor="end", size=SMALL, colour=ACCENT,
            weight=600,
        )  # fmt: skip


def _words(
    config: OlmoConfig, seen: Mapping[int, int], length: int, marked: Mapping[int, str]
) -> str:
    full = [layer for layer, count in seen.items() if count == length]
    short = len(seen) - len(full)
    said = f"{config.num_hidden_layers} rows, one for each layer. "
    said += f"{len(full)} are open over all {length:,} tokens"
    said += f"; {short} only over the last {min(seen.values()):,}." if short else "."
    for position, token in marked.items():
        reach = [layer for layer, count in seen.items() if length - position <= count]
        if len(reach) == len(seen):
            which = "every layer"
        elif reach:
            which = f"only layer{'s' * (len(reach) > 1)} {' and '.join(map(str, reach))}"
        else:
            which = "no layer"
        said += f" {token.strip()}, {length - 1 - position} tokens back, is seen by {which}."
    return said
