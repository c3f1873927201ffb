"""Figures: page colours, computed captions and alt text, no clash of ids on one page."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from olmo_explain.checkpoint import read_config
from olmo_explain.figures import plot_head_norms
from olmo_explain.figures.style import INK

TINY = read_config("tiny")
NORMS = {
    name: np.linspace(1, 2, 32, dtype="f4").reshape(8, 4) + i
    for i, name in enumerate(("q_proj", "k_proj", "v_proj", "o_proj"))
}
PICTURES = {
    "norms": lambda: plot_head_norms(NORMS, TINY, "tiny"),
    "one matrix": lambda: plot_head_norms({"o_proj": NORMS["o_proj"]}, TINY, "tiny"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_accessible_and_takes_the_pages_colours(name):
    picture = PICTURES[name]()
    page = picture._repr_html_()
    assert "Model: " in picture.caption and picture.alt in page.replace("&#x27;", "'")
    assert 'role="img"' in page and "currentColor" in page
    assert INK not in page and "fill: #000000" not in page and "#ffffff" not in page
    ElementTree.fromstring(picture.svg)


def test_alt_text_says_what_is_drawn():
    assert "q_proj 1.00 to 2.00" in PICTURES["norms"]().alt
    assert "4 heat maps" in PICTURES["norms"]().alt


def test_ids_of_two_pictures_differ():
    first, second = (
        set(re.findall(r'id="([^"]+)"', PICTURES[name]().svg)) for name in ("norms", "one matrix")
    )
    assert first and not first & second


def test_a_picture_is_the_same_each_time():
    assert PICTURES["norms"]().svg == PICTURES["norms"]().svg
