"""The live figure on a page without a kernel: what it shows is what PyTorch computes."""

import re
from dataclasses import replace

import pytest
import torch
from playwright.sync_api import expect
from support.figure import NEAR, bars, check_bars, likely, logits_of, percent, say, settle

import olmo_explain as oe
from olmo_explain.by_hand import FAULTS, known_faults
from olmo_explain.checkpoint import config_of, ropes_under


@pytest.fixture(scope="module")
def tiny():
    return oe.load("tiny", "float32")


def test_at_rest_it_shows_the_saved_sentence_and_asks_for_no_model(figure, tiny):
    check_bars(figure, likely(tiny, logits_of(tiny, NEAR)[-1]))
    expect(figure.locator(".oe-tag")).to_contain_text("computed by PyTorch")
    expect(figure.locator(".oe-readout")).to_contain_text("␣France 97.1")
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
    said = figure.locator(".oe-readout").inner_text()
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
    ticks = figure.locator(".oe-track b").first
    assert abs(float(ticks.evaluate("n => parseFloat(n.style.left)")) - 73.98) < 0.05
    for head in (1, 2):
        figure.get_by_role("switch", name=f"Head 7.{head}").click()
    settle(figure)
    check_bars(figure, likely(tiny, three))
    expect(figure.locator(".oe-readout")).to_contain_text("now ␣you leads")
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


def test_the_menu_breaks_it_as_python_does_and_mends_it(figure, tiny):
    """The bars change, the sentence is the one that `diagnose` says, and there is a way back."""
    figure.get_by_label("Pull its halves apart").fill("2")
    settle(figure)
    text = figure.get_by_label("Your sentence").input_value()
    config, weights = config_of(tiny[0]), tiny[0].state_dict()
    ids = torch.tensor([tiny[1](text)["input_ids"]])
    positions = figure.locator(".oe-model-positions")
    right = bars(figure)
    for fault in ("no-window", "default-theta", "no-score-scale", "untied-head"):
        figure.get_by_label("Break it").select_option(fault)
        settle(figure)
        with torch.no_grad():
            *_, last = known_faults(config)[fault][0].walk(weights, ids)
        check_bars(figure, likely(tiny, last.tensor[0, -1]))
        assert bars(figure) != right
        assert "␣France" in bars(figure) and len(bars(figure)) == 6  # in its place, or the last
        expect(positions.locator(".oe-note")).to_contain_text(f"{fault}: {FAULTS[fault].says}.")
        expect(figure.locator(".oe-readout")).to_contain_text("␣France 73.2% →")
    figure.get_by_role("button", name="Mend it").click()
    settle(figure)
    assert bars(figure) == right
    expect(figure.get_by_label("Break it")).to_be_focused()
    expect(figure.get_by_role("button", name="Mend it")).to_be_hidden()
    expect(figure.locator(".oe-readout")).not_to_contain_text("→")


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
