"""A head's history as a picture: against steps where they rise, else by the revisions' names."""

import math
from xml.etree import ElementTree

import pytest

from olmo_explain.checkpoint import HeadHistory, HeadMoment
from olmo_explain.figures import plot_history

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj")


def history(*names: str, projections=PROJECTIONS) -> HeadHistory:
    moments = [
        HeadMoment(
            name,
            "0" * 40,
            dict.fromkeys(projections, 14.5 + number),
            dict.fromkeys(projections, 1 - 0.1 * number),
        )
        for number, name in enumerate(names)
    ]
    return HeadHistory("someone/olmo", 17, 27, moments, {}, 0, 0)


def drawn(*names: str, **options) -> str:
    picture = plot_history(history(*names, **options))
    page = picture._repr_html_()
    assert "currentColor" in page and "nan" not in picture.svg and 'role="img"' in page
    ElementTree.fromstring(picture.svg)
    return picture.svg


def test_steps_that_rise_are_the_axis():
    svg = drawn("stage1-step1000", "stage1-step5000", "stage1-step143000")
    assert "training step" in svg and "stage1-step5000" not in svg


@pytest.mark.parametrize(
    "names",
    [
        ("main", "step1000"),
        ("1-step9000", "2-step1000"),  # counted anew
        ("1-step1000", "2-step1000"),
    ],
)
def test_else_the_names_are(names):
    svg = drawn(*names)
    assert "training step" not in svg and all(f">{name}<" in svg for name in names)


def test_of_many_names_the_first_and_the_last_are_written_and_of_long_ones_the_end():
    svg = drawn(*(f"revision-{number}" for number in range(49)), "of-all-the-one-that-is-last")
    assert svg.count(">revision-0<") == svg.count(">…ne-that-is-last<") == 2
    assert ">revision-1<" not in svg


def test_one_revision_and_one_projection():
    svg = drawn("main", projections=("v_proj",))
    assert "v_proj" in svg and "q_proj" not in svg


def test_what_is_no_number_is_left_out():
    found = history("a", "b", "c")
    found.revisions[1].norms["q_proj"] = math.inf
    for moment in found.revisions:
        moment.cosine_to_first["v_proj"] = math.nan
    svg = plot_history(found).svg
    assert "nan" not in svg and "inf" not in svg
    assert svg.count(">q_proj<") == 2 and svg.count(">v_proj<") == 1


def test_each_point_stands_where_its_numbers_say():
    """The norms 14.5 and 16.5 are the ends of their axis, 15.5 is half way; so are the steps."""
    svg = drawn("step0", "step500", "step1000", projections=("q_proj",))
    assert '<path d="M60 204L227 119L394 34"' in svg
    assert '<path d="M60 296L227' in svg  # the cosine begins at 1, on top


def test_what_the_picture_says():
    picture = plot_history(history("a", "b", "c", projections=("q_proj",)))
    assert picture.caption.startswith("Norms of head 27 in layer 17")
    assert "Model: someone/olmo." in picture.caption
    assert "3 revisions, a to c. Norms: q_proj 14.50 to 16.50." in picture.alt
    assert "Cosines: q_proj 1.00 to 0.80." in picture.alt
