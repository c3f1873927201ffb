"""Neurons: a bar for each, the largest tenth lit; and a tick for each gate."""

from xml.etree import ElementTree

import numpy as np

from olmo_explain.figures import draw_gate, draw_neurons

WRITES = np.array([1.0] * 18 + [6.0, 3.0])  # a tenth of 20 is two: 9 of 27


def test_a_tenth_is_lit_and_its_share_said():
    picture = draw_neurons(WRITES, layer=3, token=" from", model="tiny")
    svg = ElementTree.fromstring(picture.svg)
    bars = [rect.attrib for rect in svg.iter("rect")]
    assert [("accent" in bar["fill"]) for bar in bars] == [True] * 2 + [False] * 18
    heights = [float(bar["height"]) for bar in bars]
    assert heights == sorted(heights, reverse=True) and round(heights[0] / heights[-1], 2) == 6
    assert "33 %" in picture.svg and "67 %" in picture.svg
    assert "The first 2, a tenth, do 33 % of the writing" in picture.alt
    assert "The largest is 6.00, the middle one 1.00" in picture.alt
    assert "layer 3" in picture.caption and "Model: tiny." in picture.caption


def test_gates_are_counted_on_both_sides_of_zero():
    picture = draw_gate(np.array([-9.0, -1, 0, 2]), layer=3, token=" from", model="tiny")
    assert "Of 4 gates 3 are at zero or below, from −9.00 to 2.00" in picture.alt
    words = [text.text for text in ElementTree.fromstring(picture.svg).iter("text")]
    assert "3 gates at zero or below" in words and "1 above" in words


def test_what_lies_beyond_the_curve_stands_at_its_edge():
    picture = draw_gate(np.array([-9.0, 9.0]), layer=0, token="a", model="tiny")
    assert 'd="M8 182V202"' in picture.svg and 'd="M472 182V202"' in picture.svg
