"""What several test files share: the book, built once, and browsers to look at it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock
from support.site import serve

if TYPE_CHECKING:  # most tests look at no page
    from playwright.sync_api import Browser, Page, Playwright
    from support.webkit import WebKit

ROOT = Path(__file__).parents[1]

if "PYTEST_XDIST_WORKER" in os.environ:  # as many processes as cores: each has one for itself
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell's background job ignores Ctrl-C, and so would every process that a test starts.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs the built book is run first, so that of two workers one builds it meanwhile;
    this and what needs a browser is marked: `-m "not pages"` leaves it out, and is quick.
    """
    items.sort(key=lambda item: "book" not in item.fixturenames)
    for item in items:
        if {"book", "browser", "engine_page"} & set(item.fixturenames):
            item.add_marker(pytest.mark.pages)


@dataclass(frozen=True)
class Book:
    """A build: its pages (relative to `html`), what it said, and how it ended."""

    html: Path
    log: str
    returncode: int

    @property
    def pages(self) -> list[Path]:
        """All but the redirect at the root, and the theme's own templates in _static."""
        found = [path.relative_to(self.html) for path in self.html.rglob("*.html")]
        return sorted(p for p in found if p.parts[0] not in ("index.html", "_static"))


Once = Callable[[str, Callable[[Path], None]], Path]


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """once(name, fill): a folder that `fill` has filled, once for all workers of pytest-xdist."""
    base = tmp_path_factory.getbasetemp().resolve()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def make(name: str, fill: Callable[[Path], None]) -> Path:
        folder = base / name
        with FileLock(base / f"{name}.lock"):
            if not folder.exists():
                folder.mkdir()
                fill(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def book(once: Once) -> Book:
    """The book as `make book` builds it, or the finished one that BOOK_HTML points to."""
    if built := os.environ.get("BOOK_HTML"):
        return Book(Path(built).resolve(), log="", returncode=0)
    output = once("book", _build)
    said, _, returncode = (output / "log").read_text().rpartition("\n")
    return Book(output / "_build" / "html", said, int(returncode))


def _build(output: Path) -> None:
    jupyter_book = Path(sys.executable).with_name("jupyter-book")
    strictly = ["-W", "-n", "--keep-going", "--path-output", str(output)]
    done = subprocess.run(
        [jupyter_book, "build", ROOT, *strictly],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"NO_COLOR": "1"},
    )
    (output / "log").write_text(f"{done.stdout}\n{done.returncode}")


@pytest.fixture(scope="session")
def site(book: Book) -> Iterator[str]:
    """The address at which the book is served, as where it is published, on this machine only."""
    with serve(book.html) as address:
        yield address


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """One Chromium for all tests. Without one they are skipped; in CI they fail. So the others."""
    from support.browsers import chromium

    with _started(chromium(playwright), "chromium") as started:
        yield started


@pytest.fixture(scope="session")
def firefox(playwright: Playwright) -> Iterator[Browser]:
    from support.browsers import firefox

    with _started(firefox(playwright), "firefox-esr") as started:
        yield started


@pytest.fixture(scope="session")
def webkit() -> Iterator[WebKit]:
    from support.webkit import webkit

    with _started(webkit(), "webkit2gtk-driver xvfb") as started:
        yield started


@contextmanager
def _started(browser: AbstractContextManager, packages: str) -> Iterator:
    """The browser; where it does not start its tests are skipped, or in CI fail."""
    from playwright.sync_api import Error

    with ExitStack() as until_the_end:
        try:
            started = until_the_end.enter_context(browser)
        except (Error, OSError) as error:
            said = f"No browser (apt-get install {packages}): {str(error).splitlines()[0]}"
            (pytest.fail if os.environ.get("CI") else pytest.skip)(said)
        yield started


@pytest.fixture(params=["chromium", "firefox", "webkit"])
def engine_page(request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page as wide as a phone's in each engine. Of WebKit's page there is what webkit.py has."""
    name = {"chromium": "browser"}.get(request.param, request.param)
    page = request.getfixturevalue(name).new_page(viewport={"width": 390, "height": 844})
    yield page
    page.close()


@pytest.fixture(params=["http", "file"])
def overheard(request: pytest.FixtureRequest, book: Book, once: Once) -> Iterator[str]:
    """The address of a copy of the book whose pages keep what goes wrong on them in `faults`."""
    from support.browsers import overhear

    def fill(folder: Path) -> None:
        shutil.copytree(book.html, folder, dirs_exist_ok=True)
        overhear(folder)

    html = once("overheard", fill)
    with serve(html) if request.param == "http" else nullcontext(html.as_uri()) as address:
        yield address
