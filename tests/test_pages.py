"""Every built page in Chromium: served and as a file, wide and narrow, light and dark."""

import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser, Locator, Page, expect

from olmo_explain import explore_heads, head_norms, load

PHONE, DESK = 390, 1280
AXE = files("axe_playwright_python") / "axe.min.js"

# A widget is drawn when the element after its saved view holds something.
WIDGETS_DRAWN = """() => [...document.querySelectorAll('script[type$="widget-view+json"]')]
    .every((view) => view.nextElementSibling?.childElementCount || view.nextElementSibling?.role)"""
WIDTH = "() => Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)"


@pytest.fixture(params=["http", "file"])
def address(request, book) -> str:
    return request.getfixturevalue("site") if request.param == "http" else book.html.as_uri()


@pytest.fixture
def page(browser: Browser, width: int, scheme: str) -> Iterator[Page]:
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESK, PHONE])
def test_every_page_opens_without_a_fault(book, address, page, width, scheme):
    faults = _listen(page, address)
    for faults.page in book.pages:
        _open(page, f"{address}/{faults.page.as_posix()}")
        if page.evaluate("document.documentElement.dataset.theme") != scheme:
            faults.append(f"not in {scheme}")
        if (wide := page.evaluate(WIDTH)) > width:
            faults.append(f"scrolls sideways: {wide} px on a screen of {width}")
        for error in page.query_selector_all(".oe-widget-error"):
            faults.append(error.inner_text())
        # axe takes its time; each width and each set of colours is seen once.
        if address.startswith("http") and (width, scheme) in [(DESK, "light"), (PHONE, "dark")]:
            faults.extend(_axe(page))
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(("width", "scheme"), [(DESK, "light")])
def test_the_root_leads_to_the_book(address, page):
    page.goto(f"{address}/index.html")
    page.wait_for_url("**/book/index.html")


@pytest.mark.parametrize(("width", "scheme"), [(DESK, "light"), (PHONE, "dark")])
def test_the_head_explorer_answers_as_python_does(book, page, width, scheme):
    """Five choices by keyboard and five by pointer, on a page that is only a file."""
    chapter = book.html / "notebooks" / "10_one_head.html"
    _open(page, chapter.as_uri())
    explorer = page.locator(".oe-heads")
    norms, patterns = head_norms("tiny"), _patterns(explore_heads("tiny").tokens)
    layers, heads = patterns.shape[:2]
    pictures = set()
    for at, choose in enumerate([_by_keyboard, _by_pointer] * 5):
        layer, head = at % layers, (at + at // layers) % heads
        choose(explorer, layer, head, layers, heads)
        title = f"Head {head} of layer {layer}: its four slices"
        expect(explorer.get_by_role("heading", name=title)).to_be_visible()
        for name, values in norms.items():
            row = explorer.locator(".oe-heads-panels tr", has=page.get_by_text(name, exact=True))
            assert float(row.locator(".oe-number").inner_text()) == pytest.approx(
                values[layer, head * values.shape[1] // heads], abs=6e-5
            )
        seen = patterns[layer, head, -1]
        for cells in explorer.locator(".oe-heads-pattern tbody tr").all():
            at, _, weight = cells.locator("td").all_inner_texts()
            assert float(weight) == pytest.approx(seen[int(at)], abs=7e-5)
        pictures.add(explorer.locator(".oe-heads-pattern canvas").evaluate("c => c.toDataURL()"))
    assert len(pictures) == 10


def _by_keyboard(explorer: Locator, layer: int, head: int, layers: int, heads: int) -> None:
    for label, steps in ("Layer", layer), ("Head", head):
        slider = explorer.get_by_label(label, exact=True)
        slider.press("Home")
        for _ in range(steps):
            slider.press("ArrowRight")


def _by_pointer(explorer: Locator, layer: int, head: int, layers: int, heads: int) -> None:
    grid = explorer.locator(".oe-heads-grid canvas")
    grid.scroll_into_view_if_needed()
    box = grid.bounding_box()
    x, y = (head + 0.5) / heads * box["width"], (layer + 0.5) / layers * box["height"]
    grid.click(position={"x": x, "y": y})


def _patterns(tokens: list[str]) -> np.ndarray:
    """What `tiny` attends to, from the model itself: (L, H, T, T)."""
    model, tokenizer = load("tiny", "float32")
    ids = torch.tensor([tokenizer("".join(tokens))["input_ids"]])
    with torch.no_grad():
        return torch.cat(model(ids, output_attentions=True).attentions).numpy()


class Faults(list[str]):
    """What went wrong, each with the page on which it did."""

    page = Path()

    def append(self, fault: str) -> None:
        super().append(f"{self.page}: {fault}")

    def extend(self, faults) -> None:
        for fault in faults:
            self.append(fault)


def _listen(page: Page, address: str) -> Faults:
    faults = Faults()

    def request(request) -> None:
        if not request.url.startswith((address, "data:", "blob:")):
            faults.append(f"asks another host: {request.url}")

    page.on("request", request)
    page.on("requestfailed", lambda r: faults.append(f"failed: {r.url} {r.failure}"))
    page.on("response", lambda r: r.status >= 400 and faults.append(f"{r.status}: {r.url}"))
    page.on("pageerror", lambda error: faults.append(f"error: {error}"))
    page.on(
        "console",
        lambda m: m.type in ("error", "warning") and faults.append(f"console: {m.text}"),
    )
    return faults


def _open(page: Page, url: str) -> None:
    page.goto(url, wait_until="load")
    page.evaluate("window.MathJax?.startup?.promise")
    page.wait_for_function(WIDGETS_DRAWN, timeout=10_000)


def _axe(page: Page) -> list[str]:
    page.evaluate(AXE.read_text())
    # Without preload: axe fetches the imports of style sheets itself, from the wrong folder.
    found = page.evaluate("axe.run({resultTypes: ['violations'], preload: false})")
    return [
        f"axe {violation['id']}: {json.dumps(node['target'])} {node['html'][:200]}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]
