"""The lookup: an arrow for each token, to its own row."""

import re

import pytest

from olmo_explain.figures import draw_lookup
from olmo_explain.figures.lookup import TABLE

IDS, WORDS = [5, 9, 5, 0], [" a", "b", " a", "\n"]


def ends(picture) -> list[float]:
    """The heights at which the arrows reach the table, in the order of drawing."""
    return [float(y) for y in re.findall(rf"C[^\"]* {TABLE} ([\d.]+)\"", picture.svg)]


def test_the_same_token_lands_on_the_same_row():
    picture = draw_lookup(IDS, WORDS, 16, "tiny")
    found = ends(picture)
    assert len(found) == 4 and len(set(found)) == 3
    assert found[2] == found[3]  # those that come twice are drawn last
    assert "␣a ×2" in picture.svg and "⏎" in picture.svg


def test_rows_lie_in_the_order_of_their_numbers():
    first, second = ends(draw_lookup([3, 12], ["a", "b"], 16, "tiny"))
    assert second - first == pytest.approx(9 / 16 * 160, abs=0.1)


def test_it_says_what_it_shows():
    picture = draw_lookup(IDS, WORDS, 16, "tiny")
    assert picture.caption == "4 tokens look up 3 rows of 16. Model: tiny."
    assert picture.alt.endswith("On one row land: ␣a at 0 and 2.")
    assert draw_lookup([1, 2], ["a", "b"], 16, "t").alt.endswith("No two land on one row.")
