"""A keyboard alone: Tab reaches every control of every page, is seen there, and keys move it."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

FOCUSABLE = "a[href], button, input, select, textarea, summary, [tabindex='0'], [contenteditable]"
# What a reader could press or move in the text: seen, not switched off, one of each radio group.
# The live figure draws itself anew as it wakes: tests/live moves it.
CONTROLS = f"""() => {{
    const seen = (node) => node.checkVisibility({{ visibilityProperty: true }})
        && !node.disabled && !node.closest('[inert]') && node.tabIndex >= 0
        && node.getClientRects().length > 0;
    const chosen = (node) => (node.type !== 'radio' || node.checked) && !node.closest('.oe-model');
    return [...document.querySelectorAll('article')].flatMap((article) =>
        [...article.querySelectorAll(`{FOCUSABLE}`)].filter((n) => seen(n) && chosen(n)))
        .map((node, at) => node.dataset.keyboard = String(at));
}}"""
# Where the focus is, and whether one can see that it is there.
FOCUS = """() => {
    const node = document.activeElement;
    if (!node || node === document.body) return null;
    const outlined = (node) => {
        const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(node);
        return (outlineStyle !== 'none' && parseFloat(outlineWidth) >= 1) || boxShadow !== 'none';
    };
    const kind = node.localName === 'input' ? node.type : node.localName;
    return { at: node.dataset.keyboard ?? null, kind,
        ringed: outlined(node) || outlined(node.parentElement), // a field may have its unit inside
        html: node.outerHTML.slice(0, 120), explorer: !!node.closest('.oe:not(.oe-model)') };
}"""
# All that an explorer shows: its words, what its controls hold, its pictures.
SHOWN = """() => {
    const explorer = document.activeElement.closest('.oe');
    const styled = [...explorer.querySelectorAll('[style]')].map((n) => n.getAttribute('style'));
    const fields = [...explorer.querySelectorAll('input, select, textarea')];
    const held = fields.map((n) => n.value + n.checked);
    const drawn = [...explorer.querySelectorAll('canvas')].map((c) => c.toDataURL());
    const lines = [...explorer.querySelectorAll('svg')].map((s) => s.outerHTML);
    const without = explorer.cloneNode(true);
    without.querySelectorAll('output, .oe-status, .oe-sentence').forEach((n) => n.remove());
    const all = [without.textContent, ...styled, ...drawn, ...lines];
    return { held: held.join(), drawn: all.join() };
}"""
EXPLORERS_DRAWN = """() => [...document.querySelectorAll('script[type$="widget-view+json"]')]
    .every((view) => view.nextElementSibling?.childElementCount)"""
# To a control, if it has anywhere to go: one row has not; what was drawn anew is another control.
TO = """(at) => {
    const node = document.querySelector(`[data-keyboard="${at}"]`);
    node?.focus();
    return node !== null && node.max !== '0';
}"""
FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"

# For each kind of control, keys of which one at least must move it: it may stand at an end, and two
# choices may look the same.
KEYS = {
    "range": ["ArrowRight", "ArrowLeft"],
    "number": ["ArrowUp", "ArrowDown"],
    "select": ["ArrowDown", "ArrowDown", "ArrowUp", "ArrowUp", "ArrowUp"],
    "radio": ["ArrowRight", "ArrowLeft"],
    "search": ["7"],
    "textarea": ["!"],
}
# A sentence goes through the model, which comes with the first touch.
READ = """() => document.activeElement.closest('.oe-sentence').querySelector('p')
    .textContent.startsWith('Your sentence:')"""


@pytest.fixture(scope="module")
def page(browser):
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    yield context.new_page()
    context.close()


def test_tab_reaches_every_control_and_keys_move_it(book, page):
    faults, moved = [], set()
    chapters = [name for name in book.pages if name.parts[0] == "notebooks"]
    assert chapters
    for name in chapters:
        page.goto((book.html / name).as_uri())
        page.wait_for_function(EXPLORERS_DRAWN)
        said, reached = _walk(page)
        for at, kind in reached:
            page.evaluate(FRAMES)  # what the last one chose is drawn
            if not page.evaluate(TO, at):
                continue
            if not _moves(page, kind):
                said.append(f"no key moves {page.evaluate(FOCUS)['html']}")
            moved.add(kind)
        faults += [f"{name}: {fault}" for fault in said]
    assert not faults, "\n".join(faults)
    assert {"range", "select", "number", "textarea"} <= moved


def _walk(page: Page) -> tuple[list[str], list[tuple[str, str]]]:
    """Tab from the top of a page to its end: what was not reached or not seen; the controls met."""
    waiting, faults, reached = set(page.evaluate(CONTROLS)), [], []
    for _ in range(2000):
        page.keyboard.press("Tab")
        focus = page.evaluate(FOCUS)
        if focus is None:
            break
        if focus["at"] is None:
            continue
        if not focus["ringed"]:
            faults.append(f"the focus is not seen on {focus['html']}")
        if focus["explorer"] and focus["kind"] in KEYS:
            reached.append((focus["at"], focus["kind"]))
        waiting.discard(focus["at"])
    for at in waiting:
        found = page.locator(f"[data-keyboard='{at}']")  # what was drawn anew is another control
        for html in found.evaluate_all("all => all.map((n) => n.outerHTML.slice(0, 120))"):
            faults.append(f"Tab does not reach {html}")
    return faults, reached


def _moves(page: Page, kind: str) -> bool:
    """Whether a key changes what the control holds, and with it what the explorer draws."""
    before = page.evaluate(SHOWN)
    for key in KEYS[kind]:
        page.keyboard.press(key)
        if kind == "textarea":
            page.wait_for_function(READ)
        page.evaluate(FRAMES)
        after = page.evaluate(SHOWN)
        if before["held"] != after["held"] and before["drawn"] != after["drawn"]:
            return True
    return False


@pytest.mark.parametrize("width", [1280, 390])
def test_the_search_opens_by_keyboard(book, page, width):
    page.set_viewport_size({"width": width, "height": 900})
    page.goto((book.html / Path("book/index.html")).as_uri())
    page.keyboard.press("Control+k")
    page.keyboard.type("rope")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=rope*")


def test_the_skip_link_comes_first_and_the_menu_opens_and_closes(book, page):
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto((book.html / Path("notebooks/05_attention.html")).as_uri())
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the text")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    menu, nav = page.get_by_role("button", name="Menu"), page.locator("#oe-nav")
    expect(nav).to_be_hidden()
    menu.press("Enter")
    expect(nav.get_by_role("link", name="6. Positions")).to_be_visible()
    page.keyboard.press("Escape")
    expect(nav).to_be_hidden()
    expect(menu).to_be_focused()


def test_a_chapter_read_to_its_end_has_a_tick_until_it_is_forgotten(book, browser):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto((book.html / Path("notebooks/05_attention.html")).as_uri())
    nav = page.locator("#oe-nav")
    expect(nav.locator(".oe-read")).to_have_count(0)
    expect(nav.get_by_role("button", name="Forget what I have read")).to_be_hidden()
    page.locator(".oe-turn").scroll_into_view_if_needed()
    expect(nav.locator(".oe-read")).to_have_text("5. Attention, read")
    page.reload()
    expect(nav.locator(".oe-read")).to_have_count(1)
    page.evaluate("scrollTo(0, 0)")
    nav.get_by_role("button", name="Forget what I have read").click()
    expect(nav.locator(".oe-read")).to_have_count(0)
    page.close()
