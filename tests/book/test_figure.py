"""The live figure on the front page, in Chromium, Firefox and WebKit, served and as a file."""

import json
import re

import pytest
import torch
from playwright.sync_api import expect

import olmo_explain as oe

TEXT = "I gave you a horse, you gave me a"
BARS = """() => [...document.querySelectorAll(".oe-bars li:not(.oe-empty)")]
    .map((row) => [row.querySelector("code").textContent, parseFloat(row.lastChild.textContent)])"""
IDLE = "() => document.querySelector('.oe-model')?.getAttribute('aria-busy') === 'false'"
# How far what is on the page moved by itself, all in all.
SHIFTS = """window.shifted = 0;
new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifted += entry.value;
}).observe({ type: "layout-shift", buffered: true });"""
WIDER = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def tiny():
    return oe.load("tiny", "float32")


def expected(tiny, text: str) -> list[list]:
    model, tokenizer = tiny
    with torch.no_grad():
        logits = model(tokenizer(text, return_tensors="pt").input_ids, use_cache=False).logits
    shares, ids = logits[0, -1].softmax(-1).topk(5)
    tokens = [re.sub(r"\n", "↵", tokenizer.decode([id]).replace(" ", "␣")) for id in ids.tolist()]
    return [[token, 100 * share] for token, share in zip(tokens, shares.tolist(), strict=True)]


def check_bars(page, expected: list[list]) -> None:
    tokens = json.dumps([token for token, _ in expected], separators=(",", ":"), ensure_ascii=False)
    page.wait_for_function(
        f"() => JSON.stringify(({BARS})().slice(0, 5).map(([token]) => token)) === {tokens!r}"
    )
    shown = page.evaluate(BARS)
    assert [share for _, share in shown[:5]] == pytest.approx([s for _, s in expected], abs=0.06)


def test_the_model_speaks(engine_page, overheard, tiny):
    page = engine_page
    page.goto(f"{overheard}/book/index.html")
    page.wait_for_function(IDLE)
    check_bars(page, expected(tiny, "What news from France? I say, what news from"))

    field = page.locator(".oe-model textarea")
    field.fill(TEXT[:-2])
    field.press_sequentially(TEXT[-2:])
    check_bars(page, expected(tiny, TEXT))
    assert page.locator(".oe-chips input").count() == 10

    # On a phone and in the light so far; on a desk and in the dark from here.
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate(WIDER) <= 0
    page.wait_for_function("() => document.querySelector('.oe-map').viewBox.baseVal.width > 500")
    page.evaluate("() => { document.documentElement.dataset.theme = 'dark'; }")
    paper = page.locator(".oe-model").evaluate("(n) => getComputedStyle(n).backgroundColor")
    assert paper == "rgb(15, 20, 19)"

    # WebKit's driver would scroll it only just into view, and then find it hidden.
    page.locator(".oe-model-switch").nth(1).evaluate("(n) => n.scrollIntoView({block: 'center'})")
    page.locator(".oe-model-switch").nth(1).click()
    with oe.ablate_head(tiny[0], 7, 1):
        check_bars(page, expected(tiny, TEXT))
    page.locator(".oe-model-switch").nth(1).click()
    check_bars(page, expected(tiny, TEXT))

    written = tiny[0].generate(
        tiny[1](TEXT, return_tensors="pt").input_ids, max_new_tokens=8, do_sample=False
    )
    page.locator(".oe-model-write .oe-primary").click()
    page.wait_for_function("() => document.querySelectorAll('.oe-chips input').length > 18")
    page.locator(".oe-model-write .oe-primary").click()
    assert field.input_value().startswith(tiny[1].decode(written[0]))

    assert page.evaluate("faults") == []


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_the_figure_is_in_the_first_screen_and_nothing_moves(book, browser, width, height):
    page = browser.new_page(viewport={"width": width, "height": height})
    page.add_init_script(SHIFTS)
    page.goto(f"{book.html.as_uri()}/book/index.html")
    page.wait_for_function(IDLE)
    field = page.locator(".oe-model textarea").bounding_box()
    assert field["y"] + field["height"] < height - 100
    assert page.evaluate("shifted") == 0
    assert page.evaluate(WIDER) <= 0
    page.get_by_role("link", name="Type your own sentence").click()
    expect(page.locator(".oe-model textarea")).to_be_focused()
    page.close()


def test_without_javascript_the_menu_opens(book, browser):
    page = browser.new_page(java_script_enabled=False)
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{book.html.as_uri()}/book/index.html")
    page.get_by_role("button", name="Menu").click()
    expect(page.locator("#oe-nav").get_by_role("link", name="1. What config.json")).to_be_visible()
    page.close()
