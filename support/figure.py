"""The live figure in a browser: its page without the book, and what is read and done there."""

import json
import re

import torch
from ipywidgets.embed import embed_data
from playwright.sync_api import Locator

import olmo_explain as oe
from olmo_explain.explorers import pieces

NEAR = "What news from France? I say, what news from"
PAGE = """<!doctype html><html lang="en" data-theme="{theme}"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>The figure</title>
<style>html[data-theme="dark"] {{ background: #14181c; color: #ddd; color-scheme: dark }}</style>
<main><h1>A chapter</h1><h2>A section</h2>
<script type="application/vnd.jupyter.widget-state+json">{state}</script>
<script type="application/vnd.jupyter.widget-view+json">{view}</script></main>
<script src="widget-host.js"></script><script src="live.js" defer></script></html>"""
SETTLED = """async () => {
    const frame = () => new Promise((done) => requestAnimationFrame(done));
    const figure = document.querySelector(".oe-model");
    const end = Date.now() + 10_000;
    const isBusy = () => figure.getAttribute("aria-busy") === "true";
    do { await frame(); await frame(); } while (isBusy() && Date.now() < end);
}"""


def page_of(theme: str) -> str:
    """A page with the figure, which wants the model's scripts and widget-host.js beside it."""
    saved = embed_data(views=[oe.explore_model()], drop_defaults=False)
    return PAGE.format(
        theme=theme,
        state=json.dumps(saved["manager_state"]).replace("</", "<\\/"),
        view=json.dumps(saved["view_specs"][0]),
    )


def settle(figure: Locator) -> None:
    figure.page.evaluate(SETTLED)


def say(figure: Locator, text: str) -> None:
    figure.get_by_label("Your sentence").fill(text)
    settle(figure)


def bars(figure: Locator) -> dict[str, float]:
    """Tokens and the percents beside them."""
    rows = figure.locator(".oe-bars li:not(.oe-empty)").all()
    return {row.locator("code").inner_text(): percent(row.inner_text()) for row in rows}


def percent(text: str) -> float:
    return float(re.search(r"([\d.]+)%", text)[1])


def seen(token: str) -> str:
    return token.replace(" ", "␣").replace("\n", "↵")


def likely(tiny, logits: torch.Tensor, count: int = 5) -> dict[str, float]:
    shares, ids = logits.softmax(-1).topk(count)
    tokens = [seen(token) for token in pieces(tiny[1], ids.tolist())]
    return dict(zip(tokens, (100 * shares).tolist(), strict=True))


def logits_of(tiny, text: str) -> torch.Tensor:
    model, tokenizer = tiny
    with torch.no_grad():
        return model(tokenizer(text, return_tensors="pt").input_ids, use_cache=False).logits[0]


def check_bars(figure: Locator, expected: dict[str, float]) -> None:
    shown = bars(figure)
    assert list(shown)[: len(expected)] == list(expected)
    for token, share in expected.items():
        assert abs(shown[token] - share) < 0.06, token
