"""Every page of the built book answers in its console, and asks for no model before that."""

import pytest
from support.site import transferred

import olmo_explain as oe

# Bytes of the front page: before the model could answer in it, for that, and for its letters.
LIGHT = 139_000 + 20_000 + 70_000
NO_PAGE = "404.html"  # it asks for nothing
CALL = "async () => (await olmo.run('To be, or not')).ids"


def test_every_page_has_the_script(book):
    for name in book.pages:
        if name.name == NO_PAGE:
            continue
        assert "_static/live.js" in (book.html / name).read_text(encoding="utf-8"), name


@pytest.mark.parametrize("served", [True, False], ids=["http", "file"])
@pytest.mark.parametrize("name", ["book/index.html", "notebooks/05_attention.html"])
def test_a_page_runs_the_model(request, book, browser, served, name):
    address = request.getfixturevalue("site") if served else book.html.as_uri()
    page, asked, faults = browser.new_page(), [], []
    page.on("request", lambda sent: asked.append(sent.url))
    page.on("pageerror", lambda error: faults.append(error.message))
    page.goto(f"{address}/{name}")
    assert not any("tiny" in url for url in asked)
    tokenizer = oe.load("tiny", "float32")[1]
    assert page.evaluate(CALL) == tokenizer("To be, or not")["input_ids"]
    assert any("tiny.js" in url for url in asked)
    assert all(url.startswith((address, "blob:", "data:")) for url in asked)
    assert not faults
    page.close()


def test_the_front_page_is_light_before_the_first_touch(browser, site):
    page = browser.new_context(viewport={"width": 390, "height": 844}).new_page()
    sizes = transferred(page)
    page.goto(f"{site}/book/index.html", wait_until="networkidle")
    assert 100_000 < sum(sizes) < LIGHT
    page.context.close()
