"""A published page with explorers in it, without building the book."""

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from olmo_explain.live import page_scripts

HOST = (Path(__file__).parents[2] / "book" / "_static" / "widget-host.js").read_text()
PAGE = """<!doctype html><html lang="en" data-theme="{theme}"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>One explorer</title>
<style>html[data-theme="dark"] {{ background: #14181c; color: #ddd; color-scheme: dark }}</style>
{live}<main><h1>A chapter</h1><h2>A section</h2>
<script type="application/vnd.jupyter.widget-state+json">{state}</script>
{views}</main>
<script>{host}</script></html>"""
VIEW = '<script type="application/vnd.jupyter.widget-view+json">{"model_id": "%s"}</script>'
LIVE = '<script src="live.js" defer></script>'


@pytest.fixture
def page(browser) -> Iterator[Page]:
    """An empty page, on which no script may fail."""
    page = browser.new_page(viewport={"width": 1100, "height": 900})
    faults = []
    page.on("pageerror", lambda error: faults.append(error.message))
    yield page
    assert not faults
    page.close()


@pytest.fixture(scope="session")
def scripts(once: Callable) -> Path:
    """A folder with the scripts of a page that has the model."""

    def fill(folder: Path) -> None:
        (folder / "tiny").mkdir()
        for name, text in page_scripts().items():
            (folder / name).write_text(text, encoding="utf-8")

    return once("scripts", fill)


@pytest.fixture
def publish(request, tmp_path: Path) -> Callable[..., Path]:
    """Writes the page of some explorers, their state saved as a build saves it."""

    def write(*explorers, theme: str = "light", live: bool = False) -> Path:
        """`live`: whether the page has the model, as every page of the book has."""
        if live and not (tmp_path / "live.js").exists():
            for path in request.getfixturevalue("scripts").iterdir():
                (tmp_path / path.name).symlink_to(path)
        saved = {str(at): _saved(explorer) for at, explorer in enumerate(explorers)}
        path = tmp_path / "page.html"
        text = PAGE.format(
            theme=theme,
            live=LIVE if live else "",
            state=json.dumps({"state": saved}).replace("</", "<\\/"),
            views="\n".join(VIEW % at for at in saved),
            host=HOST,
        )
        path.write_text(text, encoding="utf-8")
        return path

    return write


def _saved(explorer) -> dict:
    state, buffers = {}, []
    for name in explorer.traits(sync=True):
        value = getattr(explorer, name)
        if isinstance(value, bytes):
            data = b64encode(value).decode()
            buffers.append({"path": [name], "encoding": "base64", "data": data})
        elif name not in ("layout", "tabbable", "tooltip"):  # the frame around every widget
            state[name] = value
    return {"state": state, "buffers": buffers}
