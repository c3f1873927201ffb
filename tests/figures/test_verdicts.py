"""A square for each statement, sorted by what went wrong."""

from olmo_explain.figures import draw_verdicts

PICTURE = draw_verdicts(30, {"the unit": ["a", "b"], "the order": ["c"]}, 4, "a report.")


def test_there_is_a_square_for_each_statement():
    assert PICTURE.svg.count("<rect ") == 30 + 3 + 4
    assert PICTURE.svg.count('stroke="currentColor"') == 4  # recorded: an outline


def test_they_are_counted_in_words():
    for words in ("30 hold", "3 needed correcting", "4 only recorded", "the unit", ">2<", ">1<"):
        assert words in PICTURE.svg
    assert PICTURE.caption == "The 37 statements of a report."
    assert "30 are pale" in PICTURE.alt and "the unit 2, the order 1" in PICTURE.alt
