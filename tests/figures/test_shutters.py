"""The shutters: how far each layer sees, as drawn and as said."""

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from olmo_explain.checkpoint import read_config
from olmo_explain.figures import draw_shutters
from olmo_explain.figures.shutters import LEFT, RIGHT

SEVEN, TINY = read_config("olmo3-7b"), read_config("tiny")


def open_parts(picture) -> list[float]:
    """The widths of what is open, from the first layer on."""
    boxes = ET.fromstring(picture.svg).findall("rect")
    assert len(boxes) % 2 == 0  # a shut part and an open one for each layer
    for shut, seen in zip(boxes[::2], boxes[1::2], strict=True):
        assert float(shut.get("width")) + float(seen.get("width")) == pytest.approx(
            RIGHT - LEFT, abs=0.1
        )
    return [float(seen.get("width")) for seen in boxes[1::2]]


def test_a_full_layer_is_open_to_its_end_and_a_sliding_one_over_its_window():
    widths = open_parts(draw_shutters(SEVEN, "7B config"))
    whole = RIGHT - LEFT
    assert [layer for layer, width in enumerate(widths) if width == whole] == list(range(3, 32, 4))
    assert min(widths) == pytest.approx(whole / 16, abs=0.1) and len(set(widths)) == 2


def test_it_says_what_it_shows():
    picture = draw_shutters(SEVEN, "7B config")
    assert picture.alt == (
        "32 rows, one for each layer. 8 are open over all 65,536 tokens; 24 only over the last "
        "4,096."
    )
    assert picture.caption.endswith("Model: 7B config.")


@pytest.mark.parametrize(
    ("at", "said"), [(9, "is seen by only layers 3 and 7."), (10, "is seen by every layer.")]
)
def test_a_token_is_seen_up_to_the_edge_of_the_window(at, said):
    words = ["word"] * 42
    words[at] = " France"
    picture = draw_shutters(TINY, "tiny", words, [at])
    assert picture.alt.endswith(f"France, {41 - at} tokens back, {said}")
    assert "␣France" in picture.svg


def test_where_no_layer_is_full_a_far_token_is_seen_by_none():
    blind = replace(TINY, layer_types=("sliding_attention",) * 8)
    assert draw_shutters(blind, "tiny", ["a"] * 40, [0]).alt.endswith("is seen by no layer.")


def test_a_text_within_the_window_leaves_every_shutter_open():
    picture = draw_shutters(TINY, "tiny", ["a"] * 11)
    assert len(set(open_parts(picture))) == 1
    assert picture.alt.endswith("8 are open over all 11 tokens.")
    assert "the last" not in picture.svg.replace("what the last token", "")
