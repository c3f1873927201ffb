"""The live figure on a page without a kernel: what it shows is what PyTorch computes."""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from ipywidgets.embed import embed_data
from playwright.sync_api import Locator, Page, expect

import olmo_explain as oe
from olmo_explain.checkpoint import config_of, ropes_under
from olmo_explain.explorers.shared import pieces

AXE = files("axe_playwright_python") / "axe.min.js"
HOST = Path(__file__).parents[2] / "book" / "_static" / "widget-host.js"
NEAR = "What news from France? I say, what news from"
PAGE = """<!doctype html><html lang="en" data-theme="{theme}"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>The figure</title>
<style>html[data-theme="dark"] {{ background: #14181c; color: #ddd; color-scheme: dark }}</style>
<main><h1>A chapter</h1><h2>A section</h2>
<script type="application/vnd.jupyter.widget-state+json">{state}</script>
<script type="application/vnd.jupyter.widget-view+json">{view}</script></main>
<script src="widget-host.js"></script><script src="live.js" defer></script></html>"""
SETTLED = """async () => {
    const frame = () => new Promise((done) => requestAnimationFrame(done));
    const figure = document.querySelector(".oe-model");
    const end = Date.now() + 10_000;
    const isBusy = () => figure.getAttribute("aria-busy") === "true";
    do { await frame(); await frame(); } while (isBusy() && Date.now() < end);
}"""


@pytest.fixture(scope="module")
def tiny():
    return oe.load("tiny", "float32")


@pytest.fixture(scope="module")
def folder(pages: Path, tmp_path_factory) -> Path:
    """The page of the figure, light and dark, beside the model's scripts."""
    folder = tmp_path_factory.mktemp("figure")
    shutil.copytree(pages / "_static" / "tiny", folder / "tiny")
    for file in (pages / "_static" / "live.js", pages / "_static" / "tiny.js", HOST):
        shutil.copy(file, folder)
    saved = embed_data(views=[oe.explore_model()], drop_defaults=False)
    for theme in ("light", "dark"):
        text = PAGE.format(
            theme=theme,
            state=json.dumps(saved["manager_state"]).replace("</", "<\\/"),
            view=json.dumps(saved["view_specs"][0]),
        )
        (folder / f"{theme}.html").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def page(browser) -> Iterator[Page]:
    """An empty page, on which no script may fail, and nothing may be asked of another host."""
    context = browser.new_context(viewport={"width": 1100, "height": 900})
    page, faults, page.asked = context.new_page(), [], []
    page.on("pageerror", lambda error: faults.append(error.message))
    page.on("console", lambda said: said.type == "error" and faults.append(said.text))
    page.on("request", lambda request: page.asked.append(request.url))
    yield page
    assert not faults or getattr(page, "may_fail", False), faults
    assert all(url.startswith(("file:", "blob:", "data:")) for url in page.asked)
    context.close()


@pytest.fixture
def figure(page: Page, folder: Path) -> Locator:
    page.goto((folder / "light.html").as_uri())
    expect(page.locator(".oe-model")).to_be_visible()
    return page.locator(".oe-model")


def settle(figure: Locator) -> None:
    figure.page.evaluate(SETTLED)


def say(figure: Locator, text: str) -> None:
    figure.get_by_label("Your sentence").fill(text)
    settle(figure)


def bars(figure: Locator) -> dict[str, float]:
    """Tokens and the percents beside them."""
    rows = figure.locator(".oe-model-bars li:not(.oe-model-empty)").all()
    return {row.locator("code").inner_text(): percent(row.inner_text()) for row in rows}


def percent(text: str) -> float:
    return float(re.search(r"([\d.]+)%", text)[1])


def seen(token: str) -> str:
    return token.replace(" ", "␣").replace("\n", "↵")


def likely(tiny, logits: torch.Tensor, count: int = 6) -> dict[str, float]:
    shares, ids = logits.softmax(-1).topk(count)
    tokens = [seen(token) for token in pieces(tiny[1], ids.tolist())]
    return dict(zip(tokens, (100 * shares).tolist(), strict=True))


def logits_of(tiny, text: str) -> torch.Tensor:
    model, tokenizer = tiny
    with torch.no_grad():
        return model(tokenizer(text, return_tensors="pt").input_ids, use_cache=False).logits[0]


def check_bars(figure: Locator, expected: dict[str, float]) -> None:
    shown = bars(figure)
    assert list(shown)[: len(expected)] == list(expected)
    for token, share in expected.items():
        assert abs(shown[token] - share) < 0.06, token


def test_at_rest_it_shows_the_saved_sentence_and_asks_for_no_model(figure, tiny):
    check_bars(figure, likely(tiny, logits_of(tiny, NEAR)[-1]))
    expect(figure.locator(".oe-model-tag")).to_contain_text("computed by PyTorch")
    expect(figure.locator(".oe-model-readout")).to_contain_text("␣France 97.1")
    assert not any("tiny" in url for url in figure.page.asked)


@pytest.mark.parametrize(
    "text",
    ["I gave you a horse, you gave me a", "ROMEO:\nMy love 🌊", "x", "   ", "שלום, good lord"],
)
def test_typing_changes_tokens_pattern_bars_and_lens(figure, tiny, text):
    say(figure, text)
    ids = tiny[1](text)["input_ids"]
    chips = figure.get_by_role("radiogroup", name="Tokens").get_by_role("radio")
    expect(chips).to_have_count(len(ids))
    check_bars(figure, likely(tiny, logits_of(tiny, text)[-1]))
    values = oe.run_by_hand(tiny[0], torch.tensor([ids]))
    shares = values[7, "pattern"][0, 0, -1]
    said = figure.locator(".oe-model-readout").inner_text()
    assert abs(percent(said) - 100 * shares.max().item()) < 0.06
    # The lens: what comes next if the stream ended behind layer 3.
    weight = tiny[0].lm_head.weight
    stream = tiny[0].model.norm(values[3, "resid_post"][0, -1])
    best = likely(tiny, stream @ weight.T, 1)
    label = figure.locator("svg.oe-map").get_attribute("aria-label")
    told = re.search(r"after layer 3 (.*?), ([\d.]+)", label)
    token, share = next(iter(best.items()))
    assert abs(float(told[2]) - share) < 0.06
    assert told[1] == token


def test_heads_that_are_off_change_the_bars_as_ablate_head_says(figure, tiny):
    with torch.no_grad(), oe.ablate_head(tiny[0], 7, 0):
        one = logits_of(tiny, NEAR)[-1]
        with oe.ablate_head(tiny[0], 7, 1), oe.ablate_head(tiny[0], 7, 2):
            three = logits_of(tiny, NEAR)[-1]
    figure.get_by_role("switch", name="Head 7.0").click()
    settle(figure)
    check_bars(figure, likely(tiny, one))
    ticks = figure.locator(".oe-model-track b").first
    assert abs(float(ticks.evaluate("n => parseFloat(n.style.left)")) - 73.98) < 0.05
    for head in (1, 2):
        figure.get_by_role("switch", name=f"Head 7.{head}").click()
    settle(figure)
    check_bars(figure, likely(tiny, three))
    expect(figure.locator(".oe-model-readout")).to_contain_text("now ␣you leads")
    figure.get_by_role("button", name="All on").click()
    settle(figure)
    check_bars(figure, likely(tiny, logits_of(tiny, NEAR)[-1]))


def test_the_regimes_change_the_bars_as_python_says(figure, tiny):
    slider = figure.get_by_label("Pull its halves apart")
    slider.focus()
    for _ in range(2):
        slider.press("ArrowRight")
    settle(figure)
    text = figure.get_by_label("Your sentence").input_value()
    ids = torch.tensor([tiny[1](text)["input_ids"]])
    assert ids.shape[1] == 42
    for regime, name in (("yarn-everywhere", "YaRN everywhere"), ("yarn-lost", "YaRN lost")):
        figure.get_by_role("radio", name=name).check()
        settle(figure)
        config = config_of(tiny[0])
        config = replace(config, rope=ropes_under(regime, config.rope))
        logits = oe.run_by_hand(tiny[0], ids, config=config)["logits"][0, -1]
        check_bars(figure, likely(tiny, logits, 5))


def test_it_writes_on_as_pytorch_does_and_can_be_stopped(figure, tiny):
    model, tokenizer = tiny
    figure.page.emulate_media(reduced_motion="reduce")
    written = model.generate(
        tokenizer(NEAR, return_tensors="pt").input_ids, max_new_tokens=30, do_sample=False
    )
    field = figure.get_by_label("Your sentence")
    for count in range(1, 31):
        figure.get_by_role("button", name="One token").click()
        settle(figure)
        expect(field).to_have_value(tokenizer.decode(written[0, : 11 + count]))
    figure.get_by_role("button", name="Undo what was written").click()
    expect(field).to_have_value(NEAR)
    figure.get_by_role("button", name="Write on").click()
    figure.get_by_role("button", name="Stop", exact=True).click()
    settle(figure)
    stopped = field.input_value()
    whole = tokenizer.decode(written[0])
    assert whole.startswith(stopped) or stopped.startswith(whole)
    figure.page.wait_for_timeout(200)
    assert field.input_value() == stopped


def test_writing_on_ends_where_the_figure_is_full(figure):
    say(figure, "my lord, " * 41 + "my")
    expect(figure.get_by_role("radiogroup", name="Tokens").get_by_role("radio")).to_have_count(125)
    figure.get_by_role("button", name="Write on").click()
    expect(figure.get_by_role("radiogroup", name="Tokens").get_by_role("radio")).to_have_count(128)
    expect(figure.get_by_role("button", name="Write on")).to_be_visible()


def test_a_token_more_computes_one_position(figure):
    say(figure, "What news from France? I say, what")
    count = "async () => (await olmo.open()).look.computed()"
    before = figure.page.evaluate(count)
    say(figure, "What news from France? I say, what news")
    assert figure.page.evaluate(count) - before == 8 + 8  # one for each layer, changed and intact
    figure.get_by_role("switch", name="Head 7.0").click()
    settle(figure)
    assert figure.page.evaluate(count) - before == 16 + 10  # the last layer alone


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
    expect(figure.locator(".oe-model-readout")).to_contain_text("␣France 97.1")


def test_a_model_that_does_not_arrive_leaves_the_picture_and_says_so(page, folder):
    page.may_fail = True
    page.route("**/tiny/5.js*", lambda route: route.abort())
    page.goto((folder / "light.html").as_uri())
    figure = page.locator(".oe-model")
    figure.get_by_label("Your sentence").fill("x")
    expect(figure.locator(".oe-problem")).to_contain_text("The model did not arrive")
    expect(figure.locator(".oe-model-bars")).to_contain_text("␣France")
    page.unroute("**/tiny/5.js*")
    say(figure, "I gave you a horse, you gave me a")
    expect(figure.locator(".oe-model-bars")).to_contain_text("␣horse")
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
    expect(figure.locator(".oe-model-readout")).to_contain_text(f"Layer {layer}, head {head}")
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


def test_what_is_shown_bears_its_own_names_until_the_model_is_there(page, folder):
    """Numbers of layer 7 are never called those of the layer that was asked for meanwhile."""
    waiting = []
    page.route("**/tiny/3.js*", lambda route: waiting.append(route))
    page.goto((folder / "light.html").as_uri())
    figure = page.locator(".oe-model")
    figure.get_by_role("radio", name="2", exact=True).check()
    figure.get_by_role("switch", name="Head 7.0").click()
    expect(figure.locator(".oe-model-busy")).to_contain_text("Loading")
    readout = figure.locator(".oe-model-readout")
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
