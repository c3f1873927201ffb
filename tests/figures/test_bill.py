"""The bill: its bars are to one scale, it adds up, and it says who pays most."""

import math
import re
from xml.etree import ElementTree

import pytest

from olmo_explain.figures import draw_bill
from olmo_explain.figures.drawing import WIDTH

ATTENTION, MLP = [-0.5, 4.0], [0.25, -0.25]


@pytest.fixture(scope="module")
def picture():
    return draw_bill(-1.0, ATTENTION, MLP, " France", " hence", "tiny")


def elements(picture, kind):
    return list(ElementTree.fromstring(picture.svg).iter(kind))


def test_every_payment_is_drawn_to_one_scale(picture):
    bars = elements(picture, "rect")
    amounts = [-1.0, *ATTENTION, *MLP]
    signed = [float(it.get("width")) * (1 if "accent" in it.get("fill") else -1) for it in bars]
    scale = signed[2] / 4.0
    assert scale > 0
    assert signed == pytest.approx([amount * scale for amount in amounts], rel=1e-3)


def test_bars_begin_at_the_zero_of_their_column(picture):
    zeros = [float(re.match(r"M([\d.]+) ", it.get("d"))[1]) for it in elements(picture, "path")]
    for at, bar in enumerate(elements(picture, "rect")):
        left, width = float(bar.get("x")), float(bar.get("width"))
        zero = left if "accent" in bar.get("fill") else left + width
        assert zero == pytest.approx(zeros[0] if at < 3 else zeros[1], abs=0.1)


def test_numbers_stand_inside_the_picture(picture):
    for it in elements(picture, "text"):
        x, wide = float(it.get("x")), 8.2 * len(it.text)
        begins = {"start": x, "end": x - wide, "middle": x - wide / 2}[it.get("text-anchor")]
        assert begins >= -1 and begins + wide <= WIDTH + 1, it.text


def test_it_says_the_sum_and_what_it_means(picture):
    said = [it.text for it in elements(picture, "text")]
    assert "together +2.50" in said
    assert f"␣France is {math.exp(2.5):.0f} × as likely as ␣hence" in said
    assert {"−1.00", "−0.50", "+4.00", "+0.25", "−0.25"} <= set(said)


def test_who_is_behind_is_said_to_be_behind():
    said = [it.text for it in elements(draw_bill(-1, [0], [0], " a", " b", "tiny"), "text")]
    assert "␣b is 2.7 × as likely as ␣a" in said and "together −1.00" in said


def test_the_alt_text_says_what_one_should_see(picture):
    assert "Model: tiny." in picture.caption and "divisor held" in picture.caption
    assert picture.alt == (
        "5 bars that add up to +2.50, the lead of “France” over “hence”. Most comes from attention "
        "in layer 1, +4.00, then from the MLP in layer 0, +0.25; the embedding speaks most against "
        "it, −1.00."
    )


def test_nothing_to_pay_is_drawn_too():
    assert "+0.00" in draw_bill(0, [0], [0], "a", "b", "none").svg


def test_it_is_no_taller_than_a_picture_may_be():
    svg = draw_bill(0, [1] * 8, [1] * 8, "a", "b", "tiny").svg
    assert float(re.search(r'viewBox="0 0 480 ([\d.]+)"', svg)[1]) <= 300
