"""A head in four matrices: each band where its slice says, as wide as it is."""

import re

import pytest

from olmo_explain.checkpoint import head_slices, read_config
from olmo_explain.figures import draw_bands

SEVEN, BIG = read_config("olmo3-7b"), read_config("olmo3-32b")
LIT = re.compile(
    r'<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)" rx="0" fill="var'
)


def test_rows_are_bands_and_columns_stripes():
    svg = draw_bands(head_slices(SEVEN, 17, 27), SEVEN, {}, "7B config").svg
    *rows, (_, _, width, height) = [tuple(map(float, box)) for box in LIT.findall(svg)]
    assert len(rows) == 3
    for _, y, length, thick in rows:
        assert thick == pytest.approx(length / 32, rel=1e-2)
        assert (y - 30) / length == pytest.approx(27 / 32, rel=1e-2)
    assert width == pytest.approx(height / 32, rel=1e-2)


def test_shared_keys_lie_elsewhere_than_the_queries():
    alt = draw_bands(head_slices(BIG, 17, 27), BIG, {}, "32B config").alt
    assert "rows 3,456 to 3,583 of q_proj, rows 640 to 767 of k_proj" in alt
    assert "columns 3,456 to 3,583 of o_proj" in alt and "Norms" not in alt


def test_norms_are_written_below():
    picture = draw_bands(head_slices(SEVEN, 17, 27), SEVEN, {"q_proj": 14.5625}, "7B config")
    assert ">norm 14.56<" in picture.svg and picture.svg.count(">norm ") == 1
    assert picture.alt.endswith("Norms: q_proj 14.56.")
