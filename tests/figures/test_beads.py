"""Calls as beads: as many as ran, in their rows, the rotary ones lit."""

import re
from collections import Counter
from xml.etree import ElementTree

import pytest

from olmo_explain.errors import UsageError
from olmo_explain.figures import draw_calls
from olmo_explain.figures.drawing import ACCENT, WIDTH
from olmo_explain.running import load, trace


@pytest.fixture(scope="module", params=["tiny", "olmo3-7b"])
def drawn(request):
    model, _ = load(request.param)
    ran = trace(model, [[1, 2]])
    return ran, draw_calls(ran.calls, request.param)


def lit(svg: str) -> list[tuple[float, float]]:
    found = re.findall(
        rf'<circle cx="([\d.]+)" cy="([\d.]+)" r="[\d.]+" fill="{re.escape(ACCENT)}" '
        r'fill-opacity="1"',
        svg,
    )
    return [(float(x), float(y)) for x, y in found]


def test_every_call_is_a_bead_of_its_kind(drawn):
    ran, picture = drawn
    shapes = Counter(
        element.tag.rpartition("}")[2] for element in ElementTree.fromstring(picture.svg)
    )
    counts = ran.counts
    rotary = counts["Olmo3RotaryEmbedding"]
    # A lit bead has a halo; the legend shows each kind once.
    assert shapes["circle"] == counts["Linear"] + counts["Olmo3RMSNorm"] + 2 * rotary + 3
    assert shapes["path"] == counts["SiLUActivation"] + 1 + 1  # and the string
    assert shapes["rect"] == counts["Embedding"] + 1
    assert f"= {ran.total} calls</text>" in picture.svg


def test_the_rotary_beads_are_lit_before_the_first_layer(drawn):
    ran, picture = drawn
    *beads, legend = lit(picture.svg)
    assert len(beads) == ran.counts["Olmo3RotaryEmbedding"]
    first_layer = min(float(y) for y in re.findall(r' y="([\d.]+)"[^>]*>layer 0<', picture.svg))
    assert all(y < first_layer for _, y in beads) and legend[1] > first_layer
    assert f"rotary_emb is lit: {len(beads)} calls, before the first layer" in picture.alt


def test_nothing_is_outside_and_nothing_too_small(drawn):
    _, picture = drawn
    for x, y, r in re.findall(r'cx="([\d.]+)" cy="([\d.]+)" r="([\d.]+)"', picture.svg):
        assert float(r) <= float(x) <= WIDTH - float(r) and float(y) >= float(r)
    assert min(map(float, re.findall(r'font-size="([\d.]+)"', picture.svg))) >= 13.5
    height = float(re.search(r'viewBox="0 0 480 ([\d.]+)"', picture.svg)[1])
    assert height <= 380


def test_calls_outside_any_layer_are_no_model():
    model, _ = load("tiny")
    with pytest.raises(UsageError, match="all calls of a language model"):
        draw_calls(trace(model, [[1]]).calls[:2], "tiny")
