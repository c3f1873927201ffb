import re
from pathlib import Path

import pytest

from olmo_explain.errors import UsageError
from olmo_explain.figures import where_we_are
from olmo_explain.figures.diagram import PARTS

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
LIT = re.compile(r'<(?:a|span) [^>]*aria-current="true">([^<]+)<')


def lit(*parts: str) -> list[str]:
    return LIT.findall(where_we_are(*parts)._repr_html_())


@pytest.mark.parametrize("part", PARTS)
def test_each_part_lights_something(part):
    assert not lit()
    assert lit(part)
    assert where_we_are(part).alt.endswith(f"Here: {part}.")


def test_on_a_phone_a_sublayer_is_lit_with_any_of_its_parts():
    assert lit("rope") == ["attention", "RoPE"]
    assert lit("up_proj", "norm") == ["MLP", "gate up", "norm"]
    assert lit("q_norm") == ["attention", "norm"]


def test_every_part_leads_to_a_chapter_that_there_is():
    links = re.findall(r'href="([^"]+)"', where_we_are()._repr_html_())
    assert len(links) == 15
    for link in set(links):
        assert (NOTEBOOKS / link).is_file(), link


@pytest.mark.parametrize(
    ("model", "layers"),
    [
        ("tiny", "8 layers: 6 sliding, 2 full"),
        ("olmo3-7b", "32 layers: 24 sliding, 8 full"),
        ("olmo3-32b", "64 layers: 48 sliding, 16 full"),
    ],
)
def test_it_says_which_model_and_its_layers(model, layers):
    strip = where_we_are(model=model)
    assert layers in strip.alt and f">{layers} · {model}<" in strip._repr_html_()


def test_an_unknown_part_is_named_with_those_there_are():
    with pytest.raises(UsageError, match=r"no part 'qproj'\. Choose .*q_proj"):
        where_we_are("qproj")
