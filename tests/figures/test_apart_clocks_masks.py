"""Curves over distance, clocks and masks: what is drawn is what was measured."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from olmo_explain.figures import draw_apart, draw_clocks, draw_masks, draw_scores
from olmo_explain.figures.apart import BOTTOM
from olmo_explain.figures.chart import BETWEEN, Chart, spread
from olmo_explain.figures.drawing import ACCENT

SHARES = {"per-layer": [0.75, 0.5, 0.25], "yarn-lost": [0.7, 0.1, 0.0]}
TURNS = {"default\nat 8": [1304.0, 1.0, 0.75, 0.25], "YaRN\nat 64": [0.0, 6.05, 0.5, 0.002]}
FULL = np.tril(np.ones((6, 6), bool))
MASKS = {"full layers": FULL, "sliding layers": FULL & ~np.tril(FULL, -3)}
PICTURES = {
    "apart": lambda: draw_apart([7, 38, 54], SHARES, 32, "tiny"),
    "scores": lambda: draw_scores({"a": [9.0, 16.4, -17.0], "b": [4, 4, 4]}, "tiny", "Scores."),
    "clocks": lambda: draw_clocks(TURNS, [0, 1, 2, 3], "7B config", "Pairs."),
    "masks": lambda: draw_masks(MASKS, [*"abcde", " f"], key=1, model="tiny"),
}


def heights(svg: str, colour: str) -> list[float]:
    return [float(y) for y in re.findall(rf'cy="([\d.]+)" r="[\d.]+" fill="{colour}"', svg)]


@pytest.mark.parametrize("name", PICTURES)
def test_it_is_accessible_and_takes_the_pages_colours(name):
    picture = PICTURES[name]()
    assert "Model: " in picture.caption and picture.alt
    assert "currentColor" in picture.svg and ACCENT in picture.svg
    assert float(re.search(r'viewBox="0 0 480 ([\d.]+)"', picture.svg)[1]) <= 300
    assert min(map(float, re.findall(r'font-size="([\d.]+)"', picture.svg))) >= 13.5
    ElementTree.fromstring(picture.svg)


def test_dots_stand_as_high_as_their_shares():
    picture = PICTURES["apart"]()
    for y, share in zip(heights(picture.svg, re.escape(ACCENT)), SHARES["per-layer"], strict=True):
        assert y == pytest.approx(BOTTOM - share * (BOTTOM - Chart.top), abs=0.1)
    assert "as designed: 75.0 % at 7, 50.0 % at 38, 25.0 % at 54; YaRN lost: 70.0 %" in picture.alt
    assert ">50 %<" in picture.svg and ">10 %<" in picture.svg  # the first beyond the window


@pytest.mark.parametrize("wished", [[100, 104, 30], [200, 201, 202], [34, 34, 34], [50, 90]])
def test_names_at_the_ends_of_curves_do_not_overlap(wished):
    found = spread(wished, Chart.top, BOTTOM)
    assert np.diff(sorted(found)).min() >= BETWEEN
    assert min(found) >= Chart.top and max(found) <= BOTTOM
    assert np.argsort(found, kind="stable").tolist() == np.argsort(wished, kind="stable").tolist()


def test_the_top_of_the_first_curve_is_marked():
    picture = PICTURES["scores"]()
    assert ">16.4 at 1<" in picture.svg
    assert "a: highest at distance 1, 16.4, and never below −17.0. b: highest" in picture.alt


def test_only_whole_turns_fill_a_clock():
    picture = PICTURES["clocks"]()
    assert len(re.findall(r'fill-opacity="0.45" stroke="none"', picture.svg)) == 3
    assert len(re.findall("<path[^>]+Z", picture.svg)) == 5
    for turns in ("1,304", "1.0", "0.75", "6.0", "0.00"):
        assert f">{turns}<" in picture.svg
    assert "default at 8: 1,304, 1.0, 0.75, 0.25; YaRN at 64: 0.00, 6.0" in picture.alt


def test_a_hand_points_where_its_pair_has_turned():
    svg = draw_clocks({"now": [0.25]}, [0], "tiny", "A pair.").svg
    (hand,) = re.findall(r'd="M([^"A]+)" fill="none"', svg)
    (x, y), (tip_x, tip_y) = (map(float, end.split()) for end in hand.split("L"))
    assert tip_x > x and tip_y == pytest.approx(y, abs=0.01)


def test_masks_say_what_the_last_word_sees():
    picture = PICTURES["masks"]()
    assert "full layers: the last word, ␣f, sees 6 of 6 words, and b is one of them" in picture.alt
    assert "sliding layers: the last word, ␣f, sees 3 of 6 words, and b is none" in picture.alt
    widths = [float(w) for w in re.findall(r"h([\d.]+)v", picture.svg)]
    assert len(widths) == 12 and widths[5] == pytest.approx(2 * widths[11], rel=1e-3)
    assert ">sees b<" in picture.svg and ">b is out of sight<" in picture.svg


def test_a_mask_with_a_gap_is_refused():
    gap = FULL.copy()
    gap[4, 2] = False
    with pytest.raises(AssertionError, match="lies together"):
        draw_masks({"a": FULL, "b": gap}, list("abcdef"), key=0, model="tiny")
