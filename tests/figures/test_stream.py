"""The stream: a point for each size, two bars for each layer, and what one should see."""

from xml.etree import ElementTree

import pytest

from olmo_explain.figures import draw_stream

SIZES, ATTENTION, MLP = [0.2, 0.5, 0.9, 1.4], [0.1, 0.3, 0.8], [0.2, 0.4, 0.6]


@pytest.fixture(scope="module")
def picture():
    return draw_stream(SIZES, ATTENTION, MLP, 2.5, token=" from", full=[2], model="tiny")


def test_it_says_who_speaks_loudest(picture):
    assert "grows from 0.20 to 1.40 in 3 layers, and the final norm makes it 2.50" in picture.alt
    assert "Attention of layer 2 adds the most, 0.80; no other attention adds more than 0.30" in (
        picture.alt
    )
    assert "The MLPs add 0.20 to 0.60" in picture.alt
    assert "“␣from”" in picture.caption and "Model: tiny." in picture.caption


def test_bars_and_points_stand_as_high_as_the_numbers(picture):
    svg = ElementTree.fromstring(picture.svg)
    heights = [float(r.attrib["height"]) for r in svg.iter("rect") if float(r.attrib["y"]) > 150]
    adds = [value for pair in zip(ATTENTION, MLP, strict=True) for value in pair]
    assert [h / max(heights) for h in heights[-6:]] == pytest.approx(
        [a / 0.8 for a in adds], abs=0.01
    )
    (normed,) = (float(r.attrib["height"]) for r in svg.iter("rect") if float(r.attrib["y"]) < 100)
    points = [122 - float(c.attrib["cy"]) for c in svg.iter("circle")]
    assert points == pytest.approx([size / 2.5 * normed for size in SIZES], abs=0.1)


def test_full_layers_are_named(picture):
    words = [t.text for t in ElementTree.fromstring(picture.svg).iter("text")]
    assert words.count("full") == 1 and words[words.index("full") - 1] == "2"
