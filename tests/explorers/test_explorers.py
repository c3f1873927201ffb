"""The byte, step and RoPE explorers on their pages, opened as files: they answer as Python does.

The head explorer is in tests/book/test_pages.py, the cost explorer in test_cost_explorer.py.
"""

import random
from collections.abc import Callable, Iterator

import pytest
import torch
from playwright.sync_api import Locator, Page, expect

import olmo_explain as oe
from olmo_explain.by_hand import STEPS, cos_sin, frequencies
from olmo_explain.checkpoint import REGIMES, Rope, preset
from olmo_explain.errors import OutOfRange, UsageError
from olmo_explain.running import NEAR, prompt_ids

# A choice is drawn in the next frame, and may then change what the other controls allow.
DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
TYPE = "(input, value) => { input.value = value; input.dispatchEvent(new Event('input')); }"


@pytest.fixture
def chapter(browser, book) -> Iterator[Callable[[str], Page]]:
    page = browser.new_page(viewport={"width": 1280, "height": 900})

    def open_chapter(name: str) -> Page:
        page.goto((book.html / "notebooks" / f"{name}.html").as_uri())
        return page

    yield open_chapter
    page.close()


def slide(explorer: Locator, label: str, value: int) -> None:
    slider = explorer.get_by_label(label, exact=True)
    slider.evaluate(TYPE, value)
    explorer.page.evaluate(DRAWN)
    expect(slider).to_have_value(str(value))


def select(explorer: Locator, label: str, value: str) -> None:
    explorer.get_by_label(label, exact=True).select_option(value)
    explorer.page.evaluate(DRAWN)


def cell(explorer: Locator, row: str, column: int = 0) -> Locator:
    header = explorer.page.get_by_role("rowheader", name=row, exact=True)
    return explorer.locator("tr", has=header).locator("td").nth(column)


def test_the_byte_explorer_shows_the_files_bytes(chapter):
    explorer = chapter("02_weights_on_disk").locator(".oe-bytes")
    data = (preset("tiny").directory / "model.safetensors").read_bytes()
    checkpoint, draw = oe.Checkpoint("tiny"), random.Random(0)
    tensors = oe.explore_bytes("tiny").tensors
    for at in range(12):
        about = tensors[at % len(tensors)]
        row = about["firstRow"] + draw.randrange(about["rows"])
        column = draw.randrange(about["shape"][-1])
        select(explorer, "Tensor", about["name"])
        slide(explorer, "Row", row)
        slide(explorer, "Column", column)

        offset = about["start"] + (row * about["shape"][-1] + column) * 2
        expect(cell(explorer, "this number at byte")).to_have_text(f"{offset:,}")
        shown = explorer.locator(".oe-bytes-dump .oe-chosen").all_inner_texts()
        assert bytes.fromhex("".join(shown)) == data[offset : offset + 2]
        bits = int.from_bytes(data[offset : offset + 2], "little")
        drawn = explorer.locator(".oe-bytes-cells i").all_inner_texts()
        assert int("".join(drawn), 2) == bits
        value = float(explorer.locator(".oe-bytes-value output").inner_text())
        numbers = checkpoint.read(about["name"])
        assert value == (numbers[row, column] if numbers.ndim == 2 else numbers[column])


def test_the_step_explorer_shows_what_the_reference_computed(chapter):
    explorer = chapter("05_attention").locator(".oe-steps")
    widget = oe.explore_steps("tiny")
    model, tokenizer = oe.load("tiny", "bfloat16")
    values = oe.run_by_hand(model, prompt_ids(model, tokenizer, prompt=NEAR))
    draw = random.Random(0)
    for at in range(0, len(STEPS), 2):
        name, layer = list(STEPS)[at], draw.randrange(len(widget.layer_types))
        heads, tokens, numbers = widget.steps[at]["matrices"]
        head, token, number = map(draw.randrange, (heads, tokens, numbers))
        slide(explorer, "Layer", layer)
        slide(explorer, "Value", at)
        if heads > 1:
            slide(explorer, "Head", head)
        keyed = widget.steps[at]["axes"][-1] == "T"
        slide(explorer, "Query" if keyed else "Token", token)
        slide(explorer, "Key" if keyed else "Number", number)
        expect(explorer.locator(".oe-steps-keys")).to_be_visible(visible=keyed)

        value = values[layer, name][0].bfloat16()
        if name == "z":
            value = value.transpose(0, 1)
        expected = value.reshape(heads, tokens, numbers)[head, token, number].item()
        shown = explorer.locator(".oe-control output").last
        said = str_of(expected)
        if name in ("mask", "masked_scores", "pattern"):
            hidden = values[layer, "mask"][0, 0, token, number] < -1e38
            said = said if not hidden else "0, hidden" if name == "pattern" else "hidden"
        expect(shown).to_have_text(said)
        expect(cell(explorer, "max |Δ| to the real module")).to_have_text("0: every bit is equal")
        expect(cell(explorer, "shape")).to_contain_text(" × ".join(widget.steps[at]["axes"]))


def str_of(value: float) -> str:
    """As JavaScript writes it."""
    text = repr(value)
    if "e" not in text:
        return text.removesuffix(".0")
    return f"{value:.25f}".rstrip("0") if abs(value) >= 1e-6 else text.replace("e-0", "e-")


def test_the_rope_explorer_turns_as_the_reference_does(chapter):
    explorer = chapter("06_positions").locator(".oe-rope")
    config, draw = oe.read_config("olmo3-7b"), random.Random(0)
    yarn = config.rope["full_attention"]
    columns = [Rope("default", yarn.rope_theta), yarn]
    for at in range(12):
        pair, position = draw.randrange(config.head_dim // 2), draw.randrange(2000)
        kind, regime = ("sliding", "full")[at % 2], REGIMES[at % 3]
        slide(explorer, "Pair", pair)
        slide(explorer, "Position", position)
        select(explorer, "In", f"{kind}_attention")
        select(explorer, "What runs", regime)

        for column, rope in enumerate(columns):
            turns = frequencies(rope, config.head_dim)[pair].item()
            cos, sin = cos_sin(rope, config.head_dim, torch.tensor([position]))
            assert shown(explorer, "radians a position", column) == pytest.approx(turns, rel=1e-5)
            assert shown(explorer, "cos", column) == pytest.approx(cos[0, 0, pair].item(), abs=2e-3)
            assert shown(explorer, "sin", column) == pytest.approx(sin[0, 0, pair].item(), abs=2e-3)
            growth = rope.attention_factor**2
            assert shown(explorer, "score grows by", column) == pytest.approx(growth, rel=1e-5)
        widget = oe.explore_rope(pair=pair, position=position)
        widget.layer_type, widget.regime = f"{kind}_attention", regime
        applied = explorer.locator("th.oe-rope-applied")
        expect(applied).to_have_text("YaRN" if widget.applied == yarn else "default")
        right = widget.applied == config.rope[widget.layer_type]
        verdict = explorer.locator(".oe-rope-verdict")
        expect(verdict).to_contain_text("as the model was trained" if right else "not what it was")


def shown(explorer: Locator, row: str, column: int) -> float:
    return float(cell(explorer, row, column).inner_text())


@pytest.mark.parametrize(
    ("name", "selector", "label"),
    [
        ("02_weights_on_disk", ".oe-bytes", "Row"),
        ("05_attention", ".oe-steps", "Value"),
        ("06_positions", ".oe-rope", "Pair"),
        ("12_flops", ".oe-costs", "Positions"),
    ],
)
def test_the_keyboard_moves_every_explorer(chapter, name, selector, label):
    explorer = chapter(name).locator(selector)
    slider = explorer.get_by_label(label, exact=True)
    before, text = slider.input_value(), explorer.inner_text()
    slider.press("ArrowRight")
    expect(slider).not_to_have_value(before)
    expect(explorer).not_to_have_text(text)


def test_python_knows_the_choice_and_refuses_others():
    explorer = oe.explore_bytes("tiny")
    explorer.tensor, explorer.row, explorer.column = "model.norm.weight", 0, 5
    assert explorer.value == oe.Checkpoint("tiny").read("model.norm.weight")[5]
    with pytest.raises(OutOfRange, match=r"no row 2048\. It has 2048 rows"):
        oe.explore_bytes("tiny", ["model.embed_tokens.weight"], first_row=2048)
    with pytest.raises(OutOfRange, match=r"no layer 8"):
        oe.explore_heads("tiny", layer=8)
    assert oe.explore_steps("tiny", layer=3, step="pattern").at == list(STEPS).index("pattern")


def test_rope_needs_a_model_with_yarn(tmp_path):
    fields = preset("olmo3-7b").read("config.json").decode().replace('"yarn"', '"default"')
    (tmp_path / "config.json").write_text(fields)
    with pytest.raises(UsageError, match="scales no layer with YaRN"):
        oe.explore_rope(str(tmp_path))
