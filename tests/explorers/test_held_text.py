"""The text of an explorer, as Python holds it: set it, and all that follows from it moves."""

import pytest
import traitlets

import olmo_explain as oe
from olmo_explain.explorers.looking import LONGEST
from olmo_explain.explorers.shared import pieces

OWN = "What news from France? I say, what news from"


def test_python_sets_the_text_and_everything_follows(tiny):
    explorer = oe.explore_heads("tiny", layer=7, head=2)
    explorer.text = OWN
    expected = oe.explore_heads("tiny", OWN)
    assert (explorer.tokens, explorer.query) == (expected.tokens, 10)
    assert explorer.patterns == expected.patterns
    explorer.query = 5
    explorer.text = "To be, or not"
    assert (len(explorer.tokens), explorer.query) == (5, 4)
    explorer.text = explorer.own_text
    assert len(explorer.tokens) == 11


def test_python_walks_through_the_steps_of_another_text():
    explorer = oe.explore_steps("tiny", layer=3, step="pattern")
    explorer.token = explorer.number = 4
    explorer.text = "To be"
    expected = oe.explore_steps("tiny", "To be", layer=3, step="pattern")
    assert explorer.data == expected.data and explorer.steps == expected.steps
    assert all(all(layer) for layer in explorer.equal)
    assert (explorer.token, explorer.number) == (1, 1)
    expected.token = expected.number = 1
    assert explorer.value == expected.value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "The prompt holds no token. Give at least one."),
        ("a\ud800", "The text holds half a surrogate pair. Give whole letters."),
        (5, "expected a unicode string"),
    ],
)
def test_a_text_that_cannot_be_read_is_refused_and_changes_nothing(text, said):
    heads = oe.explore_heads("tiny")
    before = heads.text, heads.tokens, heads.patterns
    with pytest.raises(traitlets.TraitError, match=said):
        heads.text = text
    assert (heads.text, heads.tokens, heads.patterns) == before


def test_ids_have_no_text_to_change():
    for explorer in (oe.explore_heads("tiny", [5, 6, 7]), oe.explore_heads("tiny", None)):
        assert explorer.text == explorer.own_text == ""
        with pytest.raises(traitlets.TraitError, match="made without a text"):
            explorer.text = "a"


def test_of_a_long_text_python_reads_the_same(tiny):
    text = "word of mouth " * 357
    explorer = oe.explore_heads("tiny")
    explorer.text = text
    whole = tiny[1](text)["input_ids"]
    assert explorer.tokens == pieces(tiny[1], whole[-LONGEST:])
    assert explorer.dropped == len(whole) - LONGEST
