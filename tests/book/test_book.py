"""The built book as files: strict, whole without a network, and easy to find one's way in."""

import html
import importlib
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import pytest
import yaml

ROOT = Path(__file__).parents[2]
REMOTE = re.compile(r"^(https?:)?//")
FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}


class Page(HTMLParser):
    """What a page fetches, shows and keeps: its elements, and the text of its scripts by type."""

    def __init__(self, path: Path):
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.scripts: dict[str, list[str]] = {}
        self._script: str | None = None
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.elements.append((tag, dict(attributes)))
        self._script = dict(attributes).get("type", "") if tag == "script" else None

    def handle_data(self, data: str) -> None:
        if self._script is not None:
            self.scripts.setdefault(self._script, []).append(data)

    def handle_endtag(self, tag: str) -> None:
        self._script = None


@pytest.fixture(scope="module")
def pages(book) -> dict[Path, Page]:
    assert book.pages, book.log
    return {path: Page(book.html / path) for path in book.pages}


def test_strict_build_succeeds_and_warns_of_nothing(book):
    assert book.returncode == 0, book.log
    assert "WARNING" not in book.log, book.log


def test_no_page_fetches_from_another_host(pages):
    remote = [
        f"{path}: <{tag} {FETCHED[tag]}={url!r}>"
        for path, page in pages.items()
        for tag, attributes in page.elements
        if tag in FETCHED and REMOTE.match(url := attributes.get(FETCHED[tag]) or "")
        if attributes.get("rel") != "canonical"  # says where the page stands
    ]
    assert not remote


def test_no_style_sheet_fetches_from_another_host(book):
    for sheet in (book.html / "_static").rglob("*.css"):
        remote = re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//[^'\")]+", sheet.read_text())
        assert not remote, sheet


def test_every_widget_on_a_page_has_its_saved_state(pages):
    for path, page in pages.items():
        saved = {
            model: state
            for text in page.scripts.get("application/vnd.jupyter.widget-state+json", [])
            for model, state in json.loads(text)["state"].items()
        }
        for text in page.scripts.get("application/vnd.jupyter.widget-view+json", []):
            state = saved.get(json.loads(text)["model_id"])
            assert state, f"{path}: a widget without state"
            assert state["state"].get("_esm"), f"{path}: not an anywidget: {state['model_name']}"


def test_every_picture_says_what_it_shows(pages):
    silent = [
        f"{path}: <{tag} {attributes}>"
        for path, page in pages.items()
        for tag, attributes in page.elements
        if (tag == "img" and not attributes.get("alt"))
        or (
            tag == "svg"
            and attributes.get("aria-hidden") != "true"
            and not (attributes.get("role") == "img" and attributes.get("aria-label"))
        )
    ]
    assert not silent


def test_only_pages_of_the_book_are_built(book):
    folders = {path.parts[0] for path in book.pages}
    assert folders <= {"book", "notebooks", "genindex.html", "search.html", "404.html"}


BINDER = r"https://mybinder\.org/v2/gh/[^/]+/[^/]+/main\?urlpath=lab%2Ftree%2F"
COLAB = r"https://colab\.research\.google\.com/github/[^/]+/[^/]+/blob/main/"


@pytest.mark.parametrize("service", [BINDER, COLAB])
def test_launch_buttons_open_the_chapter_in_this_repository(pages, service):
    chapters = [path for path in pages if path.parts[0] == "notebooks"]
    assert chapters
    for path in chapters:
        links = [a.get("href", "") for tag, a in pages[path].elements if tag == "a"]
        name = path.with_suffix(".ipynb").as_posix()
        notebook = service + re.escape(quote(name, safe="" if service == BINDER else "/"))
        assert any(re.fullmatch(notebook, link) for link in links), path


@pytest.fixture
def extension(monkeypatch):
    """One of the book's own extensions, by name."""
    monkeypatch.syspath_prepend(ROOT / "book" / "_ext")
    names = []

    def load(name: str):
        names.append(name)
        return importlib.import_module(name)

    yield load
    for name in names:
        sys.modules.pop(name)


@pytest.mark.parametrize(
    ("repository", "address"),
    [
        ("someone/olmo-explain", "https://someone.github.io/olmo-explain/"),
        ("Someone/someone.github.io", "https://someone.github.io/"),
    ],
)
def test_a_fork_names_itself(extension, monkeypatch, repository, address):
    monkeypatch.setenv("GITHUB_REPOSITORY", repository)
    options = {"repository_url": "https://github.com/a/b"}
    config = SimpleNamespace(html_theme_options=options, html_baseurl="")
    extension("fork").name_the_fork(None, config)
    assert options["repository_url"] == f"https://github.com/{repository}"
    assert config.html_baseurl == config.ogp_site_url == address
    assert address.endswith(config.notfound_urls_prefix)


def test_an_address_in_the_config_stands(extension, monkeypatch):
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    options = {"repository_url": "https://github.com/a/b"}
    config = SimpleNamespace(html_theme_options=options, html_baseurl="https://book.example/olmo")
    extension("fork").name_the_fork(None, config)
    assert config.html_baseurl == "https://book.example/olmo/"
    assert config.notfound_urls_prefix == "/olmo/"


def test_a_fold_is_announced_by_its_own_words(book):
    text = (book.html / "notebooks" / "05_attention.html").read_text(encoding="utf-8")
    assert text.count("The code of this picture") and "Toggle hidden content" not in text


def test_no_script_of_ours_is_one_that_cannot_be_made_smaller(extension):
    """rjsmin eats the spaces of a template within a template, so such a script stays as it is."""
    nested = extension("small_scripts").NESTED
    assert nested.search("`${a ? `b ${c} d` : 1} e`") and not nested.search("`${a} b` + `c`")
    for script in [*ROOT.glob("src/**/*.js"), *ROOT.glob("book/_static/*.js")]:
        assert not nested.search(script.read_text(encoding="utf-8")), script


# -- Finding things ------------------------------------------------------------------------------

OWN_ADDRESS = re.compile(r'<link rel="canonical" href="([^"]+)"')
TERM = re.compile(r'<a class="oe-term[^"]*" href="[^"]*#(term-[^"]+)"')


def _texts(book) -> dict[Path, str]:
    """The pages that the table of contents leads to."""
    inside = [path for path in book.pages if path.parts[0] in ("book", "notebooks")]
    return {path: (book.html / path).read_text(encoding="utf-8") for path in inside}


def test_every_page_of_the_book_says_where_it_stands(book, pages):
    texts = _texts(book)
    base = OWN_ADDRESS.search(texts[Path("book/index.html")])[1].removesuffix("book/index.html")
    for path, text in texts.items():
        assert OWN_ADDRESS.search(text)[1] == base + path.as_posix()
    sitemap = (book.html / "sitemap.xml").read_text(encoding="utf-8")
    listed = set(re.findall("<loc>([^<]+)</loc>", sitemap))
    assert listed == {base + path.as_posix() for path in texts}


def test_every_page_has_a_card_of_its_own(book, pages):
    cards, descriptions = set(), set()
    for path in _texts(book):
        said = {
            a.get("property") or a.get("name"): a.get("content")
            for tag, a in pages[path].elements
            if tag == "meta"
        }
        card = said["og:image"].rpartition("/_images/")[2]
        assert (book.html / "_images" / card).stat().st_size > 10_000
        assert said["og:title"]
        assert 20 < len(said["description"]) <= 200
        assert said["description"] == said["og:description"]
        cards.add(card)
        descriptions.add(said["description"])
    assert len(cards) == len(descriptions) == len(_texts(book))


def test_a_term_is_linked_once_on_a_page_and_each_link_arrives(book):
    texts = _texts(book)
    explained = set(re.findall(r'<dt id="(term-[^"]+)"', texts[Path("book/glossary.html")]))
    for path, text in texts.items():
        linked = TERM.findall(text)
        assert len(linked) == len(set(linked)), path
        assert set(linked) <= explained, path
        if path.parts[0] == "notebooks":
            assert len(linked) > 3, path
            for heading in re.findall(r"<h[1-6].*?</h[1-6]>", text, re.S):
                assert "oe-term" not in heading, path


def test_the_api_page_has_every_name_behind_the_door(book):
    import olmo_explain

    text = (book.html / "book" / "api.html").read_text(encoding="utf-8")
    missing = [name for name in olmo_explain.__all__ if f'id="olmo_explain.{name}"' not in text]
    assert not missing
    assert "&gt;&gt;&gt; " in text or '<span class="gp">&gt;&gt;&gt; </span>' in text


def test_the_front_page_says_how_to_cite_it(book):
    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    text = (book.html / "book" / "index.html").read_text(encoding="utf-8")
    shown = html.unescape(re.sub("<[^>]+>", "", text))
    assert "@software{" in shown
    for said in (cff["title"], cff["version"], cff["authors"][0]["name"]):
        assert shown.count(said) >= 2  # as a sentence and as BibTeX


def test_mathjax_is_only_where_a_formula_is(book):
    with_script = {path for path, text in _texts(book).items() if "mathjax/tex-chtml.js" in text}
    assert with_script == {p for p, text in _texts(book).items() if 'class="math ' in text}


def test_the_frame_brings_no_icons_and_no_scripts_that_nothing_needs(book):
    for path, text in _texts(book).items():
        for left_out in ("fontawesome.js", "bootstrap.js", "sphinx-book-theme", "fa-solid"):
            assert left_out not in text, (path, left_out)


def test_the_way_on_tells_the_question_of_the_next_chapter(book):
    text = (book.html / "notebooks" / "05_attention.html").read_text(encoding="utf-8")
    way = text[text.index('<nav class="oe-turn"') :]
    assert "How does a head tell near from far?" in way
    assert "can it tell the two from of our sentence apart?" in way
    assert "Chapter 5 of 13 · " in text


def test_the_front_page_has_a_square_for_each_call(book):
    text = (book.html / "book" / "index.html").read_text(encoding="utf-8")
    figure = text[text.index('<figure class="oe-calls"') :].split("</figure>")[0]
    assert figure.count("<rect") == 389 and "389 calls" in figure
    assert text.count('class="oe-asks"') == len(list((book.html / "notebooks").glob("*.html")))
