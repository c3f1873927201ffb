"""A published page with explorers in it, without building the book."""

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

import olmo_explain as oe
from olmo_explain.explorers.shared import pieces
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


@pytest.fixture(scope="session")
def tiny():
    return oe.load("tiny", "float32")


@pytest.fixture
def asked(page: Page) -> list[str]:
    """The parts of the model that the page has asked for."""
    urls: list[str] = []
    page.on("request", lambda sent: "/tiny" in sent.url and urls.append(sent.url))
    return urls


@pytest.fixture
def opened(page: Page, publish) -> Callable[..., Page]:
    """Opens a page of explorers as a file."""

    def open_page(*explorers, live: bool = True) -> Page:
        page.goto(publish(*explorers, live=live).as_uri())
        expect(page.locator(".oe")).to_have_count(len(explorers))
        return page

    return open_page


@pytest.fixture
def known(browser: Browser, publish, tiny) -> Iterator[Callable[..., Page]]:
    """A page whose reader has a sentence already."""
    context = browser.new_context(viewport={"width": 1100, "height": 900})

    def open_page(*explorers, text: str) -> Page:
        ids = tiny[1](text)["input_ids"]
        saved = json.dumps({"text": text, "ids": ids, "tokens": pieces(tiny[1], ids)})
        page = context.new_page()
        page.goto(publish(*explorers, live=True).as_uri())
        # No init script: Chromium then hides from this page, at times, what other tabs keep.
        page.evaluate("saved => localStorage.setItem('olmo-explain.sentence', saved)", saved)
        page.reload()
        return page

    yield open_page
    context.close()
