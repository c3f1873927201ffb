"""The file as a bar, opened to a row: at the bytes where the row lies."""

import re
import xml.etree.ElementTree as ET

import pytest

from olmo_explain.checkpoint import Checkpoint, preset
from olmo_explain.figures import draw_file_bar
from olmo_explain.figures.file_bar import FILE, LEFT, RIGHT, ROW, TENSOR

TABLE, ROW_NUMBER = "model.embed_tokens.weight", 1101
CHECKPOINT = Checkpoint("tiny")
DATA = (preset("tiny").directory / "model.safetensors").read_bytes()


@pytest.fixture
def picture():
    return draw_file_bar(CHECKPOINT, TABLE, ROW_NUMBER, "tiny", " France")


def boxes(picture, y) -> list[tuple[float, float, float]]:
    """Left edge, width and strength of what is drawn in the bar that begins at y."""
    found = ET.fromstring(picture.svg).findall("rect")
    return [
        (float(box.get("x")), float(box.get("width")), float(box.get("fill-opacity")))
        for box in found
        if float(box.get("y")) == y
    ]


def test_it_says_the_size_of_the_file_and_where_the_row_lies(picture):
    begin, end = CHECKPOINT.locate(TABLE, rows=slice(ROW_NUMBER, ROW_NUMBER + 1)).byte_ranges[0]
    for said in (f"{len(DATA):,} bytes", f"{begin:,}", f"{end - 1:,}"):
        assert said in picture.svg and said in picture.alt
    assert f"two bytes, {DATA[begin : begin + 2].hex(' ')}" in picture.svg
    assert "Model: tiny." in picture.caption


def test_the_parts_of_the_file_are_as_long_as_their_bytes(picture):
    *parts, header = boxes(picture, FILE)
    lit = [(x, width) for x, width, strength in parts if strength == 1]
    table = CHECKPOINT.tensor(TABLE)
    scale = (RIGHT - LEFT) / len(DATA)
    assert lit == [
        (
            pytest.approx(LEFT + table.start * scale + 0.75, abs=0.1),
            pytest.approx((table.end - table.start) * scale - 1.5, abs=0.1),
        )
    ]
    assert len(parts) == 8 + 3 and header[2] == 0.9  # layers, two tables, a norm


def test_the_row_is_marked_in_the_tensor_and_its_numbers_are_drawn(picture):
    _, (x, width, _) = boxes(picture, TENSOR)
    assert (x + width / 2 - LEFT) / (RIGHT - LEFT) == pytest.approx(1101.5 / 2048, abs=1e-3)
    strengths = [strength for _, _, strength in boxes(picture, ROW)]
    values = abs(CHECKPOINT.read(TABLE, rows=slice(ROW_NUMBER, ROW_NUMBER + 1))[0])
    assert strengths == pytest.approx((values / values.max()) ** 0.6, abs=1e-3)


def test_every_layer_has_its_number(picture):
    labels = re.findall(r">(\d)</text>", picture.svg)
    assert labels == [str(layer) for layer in range(8)]
