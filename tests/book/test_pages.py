"""Every built page in Chromium: served and as a file, wide and narrow, light and dark, on paper."""

import json
import re
from collections.abc import Iterator
from importlib.resources import files
from mimetypes import guess_type
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser, Locator, Page, expect
from support.site import transferred

from olmo_explain import explore_heads, head_norms, load
from olmo_explain.report import ALL_CLAIMS
from olmo_explain.running import FAR

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
# Code, tables and figures of which a part cannot be seen, or not be read: each with what it says.
CUT_OFF = """() => {
    for (const fold of document.querySelectorAll('.bd-article details')) fold.open = true;
    const article = document.querySelector('.bd-article');
    const blocks = 'pre, figure, .output, .oe-table, .pst-scrollable-table-container';
    const wide = [...article?.querySelectorAll(blocks) ?? []]
        .filter((node) => node.clientWidth && node.scrollWidth > node.clientWidth + 1)
        .filter((node) => !node.closest('.oe') && !node.querySelector(':scope > .oe-strip'))
        .map((node) => `cut off: ${node.innerText.slice(0, 80)}`);
    const words = [...document.querySelectorAll('.bd-article figure svg text')]
        .filter((word) => !word.closest('.oe') && word.checkVisibility());
    const outside = words.filter((word) => {
        const box = word.getBoundingClientRect();
        const whole = word.ownerSVGElement.getBoundingClientRect();
        return box.left < whole.left - 2 || box.right > whole.right + 2;
    }).map((word) => `beside its picture: ${word.textContent}`);
    const small = words.filter((word) =>
        word.ownerSVGElement.getScreenCTM().a * parseFloat(getComputedStyle(word).fontSize) < 10.9
    ).map((word) => `too small: ${word.textContent}`);
    return [...wide, ...outside, ...small];
}"""


# Code that is wider than the paper.
WIDER_THAN_PAPER = """() => [...document.querySelectorAll('.bd-article pre')]
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
        # Served and as a file, each width and each set of colours is seen once.
        ("http", DESK, "light"),
        ("http", PHONE, "dark"),
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
            least = 0 if faults.page.name == NOT_A_FILE else 50_000  # that one asks for nothing
            if not least < sum(sizes) < HEAVIEST:
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


@pytest.mark.parametrize(("width", "scheme"), [(PHONE, "light"), (DESK, "light")])
def test_no_text_and_no_code_is_cut_off(book, page):
    cut = {}
    for name in book.pages:
        page.goto((book.html / name).as_uri())
        cut[name.as_posix()] = page.evaluate(CUT_OFF)
    assert {name: faults for name, faults in cut.items() if faults} == {}


@pytest.mark.parametrize(("width", "scheme"), [(PHONE, "light")])
def test_a_table_that_does_not_fit_a_phone_is_a_stack_of_cards(book, page):
    page.goto((book.html / "book" / "notation.html").as_uri())
    row = page.locator("tr", has=page.get_by_text("num_key_value_heads", exact=True)).first
    cells = [cell for cell in row.locator("td").all() if cell.is_visible()]
    boxes = [cell.bounding_box() for cell in cells]
    assert len({box["x"] for box in boxes}) == 1 < len(boxes)
    assert [box["y"] for box in boxes] == sorted(box["y"] for box in boxes)
    before = "cell => getComputedStyle(cell, '::before').content"
    assert cells[1].evaluate(before) == '"in config.json"'


@pytest.mark.parametrize(("width", "scheme"), [(PHONE, "light")])
def test_code_that_wraps_is_copied_as_it_was_written(book, page):
    """Selected by hand; the button takes the element's text, which wrapping does not change."""
    page.goto((book.html / "notebooks" / "05_attention.html").as_uri())
    code = page.locator("div.cell_input pre").filter(has_text="def keep(module")
    selected = code.evaluate("""pre => {
        getSelection().selectAllChildren(pre);
        return getSelection().toString();
    }""")
    written = 'def keep(module, inputs, output):\n    heard["pattern"] = output[1]'
    assert selected.startswith(written)
    assert "\n\nheard = {}\nattention = " in selected


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
            expect(words.nth(at).get_by_role("img")).to_be_visible()
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
        for pressed in (".oe-bar", ".oe-nav", ".oe-contents", ".oe-turn"):
            expect(page.locator(pressed).first).to_be_hidden()
        assert page.evaluate(WIDER_THAN_PAPER) == [], name
        for solution in page.locator(".tag_solution").all():
            expect(solution).to_be_hidden()
        for hidden in page.locator(".bd-article details:not(.oe *) > p").all():
            assert hidden.evaluate("p => p.checkVisibility()"), name
            printed += 1
        for explorer in page.locator(".oe").all():
            assert explorer.is_visible(), name
    assert printed
    page.goto((book.html / "notebooks" / "13_the_report.html").as_uri())
    lines = page.locator(".oe-claims-group summary, .oe-claims-group details > dl").all()
    assert sum(line.is_visible() for line in lines) == len(ALL_CLAIMS)
    expect(page.locator("div.cell:has(.oe-claims) + div.cell")).to_be_hidden()


@pytest.mark.parametrize(("width", "scheme"), [(DESK, "light")])
@pytest.mark.parametrize(
    ("words", "place"),
    [
        ("rope", "notebooks/06_positions.html"),
        ("RoPE bug", "notebooks/06_positions.html#the-crime"),  # which has no word "bug"
        ("grouped-query", "notebooks/05_attention.html#"),
        ("kv cache", "notebooks/09_next_token.html#"),
        ("feed forward", "notebooks/08_mlp.html"),
        ("unembedding", "notebooks/09_next_token.html"),
    ],
)
def test_search_leads_to_sections_in_a_book_that_is_only_files(book, page, words, place):
    faults = _listen(page, book.html.as_uri())
    page.goto(f"{book.html.as_uri()}/search.html?q={words}")
    found = [link.get_attribute("href") for link in page.locator("#search-results li a").all()]
    assert any(link.startswith(f"./{place}") for link in found[:6]), found
    page.locator("#search-results li a").first.click()
    page.wait_for_url(re.compile(re.escape(found[0].removeprefix("./"))))
    if anchor := found[0].partition("#")[2]:
        expect(page.locator(f"#{anchor}").first).to_be_in_viewport()
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(("width", "scheme"), [(DESK, "light")])
@pytest.mark.parametrize("word", ["constructor", "-constructor", "__proto__", "[.*", "zzz zzz"])
def test_what_is_not_found_is_said_with_a_way_on(book, page, word):
    faults = _listen(page, book.html.as_uri())
    page.goto(f"{book.html.as_uri()}/search.html")
    page.locator("main").get_by_label("Search the book").fill(word)
    expect(page.locator("#search-results .search-summary")).to_contain_text("did not match any")
    page.locator("#search-results").get_by_role("link", name="glossary").click()
    page.wait_for_url("**/book/glossary.html")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(("width", "scheme"), [(DESK, "light")])
def test_search_names_a_chapter_before_the_api(site, page):
    page.goto(f"{site}/search.html?q=ablate_head")
    page.locator("#search-results li a", has_text="API").first.wait_for()
    found = [link.get_attribute("href") for link in page.locator("#search-results li > a").all()]
    chapters = [at for at, link in enumerate(found) if "notebooks/" in link]
    assert chapters[0] < min(at for at, link in enumerate(found) if "/api.html" in link)


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


@pytest.mark.parametrize(("width", "scheme"), [(PHONE, "dark")])
def test_what_is_not_there_is_whole_under_another_address(book, page):
    """The book in the root of a server, and in a folder that nobody foresaw."""
    origin = "http://elsewhere.test"

    def answer(route) -> None:
        path = urlsplit(route.request.url).path
        file = book.html / path.removeprefix(root)
        inside = path.startswith(root) and file.is_file()
        body = (file if inside else book.html / NOT_A_FILE).read_bytes()
        kind = "text/html" if file.suffix in ("", ".html") else guess_type(file)[0]
        route.fulfill(status=200 if inside else 404, body=body, content_type=kind)

    page.route(f"{origin}/**", answer)
    for root in ("/", "/preview/of/it/"):
        page.goto(f"{origin}{root}notebooks/nothing.html")
        link = page.get_by_role("link", name="5. Attention")
        expect(link).to_have_attribute("href", f"{root}notebooks/05_attention.html")
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert paper == "rgb(15, 20, 19)"  # its own style, dark


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
    norms, patterns = head_norms("tiny"), _patterns(explore_heads("tiny", FAR).tokens)
    layers, heads = patterns.shape[:2]
    pictures = set()
    for at, choose in enumerate([_by_keyboard, _by_pointer] * 5):
        layer, head = at % layers, (at + at // layers) % heads
        choose(explorer, layer, head)
        title = f"Where head {layer}.{head} lies"
        expect(explorer.get_by_role("heading", name=title)).to_be_visible()
        for name, values in norms.items():
            card = explorer.locator(".oe-slice", has=page.get_by_text(name, exact=True))
            assert float(card.locator("dd").nth(1).inner_text()) == pytest.approx(
                values[layer, head * values.shape[1] // heads], abs=6e-5
            )
        said = explorer.locator(".oe-readout").inner_text().split("\n")[0]
        shown = [float(share) for share in re.findall(r"([\d.]+)%", said)]
        seen = 100 * np.sort(patterns[layer, head, -1])[::-1][: len(shown)]
        assert shown == pytest.approx(seen.tolist(), abs=0.06)
        pictures.add(explorer.locator(".oe-heads-pattern canvas").evaluate("c => c.toDataURL()"))
    assert len(pictures) == 10


def _by_keyboard(explorer: Locator, layer: int, head: int) -> None:
    tile = explorer.locator(".oe-heads-tiles input:checked")
    at = int(re.search(r"Layer (\d+)", tile.get_attribute("aria-label"))[1])
    for _ in range(abs(layer - at)):
        tile.press("ArrowDown" if layer > at else "ArrowUp")
    at = int(re.search(r"head (\d+)", tile.get_attribute("aria-label"))[1])
    for _ in range(abs(head - at)):
        tile.press("ArrowRight" if head > at else "ArrowLeft")


def _by_pointer(explorer: Locator, layer: int, head: int) -> None:
    layers = explorer.locator(".oe-layers input").nth(layer)
    if layers.is_visible():
        layers.check()
    explorer.get_by_role("radio", name=f"Layer {layer}, head {head}", exact=True).check()


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
