"""The model in one figure: what is computed in which order, and which part a chapter is about.

Drawn as SVG from config.json, in the page's own text colour, narrow enough for a phone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import NamedTuple

from olmo_explain.checkpoint import OlmoConfig, read_config
from olmo_explain.errors import UsageError
from olmo_explain.figures.picture import Picture
from olmo_explain.words import quoted, shape

WIDTH, RAIL, LEFT, RIGHT = 360, 22, 58, 346  # the rail is the residual stream
ONE_LINE, TWO_LINES, GAP = 24, 36, 12
LIT, LIT_TEXT = "#0f7b6c", "#ffffff"  # 5.2:1 against each other, in light and dark alike

# name, first and last sixth of the width that it takes. A box reads what is right above it.
Row = Sequence[tuple[str, int, int]]
ATTENTION: Sequence[Row] = (
    [("q_proj", 0, 2), ("k_proj", 2, 4), ("v_proj", 4, 6)],
    [("q_norm", 0, 2), ("k_norm", 2, 4)],
    [("rope", 0, 4)],
    [("attention", 0, 6)],
    [("o_proj", 0, 6)],
    [("post_attention_layernorm", 0, 6)],
)
MLP: Sequence[Row] = (
    [("gate_proj", 0, 3), ("up_proj", 3, 6)],
    [("silu", 0, 6)],
    [("down_proj", 0, 6)],
    [("post_feedforward_layernorm", 0, 6)],
)
LABELS = {"rope": "RoPE", "attention": "scores → pattern → z", "silu": "SiLU(gate) × up"}
OUTSIDE = ("embed_tokens", "norm", "lm_head")
PARTS = (*OUTSIDE, "layer_types", *(box[0] for row in (*ATTENTION, *MLP) for box in row))


def where_we_are(*lit: str, model: str = "olmo3-7b") -> Picture:
    """The model in one figure, with the parts named in `lit` standing out.

    Parts are modules as the checkpoint names them, and `rope`, `attention`, `silu`, `layer_types`.

    >>> where_we_are("q_proj", "q_norm").alt[-23:]
    'Lit: q_proj and q_norm.'
    """
    if unknown := [part for part in lit if not isinstance(part, str) or part not in PARTS]:
        raise UsageError(
            f"The figure has no part {quoted(unknown[0])}", f"Choose {', '.join(PARTS)}"
        )
    config = read_config(model)
    drawing = _Drawing(config, lit)
    body = "".join(drawing.parts())
    svg = (
        f'<svg class="oe-diagram" viewBox="0 0 {WIDTH} {drawing.y}" fill="none" '
        f'stroke="currentColor" font-family="inherit">{body}</svg>'
    )
    here = f" Lit: {' and '.join(lit)}." if lit else ""
    full = config.full_attention_layers
    return Picture(
        svg,
        "Top to bottom, what a forward pass computes. The line on the left is the residual stream. "
        f"Model: {model}, from its config.json.",
        f"Diagram of {model}. embed_tokens starts a residual stream of width {config.hidden_size}. "
        f"Each of {config.num_hidden_layers} layers reads it twice and adds to it twice: "
        f"{_told(ATTENTION)}; then {_told(MLP)}. At last norm and lm_head give the logits. "
        f"{len(full)} layers are full attention ({_ends(full)}), the others sliding.{here}",
    )


class Box(NamedTuple):
    """One thing that is computed, and where it is drawn."""

    name: str
    left: float
    top: int
    right: float
    height: int

    @property
    def middle(self) -> float:
        return (self.left + self.right) / 2

    def is_under(self, other: "Box") -> bool:
        """Whether a line straight down from the middle of the other meets this one."""
        return self.top > other.top and self.left <= other.middle <= self.right


@dataclass
class _Drawing:
    """Draws from the top down; `y` is how far it has come."""

    config: OlmoConfig
    lit: Sequence[str]
    y: int = 1

    def __post_init__(self) -> None:
        last = {component.name.split(".")[-2]: component for component in self.config.components}
        self.shapes = {name: component.shape for name, component in last.items()}

    def parts(self) -> Iterator[str]:
        yield from self.wide("embed_tokens")
        yield from self.stream(GAP)
        top = self.y
        for name, rows in ("resid_mid", ATTENTION), ("resid_post", MLP):
            yield from self.sublayer(rows)
            yield from self.stream(22, name)
        yield (
            f'<rect x="5" y="{top}" width="{WIDTH - 10}" height="{self.y - top}" rx="9" '
            'stroke-opacity=".45" stroke-dasharray="3 4"/>'
        )
        count = f"× {self.config.num_hidden_layers} layers"
        yield _text(RIGHT, self.y - 8, count, anchor="end", weight=600)
        yield from self.stream(GAP)
        yield from self.wide("norm")
        yield from self.stream(GAP)
        yield from self.wide("lm_head")
        self.y += 18
        yield from self.layer_types()

    def sublayer(self, rows: Sequence[Row]) -> Iterator[str]:
        """Boxes that read the stream from the rail, and at the end add to it."""
        start = self.y
        self.y += 22
        boxes = []
        for row in rows:
            height = TWO_LINES if any(name in self.shapes for name, *_ in row) else ONE_LINE
            boxes += [Box(name, _x(a), self.y, _x(b) - 8, height) for name, a, b in row]
            self.y += height + GAP
        branch, joint = start + 11, self.y
        for box in boxes:
            yield self.box(box)
            readers = [other.top for other in boxes if other.is_under(box)]
            yield _line(box.middle, box.top + box.height, box.middle, min(readers, default=joint))
            if box.top == boxes[0].top:
                yield _line(box.middle, branch, box.middle, box.top)
                yield _line(RAIL, branch, box.middle, branch)
        yield _line(RAIL, joint, boxes[-1].middle, joint)
        yield _line(RAIL, start, RAIL, joint - 8)
        yield f'<circle cx="{RAIL}" cy="{joint}" r="8"/>'  # a plus in a circle: here it is added
        yield _line(RAIL - 4, joint, RAIL + 4, joint) + _line(RAIL, joint - 4, RAIL, joint + 4)
        self.y += 8

    def stream(self, length: int, name: str = "") -> Iterator[str]:
        yield _line(RAIL, self.y, RAIL, self.y + length)
        if name:
            yield _text(RAIL + 12, self.y + 14, name, anchor="start", quiet=True)
        self.y += length

    def wide(self, name: str) -> Iterator[str]:
        yield self.box(Box(name, 5, self.y, WIDTH - 5, TWO_LINES))
        self.y += TWO_LINES

    def box(self, box: Box) -> str:
        name, left, top, right, height = box
        lit = name in self.lit
        fill, ink = (LIT, LIT_TEXT) if lit else ("currentColor", "currentColor")
        size = shape(self.shapes[name]) if name in self.shapes else ""
        return (
            f'<rect x="{left:g}" y="{top}" width="{right - left:g}" height="{height}" rx="5" '
            f'fill="{fill}" fill-opacity="{1 if lit else 0.06}" stroke-width="{2 if lit else 1}"/>'
            + _text(
                box.middle, top + 16, LABELS.get(name, name), ink=ink, weight=700 if lit else 500
            )
            + (_text(box.middle, top + 29, size, ink=ink, quiet=not lit, size=9) if size else "")
        )

    def layer_types(self) -> Iterator[str]:
        """A cell a layer; those of full attention are filled and numbered."""
        kinds, full = self.config.layer_types, self.config.full_attention_layers
        step = (WIDTH - 10) / len(kinds)
        lit = "layer_types" in self.lit
        yield _text(5, self.y + 6, "Layer types", anchor="start", weight=700 if lit else 500)
        window = self.config.sliding_window
        key = f"filled: full; open: sliding, {window:,} tokens" if window else "all full"
        yield _text(RIGHT + 9, self.y + 6, key, anchor="end", quiet=True)
        self.y += 14
        numbered = full[:: max(1, len(full) // 8)]
        for layer, kind in enumerate(kinds):
            filled = kind == "full_attention"
            colour = LIT if filled and lit else "currentColor"
            yield (
                f'<rect x="{5 + layer * step:.1f}" y="{self.y}" width="{step - 2:.1f}" height="16" '
                f'rx="1.5" fill="{colour}" fill-opacity="{0.85 if filled else 0.05}"/>'
            )
            if layer in numbered:
                middle = 5 + (layer + 0.5) * step - 1
                yield _text(middle, self.y + 27, str(layer), quiet=True, size=9)
        self.y += 32


def _x(sixth: int) -> float:
    return LEFT + sixth * (RIGHT + 8 - LEFT) / 6


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<path d="M{x1:g} {y1:g}L{x2:g} {y2:g}"/>'


def _text(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "middle",
    ink: str = "currentColor",
    weight: int = 500,
    size: float = 11,
    quiet: bool = False,
) -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" stroke="none" fill="{ink}" '
        f'fill-opacity="{0.75 if quiet else 1}" font-size="{size}" font-weight="{weight}">'
        f"{escape(text)}</text>"
    )


def _told(rows: Sequence[Row]) -> str:
    return ", ".join(LABELS.get(name, name) for row in rows for name, *_ in row)


def _ends(layers: Sequence[int]) -> str:
    steps = {b - a for a, b in pairwise(layers)}
    if len(layers) > 3 and len(steps) == 1:
        return f"{layers[0]}, {layers[1]}, …, {layers[-1]}"
    return ", ".join(map(str, layers))
