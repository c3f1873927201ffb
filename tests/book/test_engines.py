"""The model and the explorers in Firefox and WebKit, as wide as a phone, served and as files."""

from collections.abc import Mapping

import pytest
import torch
from playwright.sync_api import Error

import olmo_explain as oe

CHAPTER = "notebooks/10_forward_trace.html"
TEXTS = [
    "To be, or not",
    "  \n\n \t ",
    "Ünï🙂 日本語\r\n\u2028 e\u0301",
    "crown sword moon grave ship glove storm crown sword moon grave ship glove" * 4,
]
WRITTEN = 30
FRAMES = 30  # times two, for an explorer to answer on a machine that is busy

# Of each text: its ids, and the bits of the logits.
RUN = """async (texts) => {
    const runs = [];
    for (const text of texts) runs.push(await olmo.run(text));
    const bits = (logits) => [...new Int32Array(Float32Array.from(logits).buffer)];
    return runs.map(({ ids, logits }) => ({ ids, bits: bits(logits) }));
}"""
WRITE = "async ([text, count]) => (await olmo.write(text, count)).ids"

EXPLORERS_DRAWN = """() => [...document.querySelectorAll('script[type$="widget-view+json"]')]
    .every((view) => view.nextElementSibling?.childElementCount)"""
# All that an explorer shows, drawn anew.
SHOWN = """async (input) => {
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    const explorer = input.closest(".oe");
    const all = (css, what) => [...explorer.querySelectorAll(css)].map(what);
    const drawn = [...all("canvas", (c) => c.toDataURL()), ...all("svg", (s) => s.outerHTML)];
    return [explorer.innerText, ...drawn].join("\\n");
}"""
MOVED = ".oe input:is([type=range], [type=radio]:checked)"  # by an arrow key
ERRORS = "() => [...document.querySelectorAll('.oe-widget-error')].map((e) => e.innerText)"
# What is done by hand: keys, a click, and an answer that comes late.
HANDS = """<!doctype html><meta charset="utf-8"><title>Hands</title>
<textarea>so: </textarea><button>one</button><button class="two">two</button><p>nothing</p>
<script>
const heard = [];
document.querySelector("textarea").onkeydown = ({ key, isTrusted }) => isTrusted && heard.push(key);
document.querySelector(".two").onclick = ({ isTrusted }) =>
    setTimeout(() => document.querySelector("p").innerText = `pressed: ${isTrusted}`, 100);
</script>"""

OTHERS = pytest.mark.parametrize("engine_page", ["firefox", "webkit"], indirect=True)


@pytest.fixture(scope="module")
def in_python() -> Mapping[str, list]:
    """The ids of each text and the logits of its last position; how the first goes on."""
    model, tokenizer = oe.load("tiny", "float32")
    ids = [tokenizer(text)["input_ids"] for text in TEXTS]
    with torch.no_grad():
        logits = [model(torch.tensor([of_text])).logits[0, -1] for of_text in ids]
        whole = model.generate(torch.tensor(ids[:1]), max_new_tokens=WRITTEN, do_sample=False)
    return {"ids": ids, "logits": logits, "written": whole[0, len(ids[0]) :].tolist()}


@pytest.fixture(scope="module")
def bits_in_chromium(browser, book) -> list[list[int]]:
    page = browser.new_page()
    page.goto((book.html / CHAPTER).as_uri())
    runs = page.evaluate(RUN, TEXTS)
    page.close()
    return [run["bits"] for run in runs]


@OTHERS
def test_the_model_answers_as_in_python_and_chromium(
    engine_page, overheard, in_python, bits_in_chromium
):
    engine_page.goto(f"{overheard}/{CHAPTER}")
    runs = engine_page.evaluate(RUN, TEXTS)
    assert [run["ids"] for run in runs] == in_python["ids"]
    for run, expected in zip(runs, in_python["logits"], strict=True):
        logits = torch.tensor(run["bits"], dtype=torch.int32).view(torch.float32)
        assert (logits - expected).abs().max() < 1e-4
    assert [run["bits"] for run in runs] == bits_in_chromium
    assert engine_page.evaluate(WRITE, [TEXTS[0], WRITTEN]) == in_python["written"]
    assert engine_page.evaluate("async () => (await olmo.verify()).ok")
    assert engine_page.evaluate("faults") == []


@OTHERS
def test_every_explorer_draws_and_answers(book, engine_page, overheard):
    faults, answered = {}, []
    for name in book.pages:
        if "widget-view+json" not in (book.html / name).read_text(encoding="utf-8"):
            continue
        engine_page.goto(f"{overheard}/{name.as_posix()}")
        engine_page.wait_for_function(EXPLORERS_DRAWN)
        if _answers(engine_page.locator(MOVED).first):
            answered.append(name)
        faults[name] = engine_page.evaluate("faults") + engine_page.evaluate(ERRORS)
    assert not any(faults.values()), faults
    assert answered == list(faults)
    assert answered


def test_a_page_is_used_with_the_same_words_in_every_engine(engine_page, tmp_path):
    """Keys and clicks are real ones; what is shown late is waited for."""
    (tmp_path / "page.html").write_text(HANDS, encoding="utf-8")
    page, text = engine_page, engine_page.locator("textarea")
    page.goto((tmp_path / "page.html").as_uri())
    assert page.evaluate("innerWidth") == 390
    text.press("End")
    text.press_sequentially("Tö 🙂\n!")
    text.press("Backspace")
    assert text.input_value() == "so: Tö 🙂\n"
    assert page.evaluate("heard.filter((key) => key.length > 1 && key !== 'Unidentified')") == [
        "End",
        "Enter",
        "Backspace",
    ]
    text.fill("one\ntwo")
    assert text.input_value() == "one\ntwo"
    text.fill("")
    assert text.input_value() == ""
    assert page.locator("button").count() == 2
    page.locator(".two").click()
    page.wait_for_function(
        "(text) => document.querySelector('p').innerText === text", arg="pressed: true"
    )
    assert page.locator("p").inner_text() == "pressed: true"
    assert (
        page.locator("button").nth(1).evaluate("(button, word) => button.innerText + word", "!")
        == "two!"
    )
    with pytest.raises(Error, match="no"):
        page.evaluate("() => { throw new Error('no') }")
    assert page.evaluate("async () => [await 1, undefined, { a: null }]") == [1, None, {"a": None}]
    page.set_viewport_size({"width": 1280, "height": 800})
    assert page.evaluate("[innerWidth, innerHeight]") == [1280, 800]
    page.screenshot(path=tmp_path / "seen.png")
    assert (tmp_path / "seen.png").read_bytes().startswith(b"\x89PNG")


def _answers(control) -> bool:
    """Whether a key changes what an explorer shows; its control may stand at one end."""
    before = control.evaluate(SHOWN)
    for key in ("ArrowRight", "ArrowLeft"):
        control.press(key)
        if any(control.evaluate(SHOWN) != before for _ in range(FRAMES)):
            return True
    return False
