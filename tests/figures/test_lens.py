"""The lens: a row for each layer, bars as long as the answer's share, words that say the same."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from olmo_explain.figures import draw_lens
from olmo_explain.figures.lens import LONGEST

SHARES = np.array([[0.9, 0.1], [0.6, 0.4], [0.25, 0.75]])
WORDS = [" hence", " hence", " France"]


@pytest.fixture(scope="module")
def picture():
    return draw_lens(SHARES, WORDS, full=[1], model="tiny")


def texts(picture):
    return [it.text for it in ElementTree.fromstring(picture.svg).iter("text")]


def test_a_row_says_its_best_word_and_what_the_answer_has(picture):
    assert texts(picture)[3:] == [
        *("embedding", "␣hence", "90 %", "10 %"),
        *("layer 0", "␣hence", "60 %", "40 %"),
        *("layer 1 · full", "␣France", "75 %", "75 %"),
    ]
    assert texts(picture)[2] == "share of ␣France"


def test_a_bar_is_as_long_as_the_share(picture):
    bars = [
        float(it.get("width"))
        for it in ElementTree.fromstring(picture.svg).iter("rect")
        if "accent" in it.get("fill") and it.get("fill-opacity") == "1"
    ]
    assert bars == pytest.approx(LONGEST * SHARES[:, 1], rel=1e-3)


def test_only_where_the_answer_is_best_it_is_set_apart(picture):
    bold = [
        it.text
        for it in ElementTree.fromstring(picture.svg).iter("text")
        if it.get("font-weight") == "700"
    ]
    assert bold == ["␣France", "75 %"]


def test_the_alt_text_says_what_one_should_see(picture):
    assert "Model: tiny." in picture.caption
    assert picture.alt == (
        "The best word is “hence” from the embedding to layer 0, then “France” after layer 1. "
        "“France” gains most in layer 1, whose attention is full: from 40 % to 75 %."
    )


def test_a_layer_that_slides_is_not_called_full():
    assert "full" not in draw_lens(SHARES, WORDS, full=[0], model="tiny").alt


def test_small_shares_keep_a_digit_and_long_words_are_cut():
    shares = np.array([[0.995, 0.005], [0.0, 1.0]])
    drawn = draw_lens(shares, ["unquestionably", "<b>\n"], full=[], model="tiny")
    assert "0.5 %" in texts(drawn) and "100 %" in texts(drawn) and "0 %" not in texts(drawn)
    assert "unquestion…" in texts(drawn) and "<b>⏎" in texts(drawn)


def test_it_is_no_taller_than_a_picture_may_be():
    drawn = draw_lens(np.full((9, 2), 0.5), [" a"] * 9, full=[3, 7], model="tiny")
    assert float(re.search(r'viewBox="0 0 480 ([\d.]+)"', drawn.svg)[1]) <= 300
