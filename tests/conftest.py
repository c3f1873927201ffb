"""What several test files share: the book, built once, and a browser to look at it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock
from support.site import launch, serve

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
        if {"book", "browser"} & set(item.fixturenames):
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
def browser() -> Iterator:
    """One Chromium for all tests. Without one they are skipped; in CI they fail."""
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as playwright:
        try:
            chromium = launch(playwright)
        except Error as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(f"No Chromium: {error.message.splitlines()[0]}")
        yield chromium
        chromium.close()
