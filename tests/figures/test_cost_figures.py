"""Figures of costs: accessible as every picture, and captions that say what was counted."""

from xml.etree import ElementTree

import pytest

from olmo_explain.checkpoint import read_config
from olmo_explain.costs import Roofline, count_costs
from olmo_explain.figures import plot_attention_share, plot_costs_by_operation, plot_roofline
from olmo_explain.figures.style import INK

SEVEN = read_config("olmo3-7b")
MACHINE = Roofline("bfloat16", threads=2, flops_per_second=1e12, bytes_per_second=2e10)
PICTURES = {
    "operations": lambda: plot_costs_by_operation(count_costs(SEVEN, 64), "7B config"),
    "share": lambda: plot_attention_share(SEVEN, "7B config"),
    "roofline": lambda: plot_roofline(
        MACHINE,
        {
            "prefill of 4,096": count_costs(SEVEN, 4096),
            "decoding": count_costs(SEVEN, 4096, decode=True),
        },
        "7B config",
    ),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_accessible_and_takes_the_pages_colours(name):
    picture = PICTURES[name]()
    page = picture._repr_html_()
    assert "Model: 7B config" in picture.caption and picture.alt in page.replace("&#x27;", "'")
    assert 'role="img"' in page and INK not in page
    ElementTree.fromstring(picture.svg)


def test_alt_text_says_what_is_drawn():
    operations = PICTURES["operations"]()
    assert "441,825,361,920 multiply-accumulates" in operations.caption
    assert "1,073,741,824, 0.2%" in operations.alt
    share = PICTURES["share"]().alt
    assert "in a sliding layer, full square at 24,704" in share and "windowed never" in share
    assert "in the model, full square at 24,704, causal at 49,407, windowed at 173,346" in share
    roofline = PICTURES["roofline"]()
    assert "prefill of 4,096: 0 of 7 Linear modules wait for memory" in roofline.alt
    assert "decoding: 7 of 7 Linear modules wait for memory" in roofline.alt
    assert "1,000 GFLOP/s" in roofline.caption and "50.0 FLOPs a byte" in roofline.caption


@pytest.mark.parametrize("passes", [1, 4, 7])
def test_a_roofline_takes_any_number_of_passes(passes):
    costs = {f"prefill of {2**n}": count_costs(SEVEN, 2**n) for n in range(passes)}
    alt = plot_roofline(MACHINE, costs, "7B config").alt
    assert alt.count("Linear modules wait for memory") == passes


def test_a_picture_is_the_same_each_time():
    assert PICTURES["share"]().svg == PICTURES["share"]().svg
