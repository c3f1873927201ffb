"""Figures of costs: accessible as every picture, and captions that say what was counted."""

from xml.etree import ElementTree

import pytest

from olmo_explain.checkpoint import read_config
from olmo_explain.costs import Roofline, Timed, count_costs
from olmo_explain.figures import plot_attention_share, plot_roofline

SEVEN = read_config("olmo3-7b")
MACHINE = Roofline("bfloat16", threads=2, flops_per_second=1e12, bytes_per_second=2e10)
TIMED = [Timed(1, 1.0, 1.5e10), Timed(1024, 512.0, 8e11)]
PICTURES = {
    "share": lambda: plot_attention_share(SEVEN, "7B config"),
    "roofline": lambda: plot_roofline(
        MACHINE,
        {
            "prefill of 4,096": count_costs(SEVEN, 4096),
            "decoding": count_costs(SEVEN, 4096, decode=True),
        },
        "7B config",
        TIMED,
    ),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_accessible_and_takes_the_pages_colours(name):
    picture = PICTURES[name]()
    page = picture._repr_html_()
    assert "Model: 7B config" in picture.caption and picture.alt in page.replace("&#x27;", "'")
    assert 'role="img"' in page and "var(--oe-accent" in page
    ElementTree.fromstring(picture.svg)


def test_alt_text_says_what_is_drawn():
    share = PICTURES["share"]().alt
    assert "in a full layer at 49,407, in the model at 173,346, in a sliding layer never" in share
    square = plot_attention_share(SEVEN, "7B config", "full")
    assert "in the model at 24,704" in square.alt and "full square" in square.caption
    roofline = PICTURES["roofline"]()
    assert "prefill of 4,096: 0 of 7 Linear modules wait for memory" in roofline.alt
    assert "decoding: 7 of 7 Linear modules wait for memory" in roofline.alt
    assert "GFLOP/s by rows: 1: 15, 1,024: 800" in roofline.alt
    assert "1,000 GFLOP/s" in roofline.caption and "50.0 FLOPs for each byte" in roofline.caption


@pytest.mark.parametrize("passes", [1, 4, 7])
def test_a_roofline_takes_any_number_of_passes(passes):
    costs = {f"prefill of {2**n}": count_costs(SEVEN, 2**n) for n in range(passes)}
    alt = plot_roofline(MACHINE, costs, "7B config").alt
    assert alt.count("Linear modules wait for memory") == passes


def test_a_picture_is_the_same_each_time():
    assert PICTURES["share"]().svg == PICTURES["share"]().svg
