"""The live figure as a reader uses it: odd texts, failures, the tour, keys, a screen reader."""

import re
from importlib.resources import files

import pytest
from playwright.sync_api import expect
from support.figure import NEAR, bars, check_bars, likely, logits_of, say, settle

import olmo_explain as oe

AXE = files("axe_playwright_python") / "axe.min.js"


@pytest.fixture(scope="module")
def tiny():
    return oe.load("tiny", "float32")


@pytest.mark.parametrize(
    "text, says",
    [
        ("", "Type a sentence"),
        ("To be, or not to be. " * 240, "tokens: the last"),
        ("a\ud800b", "Layer 7, head 0"),
    ],
    ids=["empty", "5,000 letters", "half a letter"],
)
def test_odd_texts_are_answered_with_a_sentence(figure, text, says):
    figure.get_by_label("Your sentence").evaluate(
        "(field, text) => { field.value = text; field.dispatchEvent(new Event('input')); }",
        text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if text.isascii()
        else text,
    )
    settle(figure)
    expect(figure).to_contain_text(says)
    say(figure, NEAR)
    expect(figure.locator(".oe-readout")).to_contain_text("␣France 97.1")


def test_a_model_that_does_not_arrive_leaves_the_picture_and_says_so(page, folder):
    page.may_fail = True
    page.route("**/tiny/5.js*", lambda route: route.abort())
    page.goto((folder / "light.html").as_uri())
    figure = page.locator(".oe-model")
    figure.get_by_label("Your sentence").fill("x")
    expect(figure.locator(".oe-problem")).to_contain_text("The model did not arrive")
    expect(figure.locator(".oe-bars")).to_contain_text("␣France")
    page.unroute("**/tiny/5.js*")
    say(figure, "I gave you a horse, you gave me a")
    expect(figure.locator(".oe-bars")).to_contain_text("␣horse")
    expect(figure.locator(".oe-problem")).to_have_count(0)


def test_the_tour_moves_the_figure_and_puts_everything_back(figure, tiny):
    say(figure, "My own sentence")
    figure.get_by_role("button", name=re.compile("Show me around")).click()
    heard = []
    for stop in range(1, 8):
        expect(figure.get_by_role("group", name="Tour")).to_contain_text(f"{stop} of 7")
        settle(figure)
        sentence = figure.locator(".oe-model-stop").inner_text()
        heard.append(sentence)
        if stop in (2, 4, 5, 6, 7):
            assert f"{bars(figure)['␣France']:.1f}%" in sentence, sentence
        if stop < 7:
            figure.page.keyboard.press("ArrowRight")
    assert len(set(heard)) == 7
    figure.page.keyboard.press("ArrowLeft")
    expect(figure.get_by_role("group", name="Tour")).to_contain_text("6 of 7")
    figure.page.keyboard.press("Escape")
    expect(figure.get_by_label("Your sentence")).to_have_value("My own sentence")
    check_bars(figure, likely(tiny, logits_of(tiny, "My own sentence")[-1]))


@pytest.mark.parametrize("score", ["what followed before", "size of its output"])
def test_the_grid_opens_a_head_and_switches_it(figure, score):
    figure.get_by_role("radio", name="all heads").check()
    figure.get_by_role("radio", name=score).check()
    settle(figure)
    best = figure.get_by_role("button", name=re.compile("^Open head")).first
    layer, head = re.search(r"(\d)\.(\d)", best.inner_text()).groups()
    best.click()
    settle(figure)
    expect(figure.locator(".oe-readout")).to_contain_text(f"Layer {layer}, head {head}")
    figure.get_by_label("A click switches a head off or on").check()
    grid = figure.locator(".oe-model-grid canvas")
    box = grid.bounding_box()
    grid.click(position={"x": box["width"] * 0.3, "y": box["height"] * 0.3})  # head 1 of layer 2
    settle(figure)
    expect(figure.get_by_role("button", name="Switch head 2.1 on again")).to_be_visible()


@pytest.mark.parametrize("step", ["embedding", "q", "scores", "mask", "z", "silu", "final_norm"])
def test_the_numbers_are_those_of_the_reference(figure, tiny, step):
    figure.get_by_role("radio", name="numbers").check()
    figure.get_by_label("Value").select_option(step)
    settle(figure)
    values = oe.run_by_hand(tiny[0], tiny[1](NEAR, return_tensors="pt").input_ids)
    value = values[None if step in ("embedding", "final_norm") else 7, step][0]
    matrix = value[:, 0] if step == "z" else value[0] if value.ndim == 3 else value
    slider = figure.get_by_role("slider", name="Number")
    for _ in range(3):
        slider.press("ArrowRight")
    shown = figure.locator(".oe-model-number").inner_text()
    assert shown.startswith("␣from, 3: ")
    assert abs(float(shown.split(": ")[1].replace("−", "-")) - matrix[-1, 3].item()) < 2e-4


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_and_nothing_is_wider_than_the_page(page, folder, theme, width):
    page.set_viewport_size({"width": width, "height": 844})
    page.goto((folder / f"{theme}.html").as_uri())
    page.add_script_tag(path=str(AXE))
    figure = page.locator(".oe-model")
    for view in ("this layer", "all heads", "numbers"):
        figure.get_by_role("radio", name=view).check()
        settle(figure)
        found = page.evaluate("axe.run('.oe-model', { resultTypes: ['violations'] })")
        assert not [(v["id"], v["nodes"][0]["html"][:200]) for v in found["violations"]]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    figure.get_by_role("button", name=re.compile("Show me around")).click()
    settle(figure)
    found = page.evaluate("axe.run('.oe-model', { resultTypes: ['violations'] })")
    assert not [(v["id"], v["nodes"][0]["html"][:200]) for v in found["violations"]]


def test_a_screen_reader_hears_once_what_changed(figure):
    say(figure, "a")
    expect(figure.get_by_role("status")).to_contain_text("Layer 7, head 0 at a looks")
    figure.page.evaluate(
        """() => { window.heard = [];
        const status = document.querySelector(".oe-model [role=status]");
        new MutationObserver(() => heard.push(status.textContent)).observe(status,
            { childList: true, characterData: true, subtree: true }); }"""
    )
    figure.get_by_label("Your sentence").press_sequentially(" horse, a horse", delay=20)
    figure.page.wait_for_timeout(700)
    heard = figure.page.evaluate("heard")
    assert len(heard) == 1 and "Next:" in heard[0]


def test_the_keyboard_reaches_everything(figure):
    figure.get_by_label("Your sentence").focus()
    reached = set()
    for _ in range(60):
        figure.page.keyboard.press("Tab")
        name = figure.page.evaluate(
            """() => { const node = document.activeElement;
            const box = node.closest(".oe-model");
            return box && (node.getAttribute("role") ?? node.type ?? node.localName); }"""
        )
        if name is None:
            break
        reached.add(name)
    assert {"radio", "switch", "button", "range"} <= reached


def test_the_focus_stays_in_the_figure_as_the_model_arrives(page, folder):
    page.goto((folder / "light.html").as_uri())
    figure = page.locator(".oe-model")
    say(figure, "My own sentence")
    page.goto("about:blank")
    waiting = []
    page.route("**/tiny/3.js*", lambda route: waiting.append(route))
    page.goto((folder / "light.html").as_uri())
    figure.get_by_label("␣France", exact=True).focus()
    expect(figure.locator(".oe-model-busy")).to_contain_text("part 7 of 8")
    expect(figure.locator(":focus")).to_have_count(1)
    waiting[0].continue_()
    expect(figure.get_by_label("Your sentence")).to_have_value("My own sentence")
    expect(figure.locator(".oe-chips input:checked")).to_be_focused()


def test_what_is_shown_bears_its_own_names_until_the_model_is_there(page, folder):
    """Numbers of layer 7 are never called those of the layer that was asked for meanwhile."""
    waiting = []
    page.route("**/tiny/3.js*", lambda route: waiting.append(route))
    page.goto((folder / "light.html").as_uri())
    figure = page.locator(".oe-model")
    figure.get_by_role("radio", name="2", exact=True).check()
    figure.get_by_role("switch", name="Head 7.0").click()
    expect(figure.locator(".oe-model-busy")).to_contain_text("Loading")
    readout = figure.locator(".oe-readout")
    expect(readout).to_contain_text("Layer 7, head 0 at ␣from looks at ␣France 97.1%. Next:")
    expect(figure.locator(".oe-map-open")).to_have_count(1)
    page.wait_for_timeout(200)
    waiting[0].continue_()
    expect(readout).to_contain_text("␣news 99.8%. ␣France 74.0% → 36.3%.")


def test_typing_ends_the_tour_and_stays(figure):
    figure.get_by_role("button", name=re.compile("Show me around")).click()
    for stop in range(2, 8):
        figure.page.keyboard.press("ArrowRight")
        expect(figure.get_by_role("group", name="Tour")).to_contain_text(f"{stop} of 7")
    say(figure, "My own sentence")
    expect(figure.get_by_role("group", name="Tour")).to_have_count(0)
    expect(figure.get_by_label("Your sentence")).to_have_value("My own sentence")
    expect(figure.get_by_role("radio", name="as designed")).to_be_checked()


def test_writing_stops_where_the_reader_does_something_else(figure):
    field = figure.get_by_label("Your sentence")
    for act in ("I gave you …", re.compile("Show me around")):
        say(figure, "ROMEO:")
        figure.get_by_role("button", name="Write on").click()
        expect(field).not_to_have_value("ROMEO:")
        figure.get_by_role("button", name=act).click()
        expect(figure.get_by_role("button", name="Write on")).to_be_visible()
        settle(figure)
        text = field.input_value()
        figure.page.wait_for_timeout(250)
        assert field.input_value() == text
        assert text in ("I gave you a horse, you gave me a", NEAR)


def test_the_sentence_is_kept_taken_up_once_and_forgotten(page, folder):
    page.goto((folder / "light.html").as_uri())
    figure = page.locator(".oe-model")
    field = figure.get_by_label("Your sentence")
    say(figure, "My own sentence")
    kept = page.evaluate("olmo.sentence.get()")
    assert kept["text"] == "My own sentence" and len(kept["tokens"]) == len(kept["ids"])
    page.reload()
    expect(field).to_have_value("My own sentence")
    figure.get_by_role("button", name="I gave you …").click()
    page.mouse.wheel(0, 3000)
    page.wait_for_timeout(200)
    page.mouse.wheel(0, -3000)
    page.wait_for_timeout(200)
    expect(field).to_have_value("I gave you a horse, you gave me a")
    figure.get_by_role("button", name="Yours").click()
    expect(field).to_have_value("My own sentence")
    expect(figure.locator(".oe-chips input:checked")).to_be_focused()
    figure.get_by_role("button", name="Forget it").click()
    expect(field).to_have_value(NEAR)
    expect(field).to_be_focused()
    assert page.evaluate("olmo.sentence.get()") is None
    field.press("End")
    say(figure, "Hello")
    for _ in range(5):
        field.press("Backspace")
    settle(figure)
    assert page.evaluate("olmo.sentence.get()") is None
    expect(figure).to_contain_text("Type a sentence")


def test_a_finger_that_scrolls_loads_nothing_and_chooses_nothing(browser, folder):
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    page, asked = context.new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((folder / "light.html").as_uri())
    devtools = context.new_cdp_session(page)
    at = [{"x": 200, "y": y} for y in range(700, 200, -20)]
    for kind, points in [("Start", at[:1]), *(("Move", [point]) for point in at), ("End", [])]:
        devtools.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})
    page.wait_for_timeout(300)
    assert page.evaluate("scrollY") > 100
    assert not any("tiny" in url for url in asked)
    context.close()
