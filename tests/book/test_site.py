"""The book's own Sphinx extensions, on small examples: terms, citations, questions, the sitemap."""

import importlib
import os
import re
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest
import yaml
from docutils import nodes
from fontTools.ttLib import TTFont

from olmo_explain.checkpoint import FIELDS, ROPE_FIELDS, YARN_FIELDS

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _extensions(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "book" / "_ext")
    yield
    for path in (ROOT / "book" / "_ext").glob("*.py"):
        sys.modules.pop(path.stem, None)


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
    said = {name.strip("`"): may_hold for name, _, may_hold in rows}
    assert list(said) == list({**FIELDS, **ROPE_FIELDS, **YARN_FIELDS})
    assert len(rows) == len(FIELDS) + len(ROPE_FIELDS) + len(YARN_FIELDS)
    assert said["model_type"] == '`"olmo2"` or `"olmo3"`; required'
    assert "null" in said["sliding_window"] and said["sliding_window"].endswith("left out: 4096")
    assert said["factor"] == "a number from 0.001 to 1,000,000; required"
    assert rows[0][1] == "the architecture"


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


@pytest.mark.parametrize(
    ("opening", "asked"),
    [
        ("One thing. Why so? And how?", "Why so? And how?"),
        ("*What news from France?* After it, *France* is likely. How?", "How?"),
        ("Nothing is asked.", ""),
    ],
)
def test_a_chapter_asks_what_its_first_paragraph_ends_in(opening, asked):
    page = nodes.section("", nodes.title("", "T"), nodes.paragraph("", opening.replace("*", "")))
    assert importlib.import_module("chapters").question(page) == asked


def test_a_square_a_call_and_the_second_rotary_embedding_is_framed():
    paths = ["embed", "model.rotary_emb", "model.rotary_emb", *["mlp"] * 58]
    drawn = importlib.import_module("front").drawing(paths)
    squares = re.findall("<rect[^>]*/>", drawn)
    assert len(squares) == len(paths)
    assert [at for at, square in enumerate(squares) if "oe-missing" in square] == [2]
    assert "61 squares" in drawn and "61 calls" in drawn


def test_a_section_is_found_by_its_own_words_with_code_last():
    text = importlib.import_module("sections").text
    inner = nodes.section("", nodes.title("", "Inner"), nodes.paragraph("", "Apart."), ids=["b"])
    code = nodes.literal_block("x = 1", "x = 1")
    printed = nodes.container("", nodes.paragraph("", "Printed."), classes=["cell_output"])
    page = nodes.section(
        "", nodes.title("", "T"), code, printed, nodes.paragraph("", "Said  first."), inner
    )
    assert text(page) == "Said first. x = 1"


def test_a_section_is_found_without_its_html_and_what_that_folds():
    def raw(html: str) -> nodes.raw:
        return nodes.raw("", html, format="html")

    asked = nodes.paragraph("", "", nodes.Text("Where"), raw("<kbd>"), nodes.Text(" is it?"))
    hint = [raw("<details><summary>Hint 1</summary>"), nodes.paragraph("", "Look up.")]
    solution = [raw("<details>"), nodes.literal_block("x = 1", "x = 1"), raw("</details>")]
    form = raw("<form><input></form>")
    page = nodes.section("", nodes.title("", "T"), asked, form, *hint, raw("</details>"))
    page += [*solution, nodes.paragraph("", "After.")]
    assert importlib.import_module("sections").text(page) == "Where is it? After."


def test_a_font_has_the_letters_of_the_page_and_little_more():
    look = importlib.import_module("look")
    family, file, axes, _ = look.FONTS["mono"]
    font = TTFont(BytesIO(look.letters(family, file, axes)))
    assert set(map(ord, "Az09_→−")) <= set(font.getBestCmap())
    assert font["fvar"].axes[0].maxValue == 600
    assert len(look.letters(family, file, axes)) < 30_000


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
    cited = nodes.section("", nodes.paragraph("", "Two numbers [TeamOlmo25]. More."))
    assert first_sentences(cited, 200) == "Two numbers. More."


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


def test_readme_leads_where_the_book_does_and_shows_its_pictures():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    repository = importlib.import_module("launch_links").Repository
    settings = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["repository"]
    source = repository(settings["url"], settings["branch"])
    assert source.binder("notebooks/01_config") in readme
    assert source.colab("notebooks/01_config") in readme
    pictures = [ROOT / name for name in re.findall(r'(?:src|srcset)="([^"]+)"', readme)]
    assert len(pictures) == 2
    assert 0 < sum(path.stat().st_size for path in pictures) <= 200_000
    before = readme.partition("\n## How it works")[0]
    assert len(before.splitlines()) <= 75


CODE = """<div class="highlight"><pre><span></span><span class="k">def</span> f():

<span class="w">    </span><span class="k">return</span> x<span class="o">.</span>y
</pre></div>"""


def test_a_line_of_code_knows_where_it_begins_and_keeps_its_text():
    page = importlib.import_module("code_lines").lines_of(CODE)
    assert page.count('<span class="oe-line"') == 3
    assert page.count("--oe-in:4") == page.count("--oe-in:") == 1
    assert re.sub("<[^>]*>", "", page) == re.sub("<[^>]*>", "", CODE)
    assert '<wbr><span class="o">.</span>y' in page  # a chain breaks before a point


def test_a_fold_says_once_what_it_holds_and_how_much():
    fold = (
        '<details class="hide above-input">\n<summary aria-label="Toggle hidden content">\n'
        '<p class="collapsed">The code of this table</p>\n'
        f'<p class="expanded">The code of this table</p>\n</summary>\n{CODE}</details>'
    )
    page = importlib.import_module("folds").mend(fold)
    assert page.count("The code of this table") == 1 and ">3 lines<" in page
    assert "Toggle" not in page
    assert "lines" not in importlib.import_module("folds").mend(
        fold.replace("The code of this table", "Solution")
    )


def html_table(*rows: tuple[str, ...]) -> str:
    head, *body = rows
    cells = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in body)
    names = "".join(f"<th>{name}</th>" for name in head)
    return f"<table><thead><tr>{names}</tr></thead><tbody>{cells}</tbody></table>"


def test_only_a_table_wider_than_a_phone_becomes_a_stack():
    stacked = importlib.import_module("stacks").stacked
    narrow = html_table(("layer", "share"), ("0", "0.5"), ("1", "0.25"))
    assert stacked(narrow) == narrow
    wide = html_table(("field", "what it is"), ("`f`", "a sentence " * 5), ("`g`", ""))
    assert stacked(wide) == wide  # two columns, of which one can break
    wide = html_table(
        ("field", "in json", "what it is", "where"),
        ("D", "num_hidden_layers", *["ten words " * 5] * 2),
    )
    page = stacked(wide)
    assert page.startswith('<table data-stacks="">')
    assert '<td data-of="in json"><div>num_hidden_layers</div></td>' in page
    assert "data-of" not in stacked(html_table(("a", "b", "c"), ("", "", "")))


def test_a_long_name_breaks_at_its_points_and_nowhere_else():
    stacked = importlib.import_module("stacks").stacked
    page = stacked(
        "<table><tr><td>model.layers.7.self_attn.q_proj</td><td>o_proj</td></tr></table>"
    )
    assert "model.<wbr>layers.<wbr>7.<wbr>self_<wbr>attn.<wbr>q_<wbr>proj" in page
    assert "<td>o_proj</td>" in page


def test_the_api_page_names_no_file():
    """A class that a room's door gives is documented as given by the room."""
    source = ["<!-- door -->"]
    importlib.import_module("door").write_sections(None, "api", source)
    shown = re.findall(r"auto(?:class|function):: olmo_explain[.](\S+)", source[0])
    assert "trace" in shown and "running.Trace" in shown and "checkpoint.HeadSlice" in shown
    hidden = [name for name in shown if name.count(".") > 1]
    assert hidden and all(name.startswith(("course", "explorers", "figures")) for name in hidden)
    assert not [name for name in shown if name.rpartition(".")[2].startswith("_")]
