"""The model as a strip: what is computed in which order, the chapter's part lit, each part a link.

In HTML, since links in an SVG are none in JupyterLab. It brings its style along: JupyterLab and
Colab have no style sheet of ours.
"""

from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import NamedTuple

from olmo_explain.checkpoint import OlmoConfig, read_config
from olmo_explain.errors import UsageError
from olmo_explain.figures.look import LOOK
from olmo_explain.words import quoted

CONFIG, EMBEDDING = "01_config", "03_embedding"
ATTENTION, POSITIONS, NORM, MLP = "05_attention", "06_positions", "07_rmsnorm", "08_mlp"
NEXT_TOKEN = "09_next_token"


class Box(NamedTuple):
    """What the strip calls a part, the parts that light it, and the chapter that opens it."""

    label: str
    parts: tuple[str, ...]
    chapter: str


BEFORE = [Box("embed", ("embed_tokens",), EMBEDDING)]
SUBLAYERS = {
    Box("attention", (), ATTENTION): [
        Box("q k v", ("q_proj", "k_proj", "v_proj"), ATTENTION),
        Box("norm", ("q_norm", "k_norm"), NORM),
        Box("RoPE", ("rope",), POSITIONS),
        Box("pattern", ("attention",), ATTENTION),
        Box("o_proj", ("o_proj",), ATTENTION),
        Box("norm", ("post_attention_layernorm",), NORM),
    ],
    Box("MLP", (), MLP): [
        Box("gate up", ("gate_proj", "up_proj"), MLP),
        Box("SiLU", ("silu",), MLP),
        Box("down", ("down_proj",), MLP),
        Box("norm", ("post_feedforward_layernorm",), NORM),
    ],
}
AFTER = [Box("norm", ("norm",), NEXT_TOKEN), Box("lm_head", ("lm_head",), NEXT_TOKEN)]
INSIDE = [box for boxes in SUBLAYERS.values() for box in boxes]
PARTS = (
    *(part for box in (*BEFORE, *INSIDE, *AFTER) for part in box.parts),
    "layer_types",
)

STYLE = LOOK + files("olmo_explain.figures").joinpath("strip.css").read_text(encoding="utf-8")


@dataclass(frozen=True, repr=False)
class Strip:
    """The model from left to right; `lit` are the parts that stand out."""

    config: OlmoConfig
    model: str
    lit: tuple[str, ...]

    @property
    def alt(self) -> str:
        here = f" Here: {', '.join(self.lit)}." if self.lit else ""
        return f"The model, left to right: embed, {self._layers()}, norm, lm_head.{here}"

    def __repr__(self) -> str:
        return f"{self.alt} Model: {self.model}."

    def _repr_html_(self) -> str:
        loops = "".join(
            f'<div class="oe-strip-loop">{self._link(whole, "whole", boxes)}'
            + "".join(self._link(box, "part") for box in boxes)
            + "</div>"
            for whole, boxes in SUBLAYERS.items()
        )
        current = ' aria-current="true"' if "layer_types" in self.lit else ""
        here = " · green: this chapter" if self.lit else ""
        ends = ["".join(self._link(box) for box in boxes) for boxes in (BEFORE, AFTER)]
        return (
            f"<style>{STYLE}</style>"
            f'<nav class="oe-strip" aria-label="{escape(self.alt, quote=True)}">{ends[0]}'
            f'<div class="oe-strip-layers">{loops}'
            f'<span class="oe-strip-note"{current}>{self._layers()} · {escape(self.model)}'
            f"{here}</span>"
            f"</div>{ends[1]}</nav>"
        )

    def _layers(self) -> str:
        kinds = self.config.layer_types
        full = len(self.config.full_attention_layers)
        sorts = f"{len(kinds) - full} sliding, {full} full" if full < len(kinds) else "all full"
        return f"{len(kinds)} layers: {sorts}"

    def _link(self, box: Box, kind: str = "", inside: list[Box] | None = None) -> str:
        lights = {part for one in inside or [box] for part in one.parts}
        current = ' aria-current="true"' if lights & set(self.lit) else ""
        style = f' class="oe-strip-{kind}"' if kind else ""
        return f'<a href="{box.chapter}.ipynb"{style}{current}>{box.label}</a>'


def where_we_are(*lit: str, model: str = "tiny") -> Strip:
    """The model as a strip, with the parts named in `lit` standing out, each part a link.

    Parts are modules as the checkpoint names them, and `rope`, `attention`, `silu`, `layer_types`.
    UsageError for any other name.

    >>> where_we_are("q_proj", "q_norm").alt[-22:]
    'Here: q_proj, q_norm.'
    """
    if unknown := [part for part in lit if not isinstance(part, str) or part not in PARTS]:
        raise UsageError(
            f"The strip has no part {quoted(unknown[0])}", f"Choose {', '.join(PARTS)}"
        )
    return Strip(read_config(model), model, lit)
