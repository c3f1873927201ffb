"""The cost explorer in Chromium: its numbers are those of costs.py, its controls answer."""

import json
import random
import re
from collections.abc import Iterator
from importlib.resources import files

import pytest
import traitlets
from playwright.sync_api import Page, expect
from support.checkpoints import tiny_fields

from olmo_explain.checkpoint import PRESETS, read_config
from olmo_explain.costs import (
    ATTENTION,
    CONVENTIONS,
    LINEAR,
    count_costs,
    crossover_seq,
    crossovers,
    total,
)
from olmo_explain.costs import ENDLESS as LONGEST
from olmo_explain.costs.counting import ATTENTION_PROJECTIONS
from olmo_explain.explorers import explore_costs
from olmo_explain.explorers.costs import PARTS, PHASES, UNITS, CostExplorer
from olmo_explain.words import quantity

AXE = files("axe_playwright_python") / "axe.min.js"

# A page with one widget in it: what a host of saved widgets does, without one.
HOST = """
async ({ esm, css, state }) => {
  const listeners = {};
  const call = (event) => (listeners[event] || []).forEach((f) => f());
  window.model = {
    get: (trait) => state[trait],
    set(trait, value) { state[trait] = value; call(`change:${trait}`); },
    on: (event, f) => (listeners[event] ??= []).push(f),
    off: (event, f) => (listeners[event] = listeners[event].filter((g) => g !== f)),
    save_changes() {},
  };
  window.settled = () => new Promise((done) =>
    requestAnimationFrame(() => requestAnimationFrame(done)));
  document.head.append(Object.assign(document.createElement("style"), { textContent: css }));
  const url = URL.createObjectURL(new Blob([esm], { type: "text/javascript" }));
  const module = await import(url);
  window.undo = module.default.render({ model: window.model, el: document.body });
}
"""
SET = """async (state) => {
  for (const [trait, value] of Object.entries(state)) window.model.set(trait, value);
  await window.settled();
}"""
TABLES = """() => [...document.querySelectorAll("table")].map((table) => Object.fromEntries(
  [...table.tBodies[0].rows].map((row) =>
    [row.cells[0].innerText, [...row.cells].slice(1).map((cell) => cell.innerText.trim())])))"""
BYTES = """() => [...document.querySelectorAll(".oe-costs tr[title]")].map((row) => row.title)"""
BAR = """() => [...document.querySelectorAll(".oe-costs-parts label")].map((label) =>
  [label.querySelector("em").innerText, label.title])"""
CUT = """() => [...document.querySelectorAll(".oe-segments span, .oe-button, .oe-costs td")]
  .filter((node) => node.scrollWidth > node.clientWidth + 1).map((node) => node.innerText)"""
OF_PARTS = {
    "projections": ATTENTION_PROJECTIONS,
    "mlp": ("gate_proj", "up_proj", "down_proj"),
    "lm_head": ("lm_head",),
    "scores": ("scores",),
    "apply": ("apply",),
}


@pytest.fixture(scope="module")
def opened(browser) -> Iterator[tuple[Page, CostExplorer]]:
    explorer = explore_costs("tiny")
    page = browser.new_page(viewport={"width": 1100, "height": 900})
    faults = []
    page.on("pageerror", lambda error: faults.append(error.message))
    page.set_content('<!doctype html><html lang="en"><title>Costs</title><body>')
    state = {name: getattr(explorer, name) for name in explorer.keys if not name.startswith("_")}
    state = {name: value for name, value in state.items() if is_json(value)}
    page.evaluate(HOST, {"esm": explorer._esm, "css": explorer._css, "state": state})
    yield page, explorer
    assert not faults
    page.close()


def is_json(value) -> bool:
    try:
        json.dumps(value)
    except TypeError:
        return False
    return True


def settings(seed: int) -> dict:
    draw = random.Random(seed)
    return {
        "model": PRESETS[seed % 3],
        "seq": [1, 2, LONGEST][seed // 3] if seed < 9 else round(2 ** draw.uniform(0, 2 * seed)),
        "batch": draw.choice([1, 1, 3, 64, 1024]),
        "convention": list(CONVENTIONS)[(seed + seed // 3) % 3],
        "phase": PHASES[seed % 2],
        "unit": UNITS[(seed // 2) % 2],
        "against": ("linear", "attention_projections")[(seed // 3) % 2],
        "part": PARTS[seed % 5],
    }


@pytest.mark.parametrize("seed", range(20))
def test_the_page_counts_what_python_counts(opened, seed):
    page, explorer = opened
    chosen = settings(seed)
    page.evaluate(SET, chosen)
    for trait, value in chosen.items():
        setattr(explorer, trait, value)
    costs, convention, unit = explorer.costs, explorer.convention, explorer.unit
    expected = {name: part.macs for name, part in costs.model(convention).items() if part.macs}
    factor = 2 if unit == "FLOPs" else 1
    whole = sum(expected.values())
    for (shown, title), names in zip(page.evaluate(BAR), OF_PARTS.values(), strict=True):
        macs = sum(expected.pop(name) for name in names)
        share = float(shown.partition("·")[2].strip().removesuffix("\u00a0%"))
        assert share == pytest.approx(100 * macs / whole, abs=0.051)
        assert shown.startswith(f"{quantity(factor * macs)} ·") or macs >= 10**20
        each = costs.model(convention)
        assert title == "\n".join(f"{name}: {factor * each[name].macs:,} {unit}" for name in names)
    assert not expected  # the bar has every matrix product
    assert page.get_attribute(".oe-costs-total strong", "title") == f"{factor * whole:,} {unit}"
    chosen = sum(costs.model(convention)[name].macs for name in OF_PARTS[explorer.part])
    readout = page.inner_text(".oe-readout")
    assert f": {factor * chosen:,} {unit}" in readout
    assert f"All: {factor * whole:,} {unit}" in readout

    overtaking, memory = page.evaluate(TABLES)
    assert overtaking == overtaken(costs, convention, explorer.against)
    config = read_config(explorer.model)
    held = [
        config.kv_cache_bytes(1),
        config.kv_cache_bytes(costs.seq, costs.batch),
        config.kv_cache_bytes(costs.seq, costs.batch, capped=False),
        total(costs.model().values()).weight_bytes,
    ]
    assert page.evaluate(BYTES) == [f"{count:,} bytes" for count in held]
    units = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB")
    size = {unit: 2 ** (10 * at) for at, unit in enumerate(units)}
    for (cell,), count in zip(memory.values(), held, strict=True):
        number, unit = cell.split()
        assert float(number.replace(",", "")) < 1024.5 or unit == "YiB"
        assert float(number.replace(",", "")) * size[unit] == pytest.approx(count, rel=5e-4)


def overtaken(costs, convention: str, against: str) -> dict[str, list[str]]:
    """The table of crossovers as it should read."""
    names = LINEAR if against == "linear" else ATTENTION_PROJECTIONS
    crossings = crossovers(costs.config, against, decode=costs.decode)
    named = {
        "a sliding layer": "sliding_attention",
        "a full layer": "full_attention",
        "the model": "model",
    }
    table = {}
    for name, place in named.items():
        parts = costs.model(convention) if place == "model" else costs.layer(place, convention)
        attention = sum(parts[part].macs for part in ATTENTION)
        linear = sum(parts[part].macs for part in names)
        # The page cuts at nine digits before it rounds to one.
        share = attention * 10**9 // (attention + linear) / 1e9
        seq = crossings[place][convention]
        digits = "#.2g" if 1e-5 <= share < 5e-4 else ".1f"
        table[name] = [f"{100 * share:{digits}}\u00a0%", "never" if seq is None else f"{seq:,}"]
    return table


def test_keyboard_and_exact_number(opened):
    page, _ = opened
    page.evaluate(SET, {"seq": 4096, "model": "olmo3-7b", "phase": "prefill", "batch": 1})
    slider = page.get_by_label("Positions on the axis")
    slider.focus()
    for key, seq in {
        "ArrowRight": round(4096 * 2 ** (1 / 8)),
        "ArrowLeft": 4096,
        "PageUp": 8192,
        "Home": 1,
        "ArrowRight ": 2,  # the next whole number, not the same once more
        "End": 16 * 65_536,
    }.items():
        page.keyboard.press(key.strip())
        assert page.evaluate("model.get('seq')") == seq
        expect(slider).to_have_attribute("aria-valuetext", f"{seq:,}")
    for step, seq in {"÷2": 8 * 65_536, "−1": 8 * 65_536 - 1, "×2": 16 * 65_536 - 2}.items():
        page.get_by_role("button", name=f"Positions {step}").click()
        assert page.evaluate("model.get('seq')") == seq
    page.get_by_label("Batch").fill("7")
    assert page.evaluate("model.get('batch')") == 7
    page.get_by_role("radio", name="olmo3-7b").press("ArrowRight")
    page.get_by_role("radio", name="full square").check()
    page.get_by_role("radio", name="causal").check()
    page.get_by_role("radio", name="decode").check()
    page.get_by_role("radio", name="4 attention projections").check()
    traits = ["model", "convention", "phase", "against"]
    assert page.evaluate("(traits) => traits.map((trait) => model.get(trait))", traits) == [
        "olmo3-32b", "causal", "decode", "attention_projections",
    ]  # fmt: skip
    page.wait_for_function("document.querySelector('[role=status]').textContent.includes('causal')")


def test_the_slider_and_the_pointer_are_on_the_charts_axis(opened):
    page, _ = opened
    page.evaluate(SET, {"seq": 1000, "model": "olmo3-7b", "phase": "prefill", "against": "linear"})
    page.evaluate(SET, {"convention": "windowed", "batch": 1})
    chart, slider = page.locator(".oe-costs .oe-chart"), page.get_by_label("Positions on the axis")
    for width in (390, 1100):
        page.set_viewport_size({"width": width, "height": 900})
        page.evaluate("settled()")
        box = slider.bounding_box()
        thumb = box["x"] + 8 + (box["width"] - 16) * float(slider.input_value())
        line = page.locator(".oe-chart-at").bounding_box()
        assert line["x"] + line["width"] / 2 == pytest.approx(thumb, abs=2)
    for text in ("49,407", "173,346"):
        expect(chart.get_by_text(text, exact=True)).to_be_visible()
    box = chart.bounding_box()
    middle = {"x": box["width"] / 2, "y": 100}
    readout, before = page.locator(".oe-readout"), page.inner_text(".oe-readout")
    chart.hover(position=middle)
    pointed = readout.inner_text()
    assert re.match(r"[\d,]+ positions: attention takes .* in the model", pointed)
    chart.click(position=middle)
    said = int(pointed.partition(" ")[0].replace(",", ""))
    assert page.evaluate("model.get('seq')") == pytest.approx(said, rel=0.02)  # half a pixel
    page.get_by_role("button", name="÷2").hover()
    assert readout.inner_text() not in (pointed, before)  # that of the new choice
    page.get_by_role("button", name="173,346").click()
    assert page.evaluate("model.get('seq')") == 173_346


@pytest.fixture
def typing(opened):
    """The page with the 7B at 4,096 positions, and the field for the exact number."""
    page, _ = opened
    page.evaluate(SET, {"model": "olmo3-7b", "convention": "windowed", "phase": "prefill"})
    page.evaluate(SET, {"seq": 4096, "batch": 1, "unit": "MACs"})
    return page, page.get_by_label("Positions", exact=True)


@pytest.mark.parametrize("delay", [0, 120])
def test_the_chapters_own_number_can_be_typed(typing, delay):
    """173,346, where attention overtakes in the whole model: far beyond what the 7B takes."""
    page, exactly = typing
    crossing = crossover_seq(read_config("olmo3-7b"))
    exactly.press("Control+a")
    for end, digit in enumerate(str(crossing), start=1):
        exactly.press_sequentially(digit, delay=delay)
        assert exactly.input_value() == str(crossing)[:end]
        assert page.evaluate("model.get('seq')") == int(str(crossing)[:end])
    page.evaluate("settled()")
    counted = total(count_costs(read_config("olmo3-7b"), crossing).model("windowed").values())
    assert page.get_attribute(".oe-costs-total strong", "title") == f"{counted.macs:,} MACs"
    overtaking, _ = page.evaluate(TABLES)
    assert overtaking["the model"] == ["50.0\u00a0%", "173,346"]
    note = page.get_by_text("More than the model’s max_position_embeddings, 65,536")
    expect(note).to_be_visible()
    slider = page.get_by_label("Positions on the axis")
    assert slider.get_attribute("aria-valuetext") == "173,346"
    exactly.blur()
    assert exactly.input_value() == "173346"


POSITIONS = f"Positions: give a whole number from 1 to {LONGEST:,}."
BATCH = "Batch: give a whole number from 1 to 1,024."


@pytest.mark.parametrize("wrong", ["0", "", "1.5", "-3", str(LONGEST + 1), "9" * 30])
@pytest.mark.parametrize(
    ("label", "said", "kept"), [("Positions", POSITIONS, 4096), ("Batch", BATCH, 1)]
)
def test_what_is_no_such_number_is_said_and_changes_nothing(typing, label, said, kept, wrong):
    page, _ = typing
    field, spoken = page.get_by_label(label, exact=True), page.get_by_role("status")
    line = page.locator(".oe-exactly", has=field).locator(".oe-wrong")
    before = page.inner_text(".oe-costs-tables"), page.inner_text(".oe-costs-total")
    field.fill(wrong)
    expect(spoken).to_have_text(f"{said} What is shown is still for {kept:,}.")
    expect(line).to_have_text(f"{said} What is shown is still for {kept:,}.")
    expect(line).to_be_in_viewport(ratio=1)
    expect(page.locator(".oe-wrong:visible")).to_have_count(1)  # under its own field alone
    under, box = line.bounding_box(), field.bounding_box()
    assert 0 <= under["y"] - box["y"] - box["height"] <= 8
    assert (page.inner_text(".oe-costs-tables"), page.inner_text(".oe-costs-total")) == before
    field.blur()
    assert field.input_value() == str(kept)
    field.fill(str(kept))  # nothing has changed, and nothing is wrong
    expect(line).to_be_hidden()
    field.fill("5")
    expect(spoken).to_contain_text("MACs; attention takes")
    expect(line).to_be_hidden()


def test_no_place_is_shown_for_what_is_beyond_the_axis(typing):
    page, exactly = typing
    said, dot = page.locator(".oe-chart-beyond"), page.locator(".oe-chart-here")
    exactly.fill(str(16 * 65_536))
    expect(dot).to_have_count(1)
    expect(said).to_have_count(0)
    exactly.fill("99999999")
    expect(said).to_have_text(re.compile(r"beyond this axis: \d\d\.\d\u00a0% →"))
    expect(dot).to_have_count(0)
    expect(page.locator(".oe-chart-at")).to_have_count(0)


def test_positions_come_first_and_few_of_them_have_a_share(typing):
    page, exactly = typing
    exactly.fill("11")
    page.evaluate("settled()")
    assert "attention takes 0.02" in page.inner_text(".oe-costs-total")
    bar = page.locator(".oe-costs-bar").bounding_box()
    for control in (exactly, page.get_by_label("Positions on the axis")):
        assert control.bounding_box()["y"] < bar["y"]


@pytest.mark.parametrize("typed", ["12e", f"{LONGEST}0"])
def test_the_last_good_number_stays_while_typing_goes_wrong(typing, typed):
    page, exactly = typing
    exactly.press("Control+a")
    exactly.press_sequentially(typed)
    kept = int(typed[:-1])
    said = f"{POSITIONS} What is shown is still for {kept:,}."
    expect(page.get_by_role("status")).to_have_text(said)
    assert page.evaluate("model.get('seq')") == kept
    expect(page.locator(".oe-costs-total")).to_contain_text(f"a prompt of {kept:,} positions")


@pytest.mark.parametrize(
    ("layer_types", "places"),
    [
        (["sliding_attention"] * 4, ["a sliding layer", "the model"]),
        (["full_attention"] * 4, ["a full layer", "the model"]),
    ],
)
def test_no_layer_is_counted_that_is_not_there(page, publish, tmp_path, layer_types, places):
    (tmp_path / "config.json").write_text(json.dumps(tiny_fields(layer_types=layer_types)))
    page.goto(publish(explore_costs(tmp_path)).as_uri())
    expect(page.locator(".oe-costs table")).to_have_count(2)
    overtaking, _ = page.evaluate(TABLES)
    assert list(overtaking) == places


def test_it_is_accessible_and_fits_a_phone(opened):
    page, _ = opened
    page.evaluate(AXE.read_text())
    page.evaluate(SET, {"seq": LONGEST, "batch": 1024, "model": "olmo3-32b", "phase": "prefill"})
    for width in (320, 390, 616, 640, 1100):
        page.set_viewport_size({"width": width, "height": 900})
        page.evaluate("settled()")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(CUT) == []
        found = page.evaluate("axe.run('.oe-costs', { resultTypes: ['violations'] })")
        assert not [(each["id"], each["help"]) for each in found["violations"]]


def test_undo_stops_the_drawing(opened):
    page, _ = opened
    page.evaluate(SET, {"seq": 10})
    page.evaluate("undo()")
    before = page.inner_text(".oe-costs")
    page.evaluate(SET, {"seq": 20})
    assert page.inner_text(".oe-costs") == before


def test_python_refuses_what_the_page_cannot_show():
    explorer = explore_costs()
    for trait, value in {"seq": 0, "batch": 2000, "convention": "half", "model": "gpt"}.items():
        with pytest.raises(traitlets.TraitError):
            setattr(explorer, trait, value)
    assert explorer.costs.seq == 4096
