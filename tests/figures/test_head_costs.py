"""The squares of all heads: as dark as the numbers say, and told in words."""

import re
from dataclasses import replace

import numpy as np
import pytest

from olmo_explain.checkpoint import read_config
from olmo_explain.figures import draw_head_costs

CONFIG = replace(
    read_config("tiny"),
    layer_types=("sliding_attention", "sliding_attention", "full_attention"),
)
WITHOUT = np.array([[0.8, 0.9], [0.04, 0.8], [0.5, 0.7]])
SAYS = [[" France", " France"], [" the", " France"], [" France", " France"]]
PICTURE = draw_head_costs(WITHOUT, SAYS, 0.8, " France", CONFIG, "tiny")
DRAWN = re.findall(r'fill="var\(--oe-accent[^"]*" fill-opacity="([\d.e-]+)"', PICTURE.svg)


def test_a_square_is_as_dark_as_what_is_lost():
    # Head by head, as they are drawn; one that only helps the answer stays empty.
    assert [float(it) for it in DRAWN] == pytest.approx([0, 0.95, 0.375, 0, 0, 0.125], abs=1e-3)


def test_a_number_and_a_word_stand_where_much_is_lost():
    words = re.findall(r">([^<>]+)</text>", PICTURE.svg)
    assert words[0].endswith("␣France's 80 %".replace("'", "&#x27;"))
    assert [word for word in words if word.endswith("%")][1:] == ["4 %", "50 %"]
    assert "␣the" in words and words.count("full") == 1


def test_alt_text_says_which_square_is_darkest():
    assert "The strongest square is head 0 of layer 1, a sliding layer" in PICTURE.alt
    assert "keeps 4.0 %, and ␣the comes first" in PICTURE.alt
    assert "Next come 50.0 % without head 0 of layer 2, 70.0 %" in PICTURE.alt
    assert "6 heads" in PICTURE.caption and "Model: tiny." in PICTURE.caption
