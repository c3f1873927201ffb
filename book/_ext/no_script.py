"""Without JavaScript a page shows, in an explorer's place, a picture of what it opens on.

myst-nb 1.4 saves a widget as a script element that nothing shows until the page's own script runs.
The choices with which it was saved say what to draw; the drawing is made by `olmo_explain.figures`,
from the same model.
"""

import json
import re
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.application import Sphinx

import olmo_explain as oe
from olmo_explain.by_hand import frequencies
from olmo_explain.checkpoint import REGIMES, ropes_under
from olmo_explain.figures import (
    Picture,
    draw_clocks,
    draw_file_bar,
    draw_pattern,
    draw_verdicts,
    plot_attention_share,
)
from olmo_explain.report import SLIPS

VIEW = re.compile(
    r'<script type="application/vnd\.jupyter\.widget-view\+json">(.*?)</script>', re.DOTALL
)
WORDS = "A picture of what the figure here opens on. With JavaScript it answers to your choices{}."
OWN = ", and the model to your own sentence"


def pattern(state: dict[str, Any]) -> Picture:
    """The pattern of the chosen head, on the saved sentence."""
    layer, head = state["layer"], state["head"]
    tokens, patterns = _patterns(state["text"], state.get("rope", REGIMES[0]))
    return draw_pattern(patterns[layer][head], tokens, "tiny", layer, head)


def file_bar(state: dict[str, Any]) -> Picture:
    return draw_file_bar(oe.Checkpoint("tiny"), state["tensor"], state["row"], "tiny")


def clocks(state: dict[str, Any]) -> Picture:
    config, pairs = oe.read_config("olmo3-7b"), [0, 8, 16, 24, 32, 40]
    full = next(i for i, kind in enumerate(config.layer_types) if kind == "full_attention")
    at = state["position"]
    rows = {
        "sliding\nlayers": config.rope["sliding_attention"],
        "full\nlayers": config.rope[config.layer_types[full]],
    }
    turns = {
        name: (at * frequencies(rope, config.head_dim) / (2 * torch.pi))[pairs].tolist()
        for name, rope in rows.items()
    }
    return draw_clocks(turns, pairs, "7B config", f"How far six of 64 pairs turn at {at:,}.")


def costs(state: dict[str, Any]) -> Picture:
    return plot_attention_share(oe.read_config("olmo3-7b"), "7B config")


def claims(state: dict[str, Any]) -> Picture:
    return _verdicts()


STILLS = {
    "ModelExplorer": pattern,
    "StepExplorer": pattern,
    "HeadExplorer": pattern,
    "ByteExplorer": file_bar,
    "RopeExplorer": clocks,
    "CostExplorer": costs,
    "ClaimExplorer": claims,
}


@cache
def _patterns(text: str, regime: str) -> tuple[list[str], list[torch.Tensor]]:
    """The tokens of a text, and of each layer what every head of `tiny` looks at."""
    model, tokenizer = oe.load("tiny", "float32")
    config = oe.read_config("tiny")
    config = replace(config, rope=ropes_under(regime, config.rope))
    ids = tokenizer(text, return_tensors="pt").input_ids
    values = oe.run_by_hand(model, ids, config=config)
    tokens = [tokenizer.decode([i]) for i in ids[0].tolist()]
    return tokens, [values[n, "pattern"][0] for n in range(config.num_hidden_layers)]


@cache
def _verdicts() -> Picture:
    count = oe.remeasure("olmo3-7b").verdicts
    title = "the report on OLMo-3-7B-Instruct. Model: olmo3-7b, and tiny."
    return draw_verdicts(count["reproduced"], SLIPS, count["recorded"], title)


def still(state: dict[str, Any]) -> str:
    """What stands in the place of one saved explorer."""
    kind = state["_anywidget_id"].rpartition(".")[2]
    words = WORDS.format(OWN if "text" in state else "")
    picture = STILLS[kind](state)._repr_html_()
    return f'<noscript><div class="oe-no-script"><p>{words}</p>{picture}</div></noscript>'


def draw_stills(app: Sphinx, page: str, template: str, context: dict, doctree) -> None:
    body = context.get("body", "")
    if not VIEW.search(body):
        return
    scripts = NbMetadataCollector.get_js_files(app.env, page)
    saved = json.loads(scripts["ipywidgets_state"][1]["body"])["state"]

    def drawn(view: re.Match) -> str:
        return view[0] + still(saved[json.loads(view[1])["model_id"]]["state"])

    context["body"] = VIEW.sub(drawn, body)


def setup(app: Sphinx) -> dict:
    app.connect("html-page-context", draw_stills)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
