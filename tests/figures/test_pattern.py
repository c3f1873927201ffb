"""A head's pattern: each share where it belongs, and an arc to what the last word looks at."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from olmo_explain.errors import UsageError
from olmo_explain.figures import draw_pattern
from olmo_explain.figures.drawing import ACCENT, WIDTH
from olmo_explain.figures.pattern import LOOKED_AT, MOST

TOKENS = [" the", " cat", ",", " the"]
# The last word looks at what came after the first "the".
PATTERN = np.array([[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0.25, 0.5, 0.25, 0], [0.02, 0.8, 0.1, 0.08]])


def drawn(pattern: np.ndarray, tokens: list[str]) -> ET.Element:
    return ET.fromstring(draw_pattern(pattern, tokens, "tiny", 7, 0).svg)


def arcs(root: ET.Element) -> list[float]:
    """Their widths."""
    paths = root.findall("path")
    return [float(path.get("stroke-width")) for path in paths if "C" in path.get("d")]


def test_a_cell_for_each_share_at_its_row_and_column():
    boxes = [box for box in drawn(PATTERN, TOKENS).findall("rect") if box.get("fill") == ACCENT]
    strengths: dict = {}
    for box in boxes:
        place = (float(box.get("y")), float(box.get("x")))
        strengths[place] = float(box.get("fill-opacity"))
    assert list(strengths.values()) == pytest.approx(PATTERN[PATTERN > 0] ** 0.6, abs=1e-3)
    assert list(strengths) == sorted(strengths)  # row by row, and in each from left to right
    assert {box.get("width") for box in boxes} == {box.get("height") for box in boxes}


def test_an_arc_for_each_word_that_the_last_one_looks_at_the_widest_for_the_largest_share():
    root = drawn(PATTERN, TOKENS)
    looked_at = sorted(share for share in PATTERN[-1, :-1] if share >= LOOKED_AT)
    widths = arcs(root)
    assert len(widths) == len(looked_at) == 2 and widths == sorted(widths)
    said = [text.text for text in root.findall("text")]
    assert "80 %" in said and "10 %" in said and "the same word: 2 %" in said
    assert [word for word in said if "%" not in word] == ["␣the", "␣cat", ",", "␣the"]


def test_the_words_say_what_one_should_see():
    picture = draw_pattern(PATTERN, TOKENS, "tiny", 7, 0)
    assert "gives 80 % of its attention to cat" in picture.alt
    assert "right after the same word earlier, which itself gets 2 %" in picture.alt
    assert picture.caption.endswith("Model: tiny, layer 7, head 0.")
    elsewhere = draw_pattern(PATTERN[:3, :3], TOKENS[:3], "tiny", 7, 0)
    assert "same word" not in elsewhere.alt + elsewhere.svg


def test_of_a_long_text_what_is_looked_at_is_kept():
    count, seen = 60, 7
    pattern = np.tril(np.full((count, count), 0.1 / count))
    pattern[-1, seen] = 0.9
    tokens = [f" w{at}" for at in range(count)]
    picture = draw_pattern(pattern, tokens, "tiny", 7, 0)
    names = re.findall(r">␣(w\d+)<", picture.svg)
    assert len(names) == MOST and {"w6", "w7", "w58", "w59"} <= set(names)
    assert "90 %" in picture.svg and picture.caption.endswith(f"{MOST} of {count} tokens.")


@pytest.mark.parametrize("count", [1, 2, 11, 40])
def test_nothing_lies_outside_its_frame(count):
    pattern = np.tril(np.ones((count, count))) / np.arange(1, count + 1)[:, None]
    root = drawn(pattern, [" wherefore"] * count)
    _, _, width, height = map(float, root.get("viewBox").split())
    assert width == WIDTH and height <= 340
    for box in root.findall("rect"):
        x, y, w, h = (float(box.get(side)) for side in ("x", "y", "width", "height"))
        assert x >= 0 and y >= 0 and x + w <= width and y + h <= height
    assert all(0 < float(text.get("y")) < height for text in root.findall("text"))


def test_a_pattern_of_other_tokens_is_refused():
    with pytest.raises(UsageError, match="4 tokens need a pattern of as many rows and columns"):
        draw_pattern(PATTERN[:3, :3], TOKENS, "tiny", 7, 0)
