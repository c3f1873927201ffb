"""The cost explorer in Chromium: its numbers are those of costs.py, its controls answer."""

import json
import random
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
from olmo_explain.explorers.costs import PHASES, UNITS, CostExplorer

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
    }


@pytest.mark.parametrize("seed", range(20))
def test_the_page_counts_what_python_counts(opened, seed):
    page, explorer = opened
    chosen = settings(seed)
    page.evaluate(SET, chosen)
    for trait, value in chosen.items():
        setattr(explorer, trait, value)
    bars, overtaking, memory = page.evaluate(TABLES)
    costs, convention = explorer.costs, explorer.convention
    expected = {name: part for name, part in costs.model(convention).items() if part.macs}
    factor = 2 if explorer.unit == "FLOPs" else 1
    assert {name: cells[0] for name, cells in bars.items()} == {
        name: f"{factor * part.macs:,}" for name, part in expected.items()
    }
    assert list(bars) == list(expected)
    whole = total(expected.values()).macs
    assert page.inner_text(".oe-costs h3 >> nth=0") == f"{factor * whole:,} {explorer.unit}"
    for name, (_, share, *_) in bars.items():
        assert float(share.removesuffix(" %")) == pytest.approx(
            100 * expected[name].macs / whole, abs=0.051
        )
    assert overtaking == overtaken(costs, convention)
    config = read_config(explorer.model)
    assert [cells[0] for cells in memory.values()] == [
        f"{config.kv_cache_bytes(1):,} bytes",
        f"{config.kv_cache_bytes(costs.seq, costs.batch):,} bytes",
        f"{config.kv_cache_bytes(costs.seq, costs.batch, capped=False):,} bytes",
        f"{total(costs.model().values()).weight_bytes:,} bytes",
    ]


def overtaken(costs, convention: str) -> dict[str, list[str]]:
    """The table of crossovers as it should read."""
    both = [
        (names, crossovers(costs.config, against, decode=costs.decode))
        for names, against in (
            (ATTENTION_PROJECTIONS, "attention_projections"),
            (LINEAR, "linear"),
        )
    ]
    named = {
        "a sliding layer": "sliding_attention",
        "a full layer": "full_attention",
        "the model": "model",
    }
    table = {}
    for name, place in named.items():
        parts = costs.model(convention) if place == "model" else costs.layer(place, convention)
        attention = sum(parts[part].macs for part in ATTENTION)
        table[name] = []
        for projections, crossings in both:
            # The page cuts at nine digits before it rounds to three.
            share = attention * 10**9 // sum(parts[part].macs for part in projections) / 1e9
            seq = crossings[place][convention]
            table[name] += [f"{share:,.3f}", "never" if seq is None else f"{seq:,}"]
    return table


def test_keyboard_and_exact_number(opened):
    page, _ = opened
    page.evaluate(SET, {"seq": 4096, "model": "olmo3-7b", "phase": "prefill", "batch": 1})
    slider = page.get_by_label("Positions", exact=True)
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.evaluate("settled()")
    assert page.evaluate("model.get('seq')") == round(4096 * 2 ** (1 / 8))
    page.keyboard.press("Home")
    assert page.evaluate("model.get('seq')") == 1
    page.keyboard.press("End")
    assert page.evaluate("model.get('seq')") == 65_536
    page.get_by_label("Batch").fill("7")
    assert page.evaluate("model.get('batch')") == 7
    for label, value in {"Model": "olmo3-32b", "Attention": "causal", "Phase": "decode"}.items():
        page.get_by_label(label, exact=True).select_option(value)
    assert page.evaluate("model.get('phase')") == "decode"
    page.wait_for_function("document.querySelector('[role=status]').textContent.includes('causal')")


@pytest.fixture
def typing(opened):
    """The page with the 7B at 4,096 positions, and the field for the exact number."""
    page, _ = opened
    page.evaluate(SET, {"model": "olmo3-7b", "convention": "windowed", "phase": "prefill"})
    page.evaluate(SET, {"seq": 4096, "batch": 1, "unit": "MACs"})
    return page, page.get_by_label("Positions, exactly")


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
    assert page.inner_text(".oe-costs h3 >> nth=0") == f"{counted.macs:,} MACs"
    _, overtaking, _ = page.evaluate(TABLES)
    assert overtaking["the model"][2:] == ["1.000", "173,346"]
    slider = page.get_by_label("Positions", exact=True)
    assert slider.input_value() == slider.get_attribute("max")
    assert slider.get_attribute("aria-valuetext") == "173,346 positions"
    exactly.blur()
    assert exactly.input_value() == "173346"


POSITIONS = f"Positions: give a whole number from 1 to {LONGEST:,}."
BATCH = "Batch: give a whole number from 1 to 1,024."


@pytest.mark.parametrize("wrong", ["0", "", "1.5", "-3", str(LONGEST + 1), "9" * 30])
@pytest.mark.parametrize(
    ("label", "said", "kept"), [("Positions, exactly", POSITIONS, 4096), ("Batch", BATCH, 1)]
)
def test_what_is_no_such_number_is_said_and_changes_nothing(typing, label, said, kept, wrong):
    page, _ = typing
    field, spoken = page.get_by_label(label), page.get_by_role("status")
    before = page.inner_text(".oe-costs-panels")
    field.fill(wrong)
    expect(spoken).to_have_text(f"{said} What is shown is still for {kept:,}.")
    assert spoken.bounding_box()["height"] > 15  # to be seen, not only heard
    assert page.inner_text(".oe-costs-panels") == before
    field.blur()
    assert field.input_value() == str(kept)
    field.fill(str(kept))  # nothing has changed, and nothing is wrong
    assert spoken.bounding_box()["height"] <= 1
    field.fill("5")
    expect(spoken).to_contain_text("MACs; attention takes")
    assert spoken.bounding_box()["height"] <= 1


@pytest.mark.parametrize("typed", ["12e", f"{LONGEST}0"])
def test_the_last_good_number_stays_while_typing_goes_wrong(typing, typed):
    page, exactly = typing
    exactly.press("Control+a")
    exactly.press_sequentially(typed)
    kept = int(typed[:-1])
    said = f"{POSITIONS} What is shown is still for {kept:,}."
    expect(page.get_by_role("status")).to_have_text(said)
    assert page.evaluate("model.get('seq')") == kept
    expect(page.locator(".oe-note").first).to_contain_text(f"{kept:,} positions at once")


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
    _, overtaking, _ = page.evaluate(TABLES)
    assert list(overtaking) == places


def test_it_is_accessible_and_fits_a_phone(opened):
    page, _ = opened
    page.evaluate(AXE.read_text())
    page.evaluate(SET, {"seq": LONGEST, "batch": 1024, "model": "olmo3-32b", "phase": "prefill"})
    for width in (390, 1100):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
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
