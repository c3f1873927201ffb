"""One number being made: what is drawn is what is multiplied and added up."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from olmo_explain.figures import draw_dot_product


def drawn(x, row):
    x, row = np.array(x, "f4"), np.array(row, "f4")
    return draw_dot_product(x, row, token=" a", name="q_proj", output=5, model="tiny")


def bars(picture):
    """Of the rectangles the bars: those that are as wide as a bar, three rows of them."""
    rects = [r.attrib for r in ElementTree.fromstring(picture.svg).iter("rect")][1:]
    return [(float(r["height"]), "accent" in r["fill"]) for r in rects]


def test_its_sum_is_the_dot_product():
    picture = drawn([1, 2, -3], [0.5, 0.25, 0.5])
    assert picture.alt.endswith("Added from left to right they come to −0.50: that is output 5.")
    assert "2 products are above zero, 1 are not" in picture.alt
    assert "The largest is −3.00 × 0.50 = −1.50, at number 2" in picture.alt
    assert "Model: tiny." in picture.caption and "“␣a”" in picture.caption
    assert re.findall(r">(−?\d\.\d\d)<", picture.svg) == ["−3.00", "0.50", "−1.50", "−0.50"]


def test_bars_are_as_long_as_the_numbers_and_lit_above_zero():
    found = bars(drawn([1, 2, -3], [0.5, 0.25, 0.5]))
    for row, numbers in zip((found[:3], found[3:6], found[6:]), ROWS, strict=True):
        longest = max(map(abs, numbers))
        assert [lit for _, lit in row] == [number > 0 for number in numbers]
        high = [height / max(h for h, _ in row) for height, _ in row]
        assert high == pytest.approx([abs(number) / longest for number in numbers], abs=1e-3)


ROWS = ((1, 2, -3), (0.5, 0.25, 0.5), (0.5, 0.5, -1.5))


def test_of_nothing_nothing_is_made():
    assert "come to 0.00" in drawn([0, 0], [0, 0]).alt
