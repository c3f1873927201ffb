"""Heat maps of norms: page colours, computed captions and alt text, one scale for all."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from olmo_explain.checkpoint import read_config
from olmo_explain.figures import plot_head_norms

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
    assert 'role="img"' in page and "currentColor" in page and "var(--oe-accent" in page
    ElementTree.fromstring(picture.svg)


def test_alt_text_says_what_is_drawn():
    assert "q_proj 1.00 to 2.00" in PICTURES["norms"]().alt
    assert "4 heat maps" in PICTURES["norms"]().alt


def squares(picture, strongest=False):
    """How many squares are drawn, or drawn in full green."""
    shade = 'fill-opacity="1"' if strongest else 'fill-opacity="'
    paths = re.findall(f'<path d="([^"]+)" fill="[^"]+" {shade}', picture.svg)
    return sum(path.count("z") for path in paths)


def test_one_scale_of_green_for_all():
    """o_proj has the largest norms here, q_proj the smallest."""
    assert 1 <= squares(PICTURES["norms"](), strongest=True) < 8
    assert squares(PICTURES["norms"]()) < 4 * 32
    assert 1 <= squares(PICTURES["one matrix"](), strongest=True) < 8


def test_the_norms_of_a_7b_are_a_light_picture():
    values = np.linspace(1, 2, 32 * 32, dtype="f4").reshape(32, 32)
    picture = plot_head_norms(dict.fromkeys(NORMS, values), read_config("olmo3-7b"), "7B")
    assert 0.99 * 4096 < squares(picture) < 4096  # the smallest are the ground itself
    assert len(picture.svg) < 150_000 and "full 31" in picture.svg


def test_norms_that_are_all_the_same_are_no_division_by_zero():
    ones = {"o_proj": np.ones((8, 4), dtype="f4")}
    assert "1.00 to 1.00" in plot_head_norms(ones, TINY, "tiny").alt


def test_a_picture_is_the_same_each_time():
    assert PICTURES["norms"]().svg == PICTURES["norms"]().svg
