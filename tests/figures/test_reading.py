"""Reading beside writing: equal bytes, and a block of arithmetic for each token."""

import re

import pytest

from olmo_explain.checkpoint import read_config
from olmo_explain.costs import count_costs
from olmo_explain.figures import draw_reading
from olmo_explain.figures.drawing import ACCENT

SEVEN = read_config("olmo3-7b")


def bars(svg: str) -> tuple[list[float], list[float]]:
    """Widths of the blocks of arithmetic, and of the bars of bytes."""
    found = re.findall(r'<rect [^>]*width="([\d.]+)" [^>]*fill="([^"]+)"', svg)
    return tuple(
        [float(width) for width, fill in found if (fill == ACCENT) == arithmetic]
        for arithmetic in (True, False)
    )


@pytest.mark.parametrize("tokens", [1, 11, 40])
def test_a_block_for_each_token_and_bytes_as_long(tokens):
    writing = count_costs(SEVEN, tokens + 1, decode=True)
    picture = draw_reading(count_costs(SEVEN, tokens), writing, "7B config")
    blocks, moved = bars(picture.svg)
    assert len(blocks) == tokens + 1
    assert blocks == pytest.approx([blocks[0]] * len(blocks), rel=0.01)
    assert len(moved) == 2 and moved[0] == pytest.approx(moved[1], rel=0.01)
    assert f"{tokens:.1f} times as much" in picture.alt


def test_it_says_what_a_word_takes():
    picture = draw_reading(count_costs(SEVEN, 11), count_costs(SEVEN, 12, decode=True), "7B config")
    for said in ("151.5 GFLOP", "13.77 GFLOP", "13.77 GB"):
        assert f">{said}</text>" in picture.svg
    assert "Model: 7B config" in picture.caption and "bfloat16" in picture.caption
