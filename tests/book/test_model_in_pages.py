"""Every page of the built book answers in its console, and asks for no model before that."""

import pytest

import olmo_explain as oe

CALL = "async () => (await olmo.run('To be, or not')).ids"


def test_every_page_has_the_script(book):
    for name in book.pages:
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
