"""What each head is worth to one answer: a square for each head, as strong as its loss is dear."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from olmo_explain.checkpoint import OlmoConfig
from olmo_explain.figures.drawing import ACCENT, ON_ACCENT, SMALL, WIDTH, Drawing, token_label
from olmo_explain.figures.picture import Picture
from olmo_explain.words import percent

LEFT, TOP, ROW = 58, 66, 50
DARK = 0.62  # from this strength on, words stand in the colour for filled ground
PRINTED = 0.75  # a share that falls below this part of what it was is printed


def draw_head_costs(
    without: Float[np.ndarray, "layer head"],
    says: Sequence[Sequence[str]],
    whole: float,
    answer: str,
    config: OlmoConfig,
    model: str,
) -> Picture:
    """Layers from left to right, their heads from top to bottom.

    `without`: the probability of `answer` where that one head is silent, and `says`, by layer and
    head, the token that is then the likeliest. `whole`: the probability with all heads.
    """
    shares, whole = np.asarray(without, float), float(whole)
    layers, heads = shares.shape
    column = (WIDTH - LEFT) / layers
    drawing = Drawing(TOP + heads * ROW + 20)
    word = token_label(answer)
    drawing.text(0, 17, f"One head silent: what is left of {word}'s {percent(whole)}")
    drawing.text(0, TOP - 9, "layer", size=SMALL, quiet=True)
    for layer, kind in enumerate(config.layer_types):
        middle, full = LEFT + (layer + 0.5) * column, kind == "full_attention"
        weight = 700 if full else 400
        drawing.text(middle, TOP - 9, str(layer), anchor="middle", weight=weight, size=SMALL)
        if full:
            drawing.text(middle, TOP + heads * ROW + 15, "full", anchor="middle", size=SMALL)
    for head in range(heads):
        drawing.text(0, TOP + (head + 0.5) * ROW + 4, f"head {head}", size=SMALL, quiet=True)
        for layer in range(layers):
            x, y = LEFT + layer * column + 2, TOP + head * ROW + 2
            strength = min(1.0, max(0.0, 1 - shares[layer, head] / whole))
            drawing.rect(x, y, column - 4, ROW - 4, strength=0.07)
            drawing.rect(x, y, column - 4, ROW - 4, fill=ACCENT, strength=strength)
            _write(drawing, x + column / 2 - 2, y + ROW / 2 + 3, strength, [
                *([percent(shares[layer, head])] if strength > 1 - PRINTED else []),
                *([token_label(said)] if (said := says[layer][head]) != answer else []),
            ])  # fmt: skip
    return drawing.picture(
        f"How likely {word} stays when one of the {shares.size} heads is silent: the stronger, the "
        "more is lost. A number stands where less than three quarters are left, a word where "
        f"another takes the first place. Model: {model}.",
        _told(shares, says, whole, word, config.layer_types),
    )


def _write(drawing: Drawing, x: float, y: float, strength: float, lines: Sequence[str]) -> None:
    """One line or two in the middle of a square."""
    dark = strength > DARK
    for number, line in enumerate(lines):
        drawing.text(
            x,
            y + 17 * number - 8.5 * (len(lines) - 1),
            line,
            anchor="middle",
            size=SMALL,
            weight=700 if dark else 500,
            colour=ON_ACCENT if dark else "currentColor",
        )


def _told(
    shares: Float[np.ndarray, "layer head"],
    says: Sequence[Sequence[str]],
    whole: float,
    word: str,
    layer_types: Sequence[str],
) -> str:
    order = np.dstack(np.unravel_index(shares.ravel().argsort(), shares.shape))[0].tolist()
    (layer, head), *others = order
    kind = layer_types[layer].replace("_attention", "")
    some = ", ".join(f"{shares[a, b]:.1%} without head {b} of layer {a}" for a, b in others[:3])
    said = (
        f"{len(layer_types)} columns of {shares.shape[1]} squares. With all heads {word} has "
        f"{whole:.1%}. The strongest square is head {head} of layer {layer}, a {kind} layer: "
        f"without it {word} keeps {shares[layer, head]:.1%}, and "
        f"{token_label(says[layer][head])} comes first. Next come {some}."
    )
    return said.replace("%", " %")
