"""The built book as files: strict, and whole without a network."""

import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest

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
    assert folders <= {"book", "notebooks", "genindex.html", "search.html"}


BINDER = r"https://mybinder\.org/v2/gh/[^/]+/[^/]+/main\?urlpath=lab/tree/"
COLAB = r"https://colab\.research\.google\.com/github/[^/]+/[^/]+/blob/main/"


@pytest.mark.parametrize("service", [BINDER, COLAB])
def test_launch_buttons_open_the_chapter_in_this_repository(pages, service):
    chapters = [path for path in pages if path.parts[0] == "notebooks"]
    assert chapters
    for path in chapters:
        links = [a.get("href", "") for tag, a in pages[path].elements if tag == "a"]
        notebook = service + re.escape(path.with_suffix(".ipynb").as_posix())
        assert any(re.fullmatch(notebook, link) for link in links), path


def test_a_fork_names_itself(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "book" / "_ext")
    monkeypatch.setenv("GITHUB_REPOSITORY", "someone/olmo-explain")
    import fork

    config = SimpleNamespace(html_theme_options={"repository_url": "https://github.com/a/b"})
    fork.name_the_fork(None, config)
    assert config.html_theme_options["repository_url"] == "https://github.com/someone/olmo-explain"
    sys.modules.pop("fork")
