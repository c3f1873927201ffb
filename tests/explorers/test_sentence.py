"""The reader's sentence: typed once, shown by every explorer, computed and kept in the browser."""

import http.server
import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from importlib.resources import files
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

import olmo_explain as oe
from olmo_explain.checkpoint import preset
from olmo_explain.explorers.looking import LONGEST
from olmo_explain.explorers.shared import pieces
from olmo_explain.running import attention_patterns, prompt_ids

AXE = files("axe_playwright_python") / "axe.min.js"
OWN = "I gave you a horse, you gave me a mule"
TYPED = "(field, text) => { field.value = text; field.dispatchEvent(new Event('input')); }"
DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
CLICK = """(canvas, [row, column]) => {
    const { left, top, width, height } = canvas.getBoundingClientRect();
    const clientX = left + ((column + 0.5) * width) / canvas.width;
    const clientY = top + ((row + 0.5) * height) / canvas.height;
    canvas.dispatchEvent(new MouseEvent("click", { clientX, clientY }));
}"""
STORED = "localStorage.getItem('olmo-explain.sentence')"
# The positions that all sessions of explorers have computed.
SPY = """async () => {
    const { session } = await olmo.open();
    const [fork, forks] = [session.fork.bind(session), []];
    session.fork = () => forks[forks.push(fork()) - 1];
    window.computed = () => forks.reduce((sum, own) => sum + own.computed, 0);
}"""
REFUSED = """Object.defineProperty(window, "localStorage", {
    get() { throw new DOMException("denied", "SecurityError"); }
});"""


@pytest.fixture(scope="module")
def heads():
    return oe.explore_heads("tiny", layer=7, head=2)


@pytest.fixture(scope="module")
def steps():
    return oe.explore_steps("tiny", layer=3, step="pattern")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def served(page: Page, publish, tmp_path: Path) -> Iterator[Callable[..., Page]]:
    """As `opened`, from a server: what a file asks for cannot be held back."""
    handler = partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def open_page(*explorers) -> Page:
            path = publish(*explorers, live=True)
            page.goto(f"http://127.0.0.1:{server.server_port}/{path.name}")
            return page

        yield open_page
        page.unroute_all()
        server.shutdown()


def bar(page: Page, name: str = "heads") -> Locator:
    return page.locator(f".oe-{name} .oe-sentence")


def says(page: Page, name: str = "heads") -> Locator:
    return bar(page, name).locator(".oe-sentence-says")


def write(page: Page, text: str, name: str = "heads") -> None:
    bar(page, name).get_by_label("Sentence").fill(text)


def press(page: Page, button: str, name: str = "heads") -> None:
    bar(page, name).get_by_role("button", name=button).click()


def ids_of(tiny, text: str) -> list[int]:
    return prompt_ids(*tiny, text)[0].tolist()


def tokens(page: Page) -> Locator:
    """Those of the sentence that the head explorer shows: the last is the one that looks."""
    return page.locator(".oe-heads .oe-chips input")


def said(page: Page, name: str = "heads") -> Locator:
    return page.locator(f".oe-{name} .oe-readout")


def click_cell(page: Page, name: str, row: int, column: int) -> None:
    page.locator(f".oe-{name} .oe-cells canvas").evaluate(CLICK, [row, column])


def choose(page: Page, group: str, at: int) -> None:
    page.locator(f"{group} input").nth(at).check()


# -- loaded at the first touch, and not before -----------------------------------------------------


@pytest.mark.parametrize("touch", ["focus", "pointer"])
def test_the_model_is_loaded_at_the_first_touch_and_says_how_far(served, heads, asked, touch):
    page, held = served(heads), []
    page.route("**/tiny/3.js*", lambda route: held.append(route))
    page.wait_for_load_state("networkidle")
    expect(says(page)).to_have_text("The chapter’s sentence: 11 tokens. Type your own.")
    assert asked == []
    field = bar(page).get_by_label("Sentence")
    if touch == "focus":
        field.focus()
    else:
        field.dispatch_event("pointerdown")
    loading = "Loading tiny: 7 of 8 parts. What is shown is the chapter’s sentence."
    expect(says(page)).to_have_text(loading)
    expect(page.locator(".oe-status")).to_have_text("Loading tiny: 7 of 8 parts.")
    field.fill(OWN)
    expect(says(page)).to_have_text(loading.replace("is the", "is still the"))
    expect(tokens(page)).to_have_count(11)
    held[0].continue_()
    expect(says(page)).to_contain_text("Your sentence: 12 tokens.")
    assert len(asked) == len(set(asked)) == 9  # the engine and eight parts, each once


def test_a_script_that_does_not_arrive_is_said_and_the_next_touch_tries_again(served, heads):
    page = served(heads)
    page.route("**/tiny.js", lambda route: route.abort())
    field = bar(page).get_by_label("Sentence")
    field.fill(OWN)
    expect(says(page)).to_contain_text("The model did not arrive")
    expect(says(page)).to_contain_text("What is shown is still the chapter’s sentence.")
    expect(page.locator(".oe-status")).to_contain_text("The model did not arrive")
    expect(tokens(page)).to_have_count(11)
    assert field.input_value() == OWN
    page.unroute_all()
    field.dispatch_event("pointerdown")
    expect(says(page)).to_contain_text("Your sentence: 12 tokens.")


def test_a_page_without_the_script_says_what_to_do(opened, heads):
    page = opened(heads, live=False)
    write(page, OWN)
    expect(says(page)).to_contain_text("This page cannot run the model: open the notebook")
    expect(tokens(page)).to_have_count(11)


# -- what is shown of it ---------------------------------------------------------------------------


def test_patterns_of_a_typed_sentence_are_those_of_python(opened, heads, tiny):
    page = opened(heads)
    write(page, OWN)
    ids = ids_of(tiny, OWN)
    expect(says(page)).to_contain_text(f"Your sentence: {len(ids)} tokens.")
    shown = page.locator(".oe-heads .oe-chips code").all_inner_texts()
    assert shown == [token.replace(" ", "␣") for token in pieces(tiny[1], ids)]
    patterns = attention_patterns(tiny[0], prompt_ids(*tiny, OWN))[:, 0]  # (L, H, T, T)
    for layer, head, query in [(7, 2, len(ids) - 1), (0, 0, 5), (3, 3, 0), (6, 1, 9)]:
        page.get_by_role("radio", name=f"Layer {layer}, head {head}", exact=True).check()
        choose(page, ".oe-heads .oe-chips", query)
        expect(said(page)).to_contain_text(f"Head {layer}.{head}:")
        expect(said(page).locator("code").first).to_have_text(shown[query])
        for key in range(0, query + 1, 3):
            click_cell(page, "heads", query, key)
            weight = 100 * patterns[layer, head, query, key].item()
            expect(said(page)).to_contain_text(re.compile(r"[\d.]+% of its attention"))
            found = re.search(r"([\d.]+)% of its attention", said(page).inner_text())
            assert float(found[1]) == pytest.approx(weight, abs=0.06)


def test_values_of_a_typed_sentence_are_those_of_python_and_not_called_proven(opened, steps, tiny):
    page = opened(steps)
    proof = page.locator(".oe-steps-proof")
    expect(proof).to_have_text("✓ equal to the real module’s, bit for bit")
    write(page, OWN, "steps")
    expect(says(page, "steps")).to_contain_text("Your sentence: 12 tokens.")
    values = oe.run_by_hand(tiny[0], prompt_ids(*tiny, OWN))
    for layer, name, head, token, number in [
        (3, "pattern", 1, 10, 4),
        (0, "resid_pre", 0, 7, 100),
        (7, "z", 3, 10, 17),
        (4, "k", 2, 6, 31),
        (5, "down_proj", 0, 0, 127),
        (2, "cos", 0, 10, 3),
    ]:
        choose(page, ".oe-steps .oe-layers", layer)
        page.get_by_role("radio", name=name, exact=True).check()
        expect(page.locator(".oe-steps h3").first).to_contain_text(f"{name},")
        if name in ("pattern", "z", "k"):
            choose(page, ".oe-steps-heads", head)
        click_cell(page, "steps", token, number)
        page.evaluate(DRAWN)
        value = values[layer, name][0]
        value = value.transpose(0, 1) if name == "z" else value
        expected = value.reshape(-1, *value.shape[-2:])[head, token, number].item()
        shown = page.locator(".oe-steps-value").inner_text().replace("−", "-")
        assert float(shown) == pytest.approx(expected, abs=2e-4)
        expect(proof).to_have_text("Not compared with the real module here")
    expect(page.locator(".oe-steps .oe-tag")).to_contain_text("tiny (trained, bundled)")
    expect(page.locator(".oe-steps .oe-tag")).to_contain_text("in this page in float32")
    press(page, "The chapter’s sentence", "steps")
    expect(proof).to_have_text("✓ equal to the real module’s, bit for bit")
    expect(page.locator(".oe-steps .oe-tag")).to_contain_text("by hand in bfloat16")


def test_one_token_more_costs_one_position(opened, heads):
    page = opened(heads)
    page.evaluate(SPY)
    write(page, OWN)
    expect(says(page)).to_contain_text("Your sentence: 12 tokens.")
    before = page.evaluate("computed()")
    write(page, f"{OWN} France")
    expect(says(page)).to_contain_text("Your sentence: 13 tokens.")
    assert page.evaluate("computed()") - before == 8  # in each of the layers


@pytest.mark.parametrize(
    ("text", "shown", "said"),
    [
        ("", 11, "nothing to read: type a letter or more. What is shown is still the chapter’s"),
        ("   ", 3, "Your sentence: 3 tokens."),
        ("a", 1, "Your sentence: 1 token, which sees only itself."),
        ("word of mouth " * 357, LONGEST, f"tokens the last {LONGEST} are read."),
        ("a\ud800b", 5, "is read as �."),
        ("שלום עולם", 17, "Your sentence: 17 tokens."),
        ("one\ntwo", 4, "Your sentence: 4 tokens."),
    ],
    ids=["empty", "spaces", "one", "long", "surrogate", "right-to-left", "lines"],
)
def test_any_text_is_read_or_it_is_said_why_not(opened, heads, text, shown, said):
    page = opened(heads)
    bar(page).get_by_label("Sentence").evaluate(TYPED, text)
    expect(says(page)).to_contain_text(said)
    expect(tokens(page)).to_have_count(shown)
    expect(tokens(page).last).to_be_checked()


# -- kept, for other explorers and other chapters --------------------------------------------------


def test_it_follows_the_reader_and_the_model_waits_until_it_is_seen(opened, heads, asked):
    page = opened(oe.explore_costs(), heads)
    write(page, OWN)
    expect(says(page)).to_contain_text("Kept in this browser for the other chapters")
    assert json.loads(page.evaluate(STORED))["text"] == OWN
    page.goto("about:blank")
    asked.clear()
    opened(oe.explore_costs(), heads)
    page.wait_for_load_state("networkidle")
    expect(page.locator(".oe-costs .oe-sentence-length")).to_contain_text("has 12 tokens")
    expect(says(page)).to_contain_text("The chapter’s sentence: 11 tokens.")
    assert asked == []
    bar(page).scroll_into_view_if_needed()
    expect(says(page)).to_contain_text("Your sentence: 12 tokens.")
    expect(bar(page).get_by_label("Sentence")).to_have_value(OWN)
    expect(tokens(page).nth(11)).to_be_checked()


def test_explorers_of_one_page_show_one_sentence_and_each_leads_back(opened, heads, steps):
    page = opened(steps, heads)
    page.set_viewport_size({"width": 1100, "height": 3000})
    expect(bar(page).get_by_role("button")).to_have_count(0)  # there is no other sentence yet
    write(page, OWN)
    expect(says(page, "steps")).to_contain_text("Your sentence: 12 tokens.")
    expect(bar(page, "steps").get_by_label("Sentence")).to_have_value(OWN)

    press(page, "The chapter’s sentence", "steps")
    expect(says(page, "steps")).to_contain_text("The chapter’s sentence: 11 tokens.")
    expect(says(page)).to_contain_text("Your sentence: 12 tokens.")
    press(page, "Your sentence", "steps")
    expect(says(page, "steps")).to_contain_text("Your sentence: 12 tokens.")

    press(page, "Forget it", "steps")
    for name, tokens in (("heads", 11), ("steps", 11)):
        expect(says(page, name)).to_have_text(
            f"The chapter’s sentence: {tokens} tokens. Type your own."
        )
        expect(bar(page, name).get_by_role("button")).to_have_count(0)
    assert page.evaluate(STORED) is None
    expect(says(page, "steps")).to_be_focused()  # where the button was


def test_the_chapters_sentence_typed_again_is_no_sentence_of_ones_own(opened, heads):
    page = opened(heads)
    write(page, OWN)
    expect(says(page)).to_contain_text("Your sentence: 12 tokens.")
    write(page, heads.own_text)
    expect(says(page)).to_have_text("The chapter’s sentence: 11 tokens. Type your own.")
    assert page.evaluate(STORED) is None


def test_where_storage_is_refused_it_is_said(opened, heads, steps, page):
    page.add_init_script(REFUSED)
    opened(heads, steps)
    page.set_viewport_size({"width": 1100, "height": 3000})
    write(page, OWN)
    for name in ("heads", "steps"):
        expect(says(page, name)).to_contain_text("Your sentence: 12 tokens. This browser keeps no")


# -- who has a field -------------------------------------------------------------------------------


def test_no_field_where_there_is_no_text_or_no_model(opened, tmp_path):
    other = shutil.copytree(preset("tiny").directory, tmp_path / "other")
    for explorer in (
        oe.explore_heads("tiny", None),
        oe.explore_steps("tiny", [1, 2, 3]),
        oe.explore_heads(other),
    ):
        page = opened(explorer)
        page.wait_for_load_state("networkidle")
        expect(page.locator("textarea:visible")).to_have_count(0)


@pytest.mark.parametrize("width", [390, 1100])
def test_it_is_accessible_and_fits(known, heads, steps, width):
    page = known(
        oe.explore_bytes("tiny"), heads, steps, oe.explore_rope(), text="a pale hand " * 50
    )
    page.set_viewport_size({"width": width, "height": 6000})
    expect(says(page, "steps")).to_contain_text("Your sentence: 128 tokens.")
    expect(says(page)).to_contain_text("Your sentence: 128 tokens.")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run('main', { resultTypes: ['violations'] })")
    assert not [(each["id"], each["help"]) for each in found["violations"]]
    for button in page.locator(".oe-button:visible").all():
        assert button.bounding_box()["height"] >= (44 if width == 390 else 36)
