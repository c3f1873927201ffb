"""Every built page in Chromium: served and as a file, wide and narrow, light and dark, on paper."""

import json
from collections.abc import Iterator
from importlib.resources import files
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser, Locator, Page, expect
from support.site import transferred

from olmo_explain import explore_heads, head_norms, load

PHONE, DESK = 390, 1280
TWICE_AS_LARGE = DESK // 2  # what a browser's zoom of 200 % leaves of a desk's screen
HEAVIEST = 1_000_000  # bytes that a page may ask for, all in all
NOT_A_FILE = "404.html"  # only ever sent by a server, for another address
AXE = files("axe_playwright_python") / "axe.min.js"

# A widget is drawn when the element after its saved view holds something.
WIDGETS_DRAWN = """() => [...document.querySelectorAll('script[type$="widget-view+json"]')]
    .every((view) => view.nextElementSibling?.childElementCount || view.nextElementSibling?.role)"""
WIDTH = "() => Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)"
# What still moves where a reader asked for no motion.
MOVING = """() => [...document.querySelectorAll('*')].filter((node) => {
    const { transitionDuration, animationName } = getComputedStyle(node);
    return transitionDuration !== '0s' || animationName !== 'none';
}).map((node) => node.outerHTML.slice(0, 80))"""
# Code that is wider than the paper.
CUT_OFF = """() => [...document.querySelectorAll('.bd-article pre')]
    .filter((pre) => pre.scrollWidth > pre.clientWidth + 1)
    .map((pre) => pre.innerText.slice(0, 80))"""


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


@pytest.mark.parametrize(
    ("address", "width", "scheme"),
    [
        *product(["http"], [DESK, PHONE], ["light", "dark"]),
        # As a file, each width and each set of colours is seen once.
        ("file", DESK, "light"),
        ("file", PHONE, "dark"),
    ],
    indirect=["address"],
)
def test_every_page_opens_without_a_fault(book, address, page, width, scheme):
    served = address.startswith("http")
    faults, sizes = _listen(page, address), transferred(page)
    for faults.page in book.pages:
        if faults.page.name == NOT_A_FILE and not served:
            continue
        sizes.clear()
        _open(page, f"{address}/{faults.page.as_posix()}")
        if page.evaluate("document.documentElement.dataset.theme") != scheme:
            faults.append(f"not in {scheme}")
        if (wide := page.evaluate(WIDTH)) > width:
            faults.append(f"scrolls sideways: {wide} px on a screen of {width}")
        for error in page.query_selector_all(".oe-widget-error"):
            faults.append(error.inner_text())
        if served:
            if not 50_000 < sum(sizes) < HEAVIEST:
                faults.append(f"asks for {sum(sizes):,} bytes")
            faults.extend(_axe(page))
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(("width", "scheme"), [(TWICE_AS_LARGE, "light")])
def test_a_page_twice_as_large_does_not_scroll_sideways(book, site, page, width):
    wide = {}
    for name in book.pages:
        _open(page, f"{site}/{name.as_posix()}")
        wide[name] = page.evaluate(WIDTH)
    assert {name: at for name, at in wide.items() if at > width} == {}


@pytest.mark.parametrize(("width", "scheme"), [(DESK, "light")])
def test_reduced_motion_is_respected(book, site, page):
    _open(page, f"{site}/notebooks/11_one_head.html")
    assert page.evaluate(MOVING) == []


def test_without_javascript_a_page_says_what_is_missing(book, browser):
    context = browser.new_context(java_script_enabled=False)
    page, views = context.new_page(), 0
    for name in book.pages:
        here = (book.html / name).read_text(encoding="utf-8").count("widget-view+json")
        page.goto((book.html / name).as_uri())
        words = page.locator(".oe-no-script")
        expect(words).to_have_count(here)
        for at in range(here):
            expect(words.nth(at)).to_be_visible()
        views += here
    context.close()
    assert views


@pytest.mark.parametrize(("width", "scheme"), [(DESK, "dark")])
def test_paper_holds_what_a_reader_reads(book, page):
    printed = 0
    for name in (book.html / "notebooks").glob("*.html"):
        page.emulate_media(media="screen")
        _open(page, name.as_uri())
        page.emulate_media(media="print")
        expect(page.locator("html")).to_have_attribute("data-theme", "light")
        for pressed in (".bd-sidebar-primary", ".bd-sidebar-secondary", ".bd-header-article"):
            expect(page.locator(pressed).first).to_be_hidden()
        cut = page.evaluate(CUT_OFF)
        assert cut == [], name
        for hidden in page.locator(".bd-article details > p").all():
            assert hidden.evaluate("p => p.checkVisibility()"), name
            printed += 1
        for explorer in page.locator(".oe").all():
            assert explorer.is_visible(), name
    assert printed


@pytest.mark.parametrize(("width", "scheme"), [(DESK, "light")])
@pytest.mark.parametrize("words", ["rope", "grouped-query"])
def test_search_works_in_a_book_that_is_only_files(book, page, words):
    faults = _listen(page, book.html.as_uri())
    page.goto(f"{book.html.as_uri()}/search.html?q={words}")
    found = page.locator("#search-results li a")
    expect(found.first).to_be_visible()
    found.first.click()
    page.wait_for_load_state()
    # Also what a closed hint hides. The search goes by stems, and the words may stand apart.
    text = page.locator("article").text_content().lower()
    assert all(word[:5] in text for word in words.split("-")), words
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(("width", "scheme"), [(DESK, "light")])
@pytest.mark.parametrize("word", ["constructor", "-constructor", "__proto__"])
def test_words_that_every_object_of_a_script_has_are_searched_for_as_others(book, page, word):
    faults = _listen(page, book.html.as_uri())
    page.goto(f"{book.html.as_uri()}/search.html?q={word}")
    expect(page.locator("#search-results .search-summary")).to_contain_text("did not match any")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(("width", "scheme"), [(DESK, "light")])
def test_search_names_a_chapter_before_the_api(site, page):
    page.goto(f"{site}/search.html?q=rope")
    page.locator("#search-results li a", has_text="API").first.wait_for()
    found = [link.get_attribute("href") for link in page.locator("#search-results li > a").all()]
    chapters = [at for at, link in enumerate(found) if "notebooks/" in link]
    api = [at for at, link in enumerate(found) if "/api.html" in link]
    assert chapters
    assert max(chapters) < min(api)


@pytest.mark.parametrize(("width", "scheme"), [(DESK, "light")])
@pytest.mark.parametrize("address", ["nothing.html", "notebooks/nothing/at/all/"])
def test_what_is_not_there_leads_back_from_any_depth(site, page, address):
    failed = []
    page.on("response", lambda r: r.status >= 400 and failed.append(r.url))
    page.goto(f"{site}/{address}")
    expect(page.get_by_role("heading", name="Page not found")).to_be_visible()
    page.wait_for_load_state("networkidle")
    assert failed == [f"{site}/{address}"]  # all that the page itself needs is there
    page.get_by_role("link", name="5. Attention").first.click()
    page.wait_for_url("**/notebooks/05_attention.html")


@pytest.mark.parametrize(("width", "scheme"), [(DESK, "light")])
def test_the_root_leads_to_the_book(address, page):
    page.goto(f"{address}/index.html")
    page.wait_for_url("**/book/index.html")


@pytest.mark.parametrize(("width", "scheme"), [(DESK, "light"), (PHONE, "dark")])
def test_the_head_explorer_answers_as_python_does(book, page, width, scheme):
    """Five choices by keyboard and five by pointer, on a page that is only a file."""
    chapter = book.html / "notebooks" / "11_one_head.html"
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
