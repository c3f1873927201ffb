import re
import xml.etree.ElementTree as ET

import pytest

from olmo_explain.checkpoint import read_config
from olmo_explain.errors import UsageError
from olmo_explain.figures import where_we_are
from olmo_explain.figures.diagram import PARTS


@pytest.mark.parametrize("model", ["tiny", "olmo3-7b", "olmo3-32b"])
def test_every_shape_is_that_of_the_config(model):
    svg = where_we_are(model=model).svg
    for component in read_config(model).components:
        name = component.name.split(".")[-2]
        shape = " × ".join(map(str, component.shape))
        assert re.search(rf">{name}</text><text [^>]*>{shape}</text>", svg), component


@pytest.mark.parametrize("part", PARTS)
def test_each_part_can_be_lit(part):
    plain, lit = where_we_are(), where_we_are(part)
    assert lit.svg.count("#0f7b6c") >= 1 > plain.svg.count("#0f7b6c")
    assert lit.alt.endswith(f"Lit: {part}.")


@pytest.mark.parametrize("model", ["tiny", "olmo3-7b", "olmo3-32b"])
def test_it_is_a_drawing_with_nothing_outside_its_frame(model):
    root = ET.fromstring(where_we_are(model=model).svg)
    _, _, width, height = map(float, root.get("viewBox").split())
    boxes = root.findall("rect")
    assert len(boxes) == len(PARTS) + read_config(model).num_hidden_layers  # one for the frame
    for box in boxes:
        x, y, w, h = (float(box.get(side)) for side in ("x", "y", "width", "height"))
        assert x >= 0 and y >= 0 and x + w <= width and y + h <= height


def test_the_words_say_what_the_picture_shows():
    alt = where_we_are().alt
    assert "32 layers" in alt and "(3, 7, …, 31)" in alt and "width 4096" in alt


def test_an_unknown_part_is_named_with_those_there_are():
    with pytest.raises(UsageError, match=r"no part 'qproj'\. Choose .*q_proj"):
        where_we_are("qproj")
