"""Exercises as cards on the pages of the book: answered there, kept by the browser, forgotten."""

import json
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

import olmo_explain as oe
from olmo_explain.course.answers import is_array, plain, show
from olmo_explain.course.checking import WORDS, all_exercises, computed
from olmo_explain.course.exported import exported_exercise

ROOT = Path(__file__).parents[2]
AXE = files("axe_playwright_python") / "axe.min.js"
MOST_SCRIPT = 16_000  # bytes of JavaScript that cards may ask for
RIGHT = {name: plain(computed(exercise.right)) for name, exercise in all_exercises().items()}
TYPED = [name for name, right in RIGHT.items() if not is_array(right)]  # the others stay cells


def chapter_of(book, name: str) -> Path:
    (page,) = (book.html / "notebooks").glob(f"{name[:2]}_*.html")
    return page


def typed(value: Any) -> str:
    """A right answer as a reader may type it."""
    return repr(value) if isinstance(value, float) else show(value)


def answer(card: Locator, text: str) -> None:
    if card.locator("select").count():
        card.get_by_label("Your answer").select_option(text)
    elif card.get_by_role("radio").count():
        card.get_by_role("radio", name=text).check()
    else:
        card.get_by_label("Your answer").fill(text)
    card.get_by_role("button", name="Check").click()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 390, "height": 844}, reduced_motion="reduce")
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    page = context.new_page()
    page.faults = []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    return page


def card_of(page: Page, name: str) -> Locator:
    return page.locator(f'[data-exercise="{name}"]')


def test_every_exercise_has_a_card_and_its_right_answer_is_right_from_a_file(book, page):
    pages = {chapter_of(book, name) for name in RIGHT}
    for chapter in sorted(pages):
        page.goto(chapter.as_uri())
        names = [name for name in RIGHT if chapter_of(book, name) == chapter]
        cards = page.locator("[data-exercise]")
        assert cards.evaluate_all("all => all.map((c) => c.dataset.exercise)") == names
        for name in names:
            card = card_of(page, name)
            assert card.locator("summary").all_text_contents() == ["Hint 1", "Hint 2", "Solution"]
            assert not card.locator("details[open]").count()
            if name not in TYPED:
                expect(card).to_contain_text("Answer it in JupyterLab")
                assert card.locator(".oe-in-lab").get_by_role("link").count() == 2
                expect(card.locator("pre").first).to_contain_text("answer = ...")
                assert not card.get_by_role("button", name="Check").count()
                continue
            answer(card, typed(RIGHT[name]))
            said = oe.check(name, RIGHT[name])
            expect(card.get_by_role("status")).to_have_text(
                f"✓ {WORDS['right']}: {re.sub('[`*]', '', said.message)}"
            )
            assert "oe.check" in card.locator(".oe-solution pre").text_content()
        count = len([name for name in names if name in TYPED])
        expect(page.locator(".oe-progress")).to_contain_text(f"{count} of {count} right.")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert not page.faults


@pytest.fixture(params=["http", "file"])
def address(request, book) -> str:
    return request.getfixturevalue("site") if request.param == "http" else book.html.as_uri()


def test_a_reload_keeps_answers_and_forget_forgets(address, page):
    chapter = f"{address}/notebooks/05_attention.html"
    page.goto(chapter)
    answer(card_of(page, "05.1"), "3072")
    answer(card_of(page, "05.4"), "0, 7")
    page.goto(f"{address}/notebooks/01_config.html")
    answer(card_of(page, "01.4"), "131,040 tokens")
    page.goto(chapter)
    page.reload()
    expect(card_of(page, "05.1").get_by_label("Your answer")).to_have_value("3072")
    expect(card_of(page, "05.1").get_by_role("status")).to_have_text("✓ Right")
    expect(card_of(page, "05.4").get_by_role("status")).to_have_text("✗ Not yet")
    kept = json.loads(page.evaluate("localStorage.getItem('oe-answers')"))
    assert kept == {
        "01.4": {"answer": "131,040 tokens", "state": "right"},
        "05.1": {"answer": "3072", "state": "right"},
        "05.4": {"answer": "0, 7", "state": "wrong"},
    }
    progress = page.locator(".oe-progress")
    expect(progress).to_contain_text("1 of 4 right.")
    forget = page.get_by_role("button", name="Forget my answers")
    forget.click()
    expect(forget).to_be_disabled()
    expect(progress).to_contain_text("0 of 4 right.")
    page.reload()
    expect(card_of(page, "05.1").get_by_label("Your answer")).to_have_value("")
    expect(card_of(page, "05.1").get_by_role("status")).to_have_text(
        "A whole number, such as 4,096."
    )
    assert list(json.loads(page.evaluate("localStorage.getItem('oe-answers')"))) == ["01.4"]


def test_where_the_browser_keeps_nothing_answers_are_checked_all_the_same(book, page):
    page.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new Error('private'); } });"
    )
    page.goto(chapter_of(book, "05.1").as_uri())
    answer(card_of(page, "05.1"), "3072")
    expect(card_of(page, "05.1").get_by_role("status")).to_contain_text("Right: 3,072.")
    expect(page.locator(".oe-progress")).to_contain_text("1 of 4 right.")
    page.get_by_role("button", name="Forget my answers").click()
    expect(page.locator(".oe-progress")).to_contain_text("0 of 4 right.")
    assert not [fault for fault in page.faults if "private" not in fault]


def test_whatever_is_kept_under_our_name_does_not_break_the_page(book, page):
    page.goto(chapter_of(book, "05.1").as_uri())
    for broken in ("[", "3", '{"05.1": 3}', '{"05.1": {}}', "null"):
        page.evaluate("(kept) => localStorage.setItem('oe-answers', kept)", broken)
        page.reload()
        answer(card_of(page, "05.1"), "3072")
        expect(card_of(page, "05.1").get_by_role("status")).to_contain_text("Right: 3,072.")
    assert not page.faults


def test_the_keyboard_is_enough(book, page):
    page.goto(chapter_of(book, "05.1").as_uri())
    card = card_of(page, "05.1")
    card.get_by_label("Your answer").focus()
    page.keyboard.type("0")
    page.keyboard.press("Enter")
    expect(card.get_by_role("status")).to_contain_text("✗ Not yet: That would be so if")
    page.keyboard.press("Tab")
    expect(card.get_by_role("button", name="Check")).to_be_focused()
    second = card.locator("details", has_text="Hint 2")
    expect(second).to_be_hidden()  # it comes after the first
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(card.locator("details", has_text="Hint 1")).to_have_attribute("open", "")
    page.keyboard.press("Enter")
    expect(second).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(card.locator(".oe-answered")).to_contain_text("3,072. Three quarters")


def test_what_cannot_be_read_is_no_answer(book, page):
    page.goto(chapter_of(book, "05.1").as_uri())
    card = card_of(page, "05.1")
    answer(card, "many")
    said = "○ Not answered yet: that cannot be read. A whole number, such as 4,096."
    expect(card.get_by_role("status")).to_have_text(said)
    answer(card, "")
    said = "○ Not answered yet: A whole number, such as 4,096."
    expect(card.get_by_role("status")).to_have_text(said)
    assert page.evaluate("localStorage.getItem('oe-answers')") is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_cards_are_accessible_in_every_state(book, page, scheme):
    page.emulate_media(color_scheme=scheme)
    for name, text in ("05.1", "3072"), ("07.2", "resid_mid"), ("13.3", "yarn-lost"):
        page.goto(chapter_of(book, name).as_uri())
        card = card_of(page, name)
        answer(card, text)
        for summary in card.locator("summary").all():
            summary.click()
        page.evaluate(AXE.read_text())
        found = page.evaluate(
            "axe.run('section#exercises', {resultTypes: ['violations'], preload: false})"
        )
        assert [violation["id"] for violation in found["violations"]] == [], name
        for pressed in card.locator("button, summary, select, input[type=text]").all():
            assert pressed.bounding_box()["height"] >= 44, pressed.inner_text()


def test_nothing_moves_when_answers_are_recalled(book, page):
    page.add_init_script("""globalThis.shifted = [];
        new PerformanceObserver((list) => shifted.push(...list.getEntries().flatMap((entry) =>
            entry.sources.filter(({ node }) => node?.parentElement?.closest("#exercises"))
                .map(({ node }) => node.outerHTML.slice(0, 60)))))
            .observe({ type: "layout-shift", buffered: true });""")
    page.goto(chapter_of(book, "05.1").as_uri())
    for name, text in ("05.1", "0"), ("05.2", "1"), ("05.3", "1"), ("05.4", "(3, 1)"):
        answer(card_of(page, name), text)
    page.reload()
    expect(card_of(page, "05.4").get_by_role("status")).to_have_text("✗ Not yet")
    expect(card_of(page, "05.4")).to_be_in_viewport()  # as it was before
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.evaluate("shifted") == []


def test_without_javascript_question_hints_and_solution_are_there(book, browser):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(chapter_of(book, "05.1").as_uri())
    expect(page.locator(".oe-needs-script")).to_be_visible()
    card = card_of(page, "05.1")
    expect(card.get_by_role("button", name="Check")).to_be_hidden()
    expect(card.get_by_text("To silence head 1")).to_be_visible()
    for summary in ("Hint 1", "Hint 2", "Solution"):
        card.get_by_text(summary, exact=True).click()
    expect(card.locator(".oe-solution pre")).to_be_visible()
    context.close()


def test_paper_has_questions_and_hints_and_no_solution(book, page):
    page.goto(chapter_of(book, "05.1").as_uri())
    page.emulate_media(media="print")
    card = card_of(page, "05.1")
    expect(card.get_by_text("To silence head 1")).to_be_visible()
    expect(card.locator(".oe-hint p").nth(1)).to_be_visible()
    expect(
        card.locator(".oe-solution, .oe-answer, .oe-said").locator("visible=true")
    ).to_have_count(0)
    expect(page.get_by_text("Solutions: on the page.")).to_be_visible()


def test_the_scripts_are_small_and_only_where_exercises_are(book):
    sizes = 0
    for path in book.pages:
        text = (book.html / path).read_text(encoding="utf-8")
        has_cards = "data-exercise=" in text
        for script in ("answers.js", "exercises.js"):
            assert (f"_static/{script}" in text) == has_cards, path
    for script in ("answers.js", "exercises.js"):
        sizes += (book.html / "_static" / script).stat().st_size
    assert sizes < MOST_SCRIPT


def test_what_is_said_to_answers_is_not_read_by_chance(book):
    for name in TYPED:
        source = chapter_of(book, name).read_text(encoding="utf-8")
        for message in [*all_exercises()[name].wrong, exported_exercise(name)["shows"]]:
            assert json.dumps(message, ensure_ascii=False) not in source, name
            assert message not in source, name
