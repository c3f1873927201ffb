"""A word of the glossary says its sentence where it stands: to a pointer, a key, a finger."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

CHAPTER = "notebooks/07_rmsnorm.html"


def test_every_linked_term_brings_its_sentence(book):
    text = (book.html / CHAPTER).read_text(encoding="utf-8")
    terms = re.findall(r'<a class="oe-term[^>]*>', text)
    assert len(terms) > 3
    for term in terms:
        assert len(re.search(r'title="([^"]*)"', term)[1]) > 20, term


@pytest.fixture
def desk(browser: Browser, site: str) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(f"{site}/{CHAPTER}")
    yield page
    page.close()


@pytest.fixture
def phone(browser: Browser, site: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    page = context.new_page()
    page.goto(f"{site}/{CHAPTER}")
    yield page
    context.close()


def test_a_pointer_opens_the_card_and_escape_closes_it(desk):
    term, card = desk.locator("a.oe-term").first, desk.locator(".oe-card")
    expect(card).to_be_hidden()
    term.hover()
    expect(card).to_be_visible()
    assert term.get_attribute("data-card") in card.inner_text()
    assert term.get_attribute("aria-describedby") == card.get_attribute("id")
    desk.keyboard.press("Escape")
    expect(card).to_be_hidden()


def test_the_focus_opens_the_card_and_enter_leads_on(desk):
    term = desk.locator("a.oe-term").first
    term.focus()
    expect(desk.locator(".oe-card")).to_be_visible()
    desk.keyboard.press("Enter")
    expect(desk).to_have_url(re.compile(r"book/glossary\.html#term-"))


def test_a_finger_stays_on_the_page_and_the_card_leads_on(phone):
    term, card = phone.locator("a.oe-term").first, phone.locator(".oe-card")
    term.tap()
    expect(card).to_be_visible()
    assert phone.url.endswith(CHAPTER)
    box = card.bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    card.get_by_role("link", name="Glossary").tap()
    expect(phone).to_have_url(re.compile(r"book/glossary\.html#term-"))


def test_a_tap_elsewhere_closes_the_card(phone):
    phone.locator("a.oe-term").first.tap()
    expect(phone.locator(".oe-card")).to_be_visible()
    phone.locator("article h1").tap()
    expect(phone.locator(".oe-card")).to_be_hidden()
