"""The byte explorer in Chromium: from the file to its bits, and bits turned over."""

import random
import re
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
import traitlets
from playwright.sync_api import Locator, Page, expect
from support.checkpoints import framed, safetensors_header, write_random

import olmo_explain as oe
from olmo_explain.checkpoint import preset
from olmo_explain.errors import OutOfRange
from olmo_explain.explorers import explore_bytes

AXE = files("axe_playwright_python") / "axe.min.js"
DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
TABLE = "model.embed_tokens.weight"
Q_PROJ = "model.layers.0.self_attn.q_proj.weight"
NORM = "model.layers.0.post_feedforward_layernorm.weight"
LATER = "model.layers.5.mlp.up_proj.weight"  # of which a page has nothing saved


@pytest.fixture
def explorer(opened) -> Locator:
    return opened(explore_bytes("tiny")).locator(".oe-bytes")


def go(explorer: Locator, tensor: str, row: int, column: int) -> None:
    explorer.get_by_label("Tensor", exact=True).select_option(tensor)
    explorer.page.evaluate(DRAWN)
    for label, value in {"Row": row, "Column": column}.items():
        field = explorer.get_by_label(f"{label}, exactly", exact=True)
        field.fill(str(value))
        explorer.page.evaluate(DRAWN)
        expect(field).to_have_value(str(value))
        expect(explorer.get_by_label(label, exact=True)).to_have_value(str(value))


def bits(explorer: Locator) -> str:
    return "".join(explorer.locator(".oe-bytes-bits b").all_inner_texts())


def dump(explorer: Locator) -> bytes:
    shown = explorer.locator(".oe-bytes-dump .oe-chosen code").all_inner_texts()
    return bytes.fromhex("".join(shown))


def value(explorer: Locator) -> float:
    return number(explorer.locator(".oe-bytes-value b").inner_text())


def number(text: str) -> float:
    """Of what a page shows: a real minus, powers of ten raised."""
    raised = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻−∞", "0123456789--∞")
    return float(text.translate(raised).replace(" × 10", "e").replace("∞", "inf"))


def test_it_shows_the_files_bytes(explorer):
    """Also those that the page has not saved, which come from the model in it."""
    data = (preset("tiny").directory / "model.safetensors").read_bytes()
    checkpoint, draw = oe.Checkpoint("tiny"), random.Random(0)
    places = [TABLE, Q_PROJ, NORM, LATER, TABLE, draw.choice(checkpoint.names)]
    for name in places:
        tensor = checkpoint.tensor(name)
        rows, columns = tensor.shape if len(tensor.shape) == 2 else (1, *tensor.shape)
        row, column = draw.randrange(rows), draw.randrange(columns)
        go(explorer, name, row, column)

        offset = tensor.start + (row * columns + column) * 2
        address = f"{tensor.start:,} + {row:,} × {2 * columns:,} + {column:,} × 2 = {offset:,}"
        expect(explorer.locator(".oe-bytes-address")).to_have_text(f"Where it lies byte {address}")
        assert dump(explorer) == data[offset : offset + 2]
        assert int(bits(explorer), 2) == int.from_bytes(data[offset : offset + 2], "little")
        assert value(explorer) == checkpoint.read(name).reshape(rows, columns)[row, column]


FORMATS = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32, "F64": torch.float64}
SPECIAL = [0.0, -0.0, float("inf"), float("-inf"), float("nan"), 1.0]
SMALLEST = {"BF16": 2.0**-133, "F16": 2.0**-24, "F32": 2.0**-149, "F64": 2.0**-1074}


@pytest.mark.parametrize("dtype", FORMATS)
def test_every_format(opened, tmp_path, dtype):
    """Zeros, infinities, what is no number, the smallest, and some at random."""
    numbers = torch.randn(8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    tensor = torch.tensor([*SPECIAL, SMALLEST[dtype], *numbers.tolist()]).double()
    tensor[6] = SMALLEST[dtype]
    stored = tensor.to(FORMATS[dtype])
    header = safetensors_header({"w": (len(stored),)}, dtype)
    (tmp_path / "model.safetensors").write_bytes(
        header + stored.view(torch.uint8).numpy().tobytes()
    )
    explorer = opened(explore_bytes(tmp_path, "w")).locator(".oe-bytes")
    for at, expected in enumerate(stored.double().tolist()):
        go(explorer, "w", 0, at)
        shown = value(explorer)
        if dtype != "F64" and np.isfinite(expected):
            shown, expected = np.float32(shown), np.float32(expected)
        assert np.array_equal(shown, expected, equal_nan=True), at
        assert np.signbit(shown) == np.signbit(expected) or np.isnan(expected)


def test_bits_turn_over_in_this_page_only(explorer):
    widget = explore_bytes("tiny")
    widget.tensor, widget.row, widget.column = Q_PROJ, 5, 17
    go(explorer, Q_PROJ, 5, 17)
    before, stored = value(explorer), int(bits(explorer), 2)
    undo = explorer.get_by_role("button", name="Undo")
    expect(undo).to_have_attribute("aria-disabled", "true")
    for bit in (15, 14, 0):
        button = explorer.get_by_role("button", name=re.compile(f"^bit {bit}, "))
        was = stored >> bit & 1
        expect(button).to_have_attribute("aria-pressed", str(bool(was)).lower())
        button.click()
        expect(button).to_have_attribute("aria-pressed", str(not was).lower())
        widget.flipped = [*widget.flipped, bit]
        stored ^= 1 << bit
        assert int(bits(explorer), 2) == stored
        assert dump(explorer) == stored.to_bytes(2, "little")
        assert np.float32(value(explorer)) == np.float32(widget.flipped_value)
    assert widget.value == before
    explorer.get_by_text("3 bits flipped, in this page only. The file is as it was").wait_for()
    expect(explorer.get_by_role("status")).to_contain_text("in the file")

    undo.click()
    explorer.page.evaluate(DRAWN)
    assert value(explorer) == before
    expect(undo).to_be_focused()
    explorer.get_by_role("button", name="bit 3, mantissa").click()
    go(explorer, Q_PROJ, 5, 18)
    explorer.get_by_text("Press a bit to flip it.").wait_for()
    widget.column = 18
    assert widget.flipped == [] and value(explorer) == widget.value == widget.flipped_value


def test_fields_and_formula_say_how_the_value_comes_about(explorer):
    go(explorer, Q_PROJ, 5, 17)
    stored = int(bits(explorer), 2)
    sign, exponent, mantissa = stored >> 15, stored >> 7 & 255, stored & 127
    said = explorer.locator(".oe-bytes-fields p").all_inner_texts()
    assert [int(re.search(r"\d+", text)[0]) for text in said] == [sign, exponent, mantissa]
    assert f"2^({exponent} − 127)" in said[1] and f"1 + {mantissa}/128" in said[2]
    formula = explorer.locator(".oe-bytes-value span").inner_text()
    factor = re.search(r"× ([\d.]+) =", formula)[1]
    assert (-1) ** sign * 2.0 ** (exponent - 127) * float(factor) == value(explorer)


def test_by_keyboard_alone(explorer, page):
    explorer.get_by_label("Row", exact=True).press("ArrowRight")
    expect(explorer.get_by_label("Row, exactly")).to_have_value("1")
    explorer.get_by_label("Column, exactly").press("ArrowUp")
    expect(explorer.get_by_label("Column", exact=True)).to_have_value("1")
    page.keyboard.press("Tab")
    expect(explorer.get_by_role("button", name="bit 15, sign")).to_be_focused()
    page.keyboard.press("ArrowRight")
    before = bits(explorer)
    page.keyboard.press("Space")
    page.evaluate(DRAWN)
    assert bits(explorer) == before[0] + str(1 - int(before[1])) + before[2:]
    expect(explorer.get_by_role("button", name="bit 14, exponent")).to_be_focused()
    page.keyboard.press("Tab")
    expect(explorer.get_by_role("button", name="Undo")).to_be_focused()


def test_a_number_that_there_is_not_is_told(explorer):
    field = explorer.get_by_label("Row, exactly")
    field.fill("2048")
    expect(explorer.locator(".oe-readout")).to_contain_text("a whole number from 0 to 2,047")
    field.blur()
    expect(field).to_have_value("0")


def at_share(node: Locator, x: float, y: float = 0.5) -> dict:
    box = node.bounding_box()
    return {"x": x * box["width"], "y": y * box["height"]}


def test_pictures_are_clicked_and_read_out(explorer, page):
    """The bar by its bytes, to scale; the row, and bytes beside the chosen ones."""
    readout, menu = explorer.locator(".oe-readout"), explorer.get_by_label("Tensor", exact=True)
    checkpoint = oe.Checkpoint("tiny")
    size = (preset("tiny").directory / "model.safetensors").stat().st_size
    bar = explorer.locator(".oe-bytes-bar svg")
    for name in (LATER, Q_PROJ):
        tensor = checkpoint.tensor(name)
        where = at_share(bar, (tensor.start + tensor.end) / 2 / size)
        bar.hover(position=where)
        expect(readout).to_contain_text(f"{name} is {' × '.join(map(str, tensor.shape))} BF16")
        bar.click(position=where)
        expect(menu).to_have_value(name)
    explorer.locator(".oe-bytes-near div", has_text="o_proj").click()
    expect(menu).to_have_value("model.layers.0.self_attn.o_proj.weight")

    picture = explorer.locator(".oe-bytes-picture canvas")
    picture.click(position=at_share(picture, 0.503, 0.253))
    row, column = (explorer.get_by_label(f"{name}, exactly") for name in ("Row", "Column"))
    expect(row).to_have_value("32")
    expect(column).to_have_value("64")
    strip = explorer.locator(".oe-bytes-strip canvas")
    strip.hover(position=at_share(strip, 100.5 / 128))
    expect(readout).to_contain_text("Row 32, column 100: ")
    shown = number(readout.locator("b").inner_text())
    assert shown == checkpoint.read("model.layers.0.self_attn.o_proj.weight")[32, 100]
    strip.click(position=at_share(strip, 100.5 / 128))
    expect(column).to_have_value("100")
    explorer.locator(".oe-bytes-dump div").last.click()
    expect(column).to_have_value("104")
    page.mouse.move(0, 0)
    expect(readout).to_contain_text("Click a tensor, a square, a number or a bit.")


def test_the_magnified_part_is_marked_to_scale(explorer):
    checkpoint = oe.Checkpoint("tiny")
    bar, marker = explorer.locator(".oe-bytes-bar"), explorer.locator(".oe-bytes-bar .oe-frame")
    size = (preset("tiny").directory / "model.safetensors").stat().st_size
    for name in (TABLE, Q_PROJ, NORM):
        go(explorer, name, 0, 0)
        tensor, whole, box = checkpoint.tensor(name), bar.bounding_box(), marker.bounding_box()
        left = (box["x"] - whole["x"]) / whole["width"]
        assert left == pytest.approx(tensor.start / size, abs=2e-3)
        width = max(3, tensor.nbytes / size * whole["width"])  # the small can still be seen
        assert box["width"] == pytest.approx(width, abs=1)


def test_a_page_of_another_model_has_what_was_saved(opened, tmp_path):
    write_random(tmp_path)
    widget = explore_bytes(tmp_path, first_row=3)
    explorer = opened(widget).locator(".oe-bytes")
    menu = explorer.get_by_label("Tensor", exact=True)
    options = menu.locator("option").evaluate_all("all => all.map((one) => one.value)")
    assert sorted(options) == sorted(about["name"] for about in widget.tensors)
    assert explorer.get_by_label("Row, exactly").get_attribute("min") == "3"
    bar = explorer.locator(".oe-bytes-bar svg")
    tensor = oe.Checkpoint(tmp_path).tensor("model.layers.2.mlp.gate_proj.weight")
    size = (tmp_path / "model.safetensors").stat().st_size
    bar.click(position=at_share(bar, (tensor.start + tensor.end) / 2 / size))
    expect(explorer.locator(".oe-readout")).to_contain_text("not saved in this page")
    expect(menu).to_have_value(TABLE)


def test_without_the_model_the_reader_stays_where_they_were(opened):
    explorer = opened(explore_bytes("tiny"), live=False).locator(".oe-bytes")
    go(explorer, TABLE, 7, 3)
    before = value(explorer)
    explorer.get_by_label("Row, exactly").fill("2000")
    said = explorer.get_by_role("status")
    expect(said).to_contain_text(f"This page has rows 0 to 127 of {TABLE}")
    expect(explorer.get_by_label("Row", exact=True)).to_have_value("7")
    assert value(explorer) == before


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [280, 390, 616, 640, 1200])
def test_it_is_accessible_and_fits(page: Page, publish, width, theme):
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(publish(explore_bytes("tiny"), theme=theme).as_uri())
    explorer = page.locator(".oe-bytes")
    explorer.get_by_label("Tensor", exact=True).select_option(NORM)
    explorer.get_by_role("button", name="bit 14,").click()
    page.evaluate(DRAWN)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # The longest name is there whole, and nothing has collapsed.
    name = explorer.locator(".oe-whole span")
    assert name.inner_text() == NORM
    assert name.evaluate("n => n.scrollWidth <= n.clientWidth && n.scrollHeight <= n.clientHeight")
    parts = ".oe-bytes-bar, .oe-bytes-near, .oe-bytes-picture, .oe-bytes-strip, .oe-bytes-dump"
    for part in explorer.locator(parts).all():
        box = part.bounding_box()
        assert box["height"] >= 24 and box["width"] >= width - 80
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run('.oe-bytes', { resultTypes: ['violations'] })")
    assert not [(each["id"], each["nodes"][0]["html"]) for each in found["violations"]]
    if width < 640:
        for target in explorer.locator(".oe-button:visible, .oe-whole, input").all():
            assert target.bounding_box()["height"] >= 44


# -- in Python ------------------------------------------------------------------------------------


def test_python_knows_the_choice_and_refuses_others():
    explorer = explore_bytes("tiny")
    explorer.tensor, explorer.row, explorer.column = "model.norm.weight", 0, 5
    assert explorer.value == oe.Checkpoint("tiny").read("model.norm.weight")[5]
    with pytest.raises(OutOfRange, match=r"no row 2048\. It has 2048 rows"):
        explore_bytes("tiny", [TABLE], first_row=2048)
    with pytest.raises(traitlets.TraitError, match=r"no tensor 'model\.nrom'"):
        explorer.tensor = "model.nrom"


def test_python_sends_the_rows_that_are_asked_for(monkeypatch):
    explorer, sent = explore_bytes("tiny"), []
    monkeypatch.setattr(explorer, "send", lambda *message: sent.append(message))
    explorer._handle_custom_msg({"ask": "rows", "tensor": TABLE, "first": 1000}, [])
    (answer, [data]) = sent.pop()
    about = answer["about"]
    assert answer["answer"] == "rows" and (about["firstRow"], about["rows"]) == (1000, 128)
    assert data == oe.Checkpoint("tiny").read_bits(TABLE, rows=slice(1000, 1128)).tobytes()
    explorer._handle_custom_msg({"ask": "rows", "tensor": "w", "first": 0}, [])
    (answer,) = sent.pop()
    assert answer["answer"] == "no rows" and "has no tensor 'w'" in answer["why"]


def test_a_tensor_of_another_file_brings_that_file(tmp_path):
    write_random(tmp_path, shards=3)
    explorer = explore_bytes(tmp_path, "model.layers.0.self_attn.q_norm.weight")
    assert len(explorer.files) == 1
    explorer.tensor = "model.layers.3.self_attn.q_norm.weight"
    shard = oe.Checkpoint(tmp_path).tensor(explorer.tensor).shard
    assert explorer.tensor in [name for name, *_ in explorer.files[shard]]


def test_a_single_number_has_no_axes(tmp_path: Path):
    header = b'{"scale":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}'
    number = np.float32(1.5).tobytes()
    (tmp_path / "model.safetensors").write_bytes(framed(header) + number)
    explorer = explore_bytes(tmp_path, "scale")
    assert (explorer.tensors[0]["rows"], explorer.data, explorer.value) == (1, number, 1.5)
