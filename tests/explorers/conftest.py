"""A published page with one explorer in it, without building the book."""

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

HOST = (Path(__file__).parents[2] / "book" / "_static" / "widget-host.js").read_text()
PAGE = """<!doctype html><html lang="en" data-theme="{theme}"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>One explorer</title>
<style>html[data-theme="dark"] {{ background: #14181c; color: #ddd; color-scheme: dark }}</style>
<main><h1>A chapter</h1><h2>A section</h2>
<script type="application/vnd.jupyter.widget-state+json">{state}</script>
<script type="application/vnd.jupyter.widget-view+json">{view}</script></main>
<script>{host}</script></html>"""


@pytest.fixture
def page(browser) -> Iterator[Page]:
    """An empty page, on which no script may fail."""
    page = browser.new_page(viewport={"width": 1100, "height": 900})
    faults = []
    page.on("pageerror", lambda error: faults.append(error.message))
    yield page
    assert not faults
    page.close()


@pytest.fixture
def publish(tmp_path: Path) -> Callable[..., Path]:
    """Writes the page of an explorer, its state saved as a build saves it."""

    def write(explorer, theme: str = "light") -> Path:
        state, buffers = {}, []
        for name in explorer.traits(sync=True):
            value = getattr(explorer, name)
            if isinstance(value, bytes):
                data = b64encode(value).decode()
                buffers.append({"path": [name], "encoding": "base64", "data": data})
            elif name not in ("layout", "tabbable", "tooltip"):  # the frame around every widget
                state[name] = value
        saved = json.dumps({"state": {"one": {"state": state, "buffers": buffers}}})
        path = tmp_path / "page.html"
        text = PAGE.format(
            theme=theme,
            state=saved.replace("</", "<\\/"),
            view=json.dumps({"model_id": "one"}),
            host=HOST,
        )
        path.write_text(text, encoding="utf-8")
        return path

    return write
