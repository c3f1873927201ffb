"""The book's own Sphinx extensions, on small examples: terms, citations, icons, the sitemap."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from docutils import nodes

from olmo_explain.checkpoint import FIELDS, ROPE_FIELDS, YARN_FIELDS


@pytest.fixture(autouse=True)
def _extensions(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "book" / "_ext")
    yield
    for name in ("cite_this", "config_fields", "glossary_links", "icons", "social"):
        sys.modules.pop(name, None)


def found(text: str, *terms: str) -> list[tuple[str, str]]:
    glossary = importlib.import_module("glossary_links")
    words = glossary.Terms({term: ("glossary", f"term-{term}") for term in terms})
    return [(match[0], term) for match, term in words.found(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Two queries and a query.", [("queries", "query"), ("query", "query")]),
        ("Heads differ; ahead of a head-on", [("Heads", "head")]),
        ("The KV cache of a layer", [("KV cache", "KV cache"), ("layer", "layer")]),
        ("a kv cache", []),
        ("FLOPs and FLOP/s", [("FLOPs", "FLOP")]),
        ("o_proj as a word", []),
    ],
)
def test_a_term_is_found_in_any_number_and_nothing_else_is(text, expected):
    assert found(text, "query", "head", "KV cache", "layer", "FLOP", "o_proj") == expected


def test_a_name_from_the_code_counts_where_it_is_code():
    terms = importlib.import_module("glossary_links").Terms(
        {"o_proj": ("g", "a"), "head": ("g", "b")}
    )
    assert terms.is_code_name("o_proj")
    assert not terms.is_code_name("head")  # as code it is a variable


def test_the_table_of_fields_is_that_of_reading():
    source = ["<!-- config-fields -->\n"]
    importlib.import_module("config_fields").write_tables(None, "notation", source)
    rows = [line.strip("| ").split(" | ") for line in source[0].splitlines() if "| `" in line]
    assert [name.strip("`") for name, *_ in rows] == [*FIELDS, *ROPE_FIELDS, *YARN_FIELDS]
    said = {name.strip("`"): rest for name, *rest in rows}
    assert said["model_type"][0] == '`"olmo2"` or `"olmo3"`' and said["model_type"][1] == "required"
    assert "null" in said["sliding_window"][0] and said["sliding_window"][1] == "4096"
    assert said["factor"][0] == "a number from 0.001 to 1,000,000"


PEOPLE = {
    "title": "A book: on weights",
    "version": "1.2",
    "date-released": "2026-03-09",
    "license": "Apache-2.0",
    "repository-code": "https://github.com/a/b",
    "authors": [
        {"family-names": "Lovelace", "given-names": "A."},
        {"name": "The others"},
    ],
}


def test_a_citation_in_both_styles():
    cite = importlib.import_module("cite_this")
    assert "".join(cite.apa(PEOPLE)) == (
        "Lovelace, A., & The others. (2026). A book: on weights (Version 1.2) [Computer software]. "
        "https://github.com/a/b"
    )
    assert cite.bibtex(PEOPLE).splitlines()[:3] == [
        "@software{a_book_2026,",
        "  author  = {Lovelace, A. and {The others}},",
        "  title   = {{A book: on weights}},",
    ]


def test_icons_by_name_and_those_that_a_style_brings():
    letters_of = importlib.import_module("icons").letters_of
    styles = (
        '.fa-sun:before{content:"\\f185"}.fa-cog:before,.fa-gear:before{content:"\\f013"}'
        '.fa-moon:before{content:"\\f186"}.admonition:before{content:"\\f05a"}'
    )
    assert letters_of({"sun", "gear"}, styles) == {0xF185, 0xF013, 0xF05A}


def test_a_description_is_made_of_whole_sentences():
    first_sentences = importlib.import_module("social").first_sentences
    text = nodes.paragraph(
        "", "", nodes.Text("One layer"), nodes.emphasis("", "’s"), nodes.Text(" steps.")
    )
    page = nodes.section(
        "", nodes.title("", "T"), text, nodes.paragraph("", "A second & longer one.")
    )
    assert first_sentences(page, 200) == "One layer’s steps. A second &amp; longer one."
    assert first_sentences(page, 30) == "One layer’s steps."


def test_a_second_build_keeps_unchanged_pages_in_the_sitemap(tmp_path):
    (tmp_path / "conf.py").write_text(
        'extensions = ["sphinx_sitemap", "whole_sitemap"]\n'
        'html_baseurl = "https://a.b/"\nsitemap_url_scheme = "{link}"\n'
    )
    (tmp_path / "index.rst").write_text("Home\n====\n\n.. toctree::\n\n   folder/page\n")
    (tmp_path / "folder").mkdir()
    for text in ("Page\n====\n", "Page\n====\n\nChanged.\n"):
        (tmp_path / "folder" / "page.rst").write_text(text)
        subprocess.run(
            [sys.executable, "-m", "sphinx", "-q", tmp_path, tmp_path / "html"],
            check=True,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "book" / "_ext")},
        )
        sitemap = (tmp_path / "html" / "sitemap.xml").read_text(encoding="utf-8")
        listed = re.findall("<loc>([^<]+)</loc>", sitemap)
        assert listed == ["https://a.b/folder/page.html", "https://a.b/index.html"]
