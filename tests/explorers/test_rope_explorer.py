"""The RoPE explorer on a page, opened as a file: it turns as by_hand does."""

import math
import random
import re
from importlib.resources import files

import pytest
import torch
from playwright.sync_api import Page, expect

import olmo_explain as oe
from olmo_explain.by_hand import cos_sin, frequencies
from olmo_explain.checkpoint import REGIMES, Rope, preset
from olmo_explain.errors import UsageError

AXE = files("axe_playwright_python") / "axe.min.js"
DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
TYPE = "(input, value) => { input.value = value; input.dispatchEvent(new Event('input')); }"
REGIME = dict(zip(REGIMES, ("right", "transformers 5.0–5.12", "lost"), strict=True))
CONFIG = oe.read_config("olmo3-7b")
YARN = CONFIG.rope["full_attention"]
ROPES = [Rope("default", YARN.rope_theta), YARN]


@pytest.fixture
def rope(opened) -> Page:
    return opened(oe.explore_rope(), live=False)


def choose(page: Page, pair: int, position: int, kind: str = "full", regime: str = "per-layer"):
    page.get_by_label("Pair", exact=True).evaluate(TYPE, pair)
    page.get_by_label("Position", exact=True).fill(str(position))
    page.get_by_role("radio", name=kind, exact=True).check()
    page.get_by_role("radio", name=REGIME[regime], exact=True).check()
    page.evaluate(DRAWN)


def number(text: str) -> float:
    return float(text.replace(",", "").replace("−", "-"))


def shown(page: Page, row: str, column: int) -> float:
    header = page.get_by_role("rowheader", name=row, exact=True)
    return number(page.locator("tr", has=header).locator("td").nth(column).inner_text())


@pytest.mark.parametrize("seed", range(6))
def test_it_turns_as_the_reference_does(rope, seed):
    draw = random.Random(seed)
    pair, position = draw.randrange(CONFIG.head_dim // 2), draw.randrange(2000)
    kind, regime = ("sliding", "full")[seed % 2], REGIMES[seed // 2]
    choose(rope, pair, position, kind, regime)
    for column, each in enumerate(ROPES):
        turns = frequencies(each, CONFIG.head_dim)[pair].item()
        cos, sin = cos_sin(each, CONFIG.head_dim, torch.tensor([position]))
        assert shown(rope, "radians a position", column) == pytest.approx(turns, rel=1e-5)
        assert shown(rope, "cos", column) == pytest.approx(cos[0, 0, pair].item(), abs=2e-3)
        assert shown(rope, "sin", column) == pytest.approx(sin[0, 0, pair].item(), abs=2e-3)
        growth = each.attention_factor**2
        assert shown(rope, "score grows by", column) == pytest.approx(growth, rel=1e-5)
        # The hand ends where cos and sin say, its clock's top being no angle at all.
        hand = rope.locator(".oe-clock-hand").nth(column)
        x, y = (float(hand.get_attribute(end)) for end in ("x2", "y2"))
        assert math.dist((x / 46, -y / 46), (sin[0, 0, pair], cos[0, 0, pair])) < 4e-3
    widget = oe.explore_rope(pair=pair, position=position)
    widget.layer_type, widget.regime = f"{kind}_attention", regime
    name = "YaRN" if widget.applied == YARN else "default"
    expect(rope.locator("th.oe-rope-applied")).to_have_text(name)
    expect(rope.locator(".oe-clock-applied")).to_contain_text(f"{name} applied")
    right = widget.applied == CONFIG.rope[widget.layer_type]
    verdict = rope.locator(".oe-rope-verdict")
    expect(verdict).to_contain_text("as the model was trained" if right else "not what it was")
    elsewhere = right and regime != "per-layer"
    assert ("layers are not: they are given it, too." in verdict.inner_text()) == elsewhere


def test_it_opens_where_what_is_lost_is_seen(rope):
    verdict = rope.locator(".oe-rope-verdict")
    expect(verdict).to_have_text("A full layer is given YaRN: as the model was trained.")
    expect(rope.locator(".oe-clock-applied")).to_contain_text("YaRN applied")
    rope.get_by_role("radio", name="lost", exact=True).check()
    expect(verdict).to_contain_text("not what it was trained with. Its scores are 0.685 times")
    expect(rope.locator(".oe-clock-applied")).to_contain_text("default applied")


@pytest.mark.parametrize("of", ["all 64 pairs", "this pair"])
def test_the_score_at_a_distance_is_that_of_equal_vectors(rope, of):
    """Before they are turned: of ones, in all pairs or in one."""
    rope.get_by_role("radio", name=of).check()
    pair, distance = 20, 777
    choose(rope, pair, distance, "full", "yarn-everywhere")
    chart = rope.get_by_role("img", name="Score against distance")
    said = chart.get_attribute("aria-label")
    for each, name in zip(ROPES, ("default", "YaRN"), strict=True):
        cos, _ = cos_sin(each, CONFIG.head_dim, torch.tensor([distance]))
        turned = cos[0, 0, :64] * each.attention_factor  # the query has the factor, too
        score = (turned.mean() if of != "this pair" else turned[pair]).item()
        read = re.search(rf"{name}, \w+: \S+ at distance 0, (\S+) at 777\.", said)
        assert number(read[1]) == pytest.approx(score, rel=0.006)


def test_a_position_is_chosen_exactly_by_steps_and_on_the_axis(rope):
    field, slider = rope.get_by_label("Position", exact=True), rope.get_by_label("on the axis")
    expect(field).to_have_value("1000")
    for step, position in {"+1": 1001, "−1": 1000, "×2": 2000, "÷2": 1000}.items():
        rope.get_by_role("button", name=f"Position {step}").click()
        expect(field).to_have_value(str(position))
    for key, position in {"End": 65_535, "Home": 0, "ArrowRight": 1, "ArrowUp": 2}.items():
        slider.press(key)
        expect(field).to_have_value(str(position))
        expect(slider).to_have_attribute("aria-valuetext", f"{position:,}")
    for _ in range(2):
        rope.get_by_role("button", name="Position −1").click()
    idle = rope.get_by_role("button", name="Position −1")
    expect(idle).to_have_attribute("aria-disabled", "true")


@pytest.mark.parametrize("wrong", ["", "-1", "1.5", "65536"])
def test_what_is_no_position_is_said_and_changes_nothing(rope, wrong):
    heading, field = rope.locator("h3").first, rope.get_by_label("Position", exact=True)
    field.fill(wrong)
    problem, table = rope.locator(".oe-wrong"), rope.locator(".oe-rope-numbers")
    expect(problem).to_have_text(
        "Position: give a whole number from 0 to 65,535. What is shown is still for 1,000."
    )
    expect(rope.locator(".oe-status")).to_have_text(problem.inner_text())
    expect(field).to_have_attribute("aria-invalid", "true")
    for width in (390, 1280):
        rope.set_viewport_size({"width": width, "height": 900})
        under, box = problem.bounding_box(), field.bounding_box()
        assert 0 <= under["y"] - box["y"] - box["height"] <= 8
        assert under["x"] >= 0 and under["x"] + under["width"] <= width
    place = table.bounding_box()
    expect(heading).to_have_text("Pair 24 at position 1,000")
    field.fill("5")
    expect(heading).to_have_text("Pair 24 at position 5")
    expect(problem).to_be_hidden()
    expect(field).to_have_attribute("aria-invalid", "false")
    assert table.bounding_box() == place  # nothing moved


def test_a_wrong_number_is_said_in_sight(rope):
    rope.set_viewport_size({"width": 390, "height": 700})
    rope.get_by_label("Position", exact=True).fill("-4")
    expect(rope.locator(".oe-wrong")).to_be_in_viewport(ratio=1)


def test_charts_read_out_what_is_pointed_at_and_take_a_click(rope):
    readout = rope.locator(".oe-readout")
    before = readout.inner_text()
    scores = rope.get_by_role("img", name="Score against distance")
    scores.hover(position={"x": 200, "y": 80})
    expect(readout).to_contain_text("Distance ")
    scores.click(position={"x": 200, "y": 80})
    rope.evaluate(DRAWN)
    position = rope.get_by_label("Position", exact=True).input_value()
    expect(readout).to_contain_text(f"Distance {int(position):,}: score")
    pairs = rope.get_by_role("img", name="Positions that a turn takes")
    pairs.click(position={"x": 300, "y": 60})
    rope.evaluate(DRAWN)
    pair = rope.get_by_label("Pair", exact=True).input_value()
    expect(readout).to_contain_text(f"Pair {pair}: a turn takes")
    rope.get_by_role("button", name="×2").hover()
    assert readout.inner_text().startswith(f"Pair {pair}: ")
    assert readout.inner_text() != before


def test_it_counts_the_pairs_that_complete_a_turn(rope):
    plain, slow = (frequencies(each, CONFIG.head_dim) for each in ROPES)
    trained, longest = YARN.original_max_position_embeddings, CONFIG.max_position_embeddings
    first, later, slowed = (
        (length * turns >= math.tau).sum().item()
        for length, turns in ((trained, plain), (longest, plain), (longest, slow))
    )
    expect(rope.locator(".oe-rope")).to_contain_text(
        f"{first} of 64 pairs complete a turn within {trained:,} positions by default, "
        f"{later} within {longest:,}; with YaRN {slowed}."
    )


def test_a_sliding_layers_window_hides_the_rest(rope):
    choose(rope, 24, 1000, "sliding")
    expect(rope.get_by_text("hidden from 4,096 on")).to_be_visible()
    choose(rope, 24, 1000, "full")
    expect(rope.get_by_text("hidden from")).to_have_count(0)


def test_it_is_accessible_and_nothing_is_cut(rope):
    rope.evaluate(AXE.read_text())
    choose(rope, 63, 65_535, "full", "yarn-lost")
    for width in (320, 390, 616, 640, 1200):
        rope.set_viewport_size({"width": width, "height": 900})
        rope.evaluate(DRAWN)
        assert rope.evaluate("document.documentElement.scrollWidth") <= width
        found = rope.evaluate("axe.run('.oe-rope', { resultTypes: ['violations'] })")
        assert not [(each["id"], each["help"]) for each in found["violations"]]


def test_it_shows_any_model_with_yarn(opened):
    page = opened(oe.explore_rope("tiny"), live=False)
    config = oe.read_config("tiny")
    page.get_by_role("radio", name="sliding", exact=True).check()
    page.get_by_label("Position", exact=True).fill(str(config.max_position_embeddings - 1))
    expect(page.get_by_text(f"hidden from {config.sliding_window} on")).to_be_visible()
    expect(page.get_by_role("radio", name=f"all {config.head_dim // 2} pairs")).to_be_checked()


def test_it_needs_a_model_with_yarn(tmp_path):
    fields = preset("olmo3-7b").read("config.json").decode().replace('"yarn"', '"default"')
    (tmp_path / "config.json").write_text(fields)
    with pytest.raises(UsageError, match="scales no layer with YaRN"):
        oe.explore_rope(str(tmp_path))
