"""The offline zip in a fresh place with the network cut: it opens, searches, installs and runs."""

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from support import cut_off

ROOT = Path(__file__).parents[2]
MOST_MEMORY = 1.5e9  # bytes; what no chapter may take
NO_NETWORK = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=2)"


def load_script(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def made(book, once) -> Path:
    """The zip as `make offline` makes it, or the finished one that OFFLINE_ZIP points to."""
    if finished := os.environ.get("OFFLINE_ZIP"):
        return Path(finished)

    def make(dist: Path) -> None:
        where = ["--book", book.html, "--dist", dist]
        done = subprocess.run(
            [sys.executable, ROOT / "scripts" / "offline.py", *where],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert list(dist.iterdir()) == [Path(done.stdout.strip())]  # nothing half-written beside it

    (path,) = once("dist", make).iterdir()
    return path


@pytest.fixture(scope="module")
def kit(made, once) -> Path:
    """Unpacked, under a name with a space in it."""

    def unpack(folder: Path) -> None:
        with zipfile.ZipFile(made) as archive:
            archive.extractall(folder)

    (top,) = once("a fresh place", unpack).iterdir()
    assert top.name == made.stem
    return top


@pytest.fixture(scope="module")
def installed(kit, once) -> Path:
    """The Python of the environment that install.py made, with no network."""

    def install(_: Path) -> None:
        done = subprocess.run(
            cut_off.command(sys.executable, kit / "install.py"), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Ready for the workshop" in done.stdout

    once("installed", install)
    return kit / ".venv" / "bin" / "python"


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    page = context.new_page()
    page.asked = []
    page.on("request", lambda request: page.asked.append(request.url))
    yield page
    local = ("file:", "data:", "blob:")
    assert [url for url in page.asked if not url.startswith(local)] == []
    context.close()


def test_the_network_is_cut_in_these_tests():
    done = subprocess.run(
        cut_off.command(sys.executable, "-c", NO_NETWORK), capture_output=True, text=True
    )
    if not cut_off.has_namespaces():
        pytest.skip("only pip and what heeds the proxy variables is cut off here")
    assert "unreachable" in done.stderr


def test_it_tells_where_to_begin(kit):
    said = (kit / "README.txt").read_text()
    assert "install.py" in said and "start.py" in said and "book/index.html" in said
    assert "@" not in said  # every word is filled in
    assert (kit / "book" / "index.html").is_file()
    stored = {path.name for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert {path.name for path in (kit / "notebooks").iterdir()} == stored


def test_the_book_opens_from_a_file_and_leads_to_every_chapter(kit, page):
    page.goto((kit / "book" / "index.html").as_uri())
    page.wait_for_url("**/book/book/index.html")  # where the front door leads
    for chapter in sorted((kit / "notebooks").glob("*.ipynb")):
        assert page.locator(f"a[href$='{chapter.stem}.html']").count(), chapter.stem


def test_search_finds_a_word_from_a_file(kit, page):
    page.goto((kit / "book" / "search.html").as_uri() + "?q=rotary")
    found = page.locator("#search-results li a").first
    found.wait_for()
    found.click()
    page.wait_for_url("**/notebooks/*")


EXPLORERS = {
    "02_weights_on_disk": "Row",
    "05_attention": "scores",
    "06_positions": "Pair",
    "11_one_head": "Norm",
    "12_flops": "Batch",
}


@pytest.mark.parametrize(("chapter", "label"), EXPLORERS.items())
def test_every_explorer_moves(kit, page, chapter, label):
    page.goto((kit / "book" / "notebooks" / f"{chapter}.html").as_uri())
    widget = page.locator(".oe:not(.oe-model)", has=page.get_by_label(label, exact=True)).first
    control = widget.get_by_label(label, exact=True)
    control.wait_for()
    before = widget.inner_text()
    control.press("ArrowUp")
    expect(widget).not_to_have_text(before, use_inner_text=True)


def test_a_chapter_runs_for_a_learner(kit, installed):
    """As JupyterLab's own tools run it, in the notebooks' folder, with the network cut."""
    words = [installed, "-m", "jupyter", "execute", kit / "notebooks" / "05_attention.ipynb"]
    done = subprocess.run(cut_off.command(*words), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_chapter_runs_alone_with_only_the_package_and_little_memory(installed):
    """In an empty folder each, in order, in the environment that holds nothing else."""
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    words = [installed, ROOT / "scripts" / "run_alone.py", *notebooks]
    done = subprocess.run(cut_off.command(*words), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    ran = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["notebook"] for one in ran] == [path.stem for path in notebooks]
    for one in ran:
        assert not one["left"] and not one["stderr"], one
        assert 1e8 < one["peak_bytes"] < MOST_MEMORY, one


def test_only_the_package_is_installed(installed):
    """Nothing of the book's or the tests' own tools is there, on which a chapter could lean."""
    code = "import importlib.util as u; print([n for n in ('sphinx', 'pytest') if u.find_spec(n)])"
    assert subprocess.check_output([installed, "-c", code], text=True).strip() == "[]"


def test_jupyterlab_starts_and_asks_no_questions(kit, installed):
    done = subprocess.run(
        cut_off.command(sys.executable, kit / "start.py", "--version"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and done.stdout[0].isdigit(), done.stderr
    disabled = kit / ".venv" / "etc" / "jupyter" / "labconfig" / "page_config.json"
    assert "announcements" in disabled.read_text()


def test_installing_twice_does_it_once(kit, installed):
    again = subprocess.run([sys.executable, kit / "install.py"], capture_output=True, text=True)
    assert again.returncode == 0 and "Installed already" in again.stdout


@pytest.mark.parametrize(("key", "other"), [("python", "3.9"), ("platform", "macOS-arm64")])
def test_the_wrong_zip_is_said_in_one_line(kit, tmp_path, key, other):
    for name in ("install.py", "made_for.json"):
        (tmp_path / name).write_bytes((kit / name).read_bytes())
    made_for = json.loads((tmp_path / "made_for.json").read_text())
    (tmp_path / "made_for.json").write_text(json.dumps(made_for | {key: other}))
    done = subprocess.run([sys.executable, tmp_path / "install.py"], capture_output=True, text=True)
    assert done.returncode == 1 and not (tmp_path / ".venv").exists()
    assert done.stderr.count("\n") == 1 and f"the zip is for {other}" in done.stderr


def test_what_was_interrupted_is_begun_anew(kit, tmp_path):
    """Half an environment, and then a wheel that pip cannot read: no `ready`, and it says so."""
    for name in ("install.py", "start.py", "made_for.json"):
        (tmp_path / name).write_bytes((kit / name).read_bytes())
    (tmp_path / ".venv" / "half").mkdir(parents=True)
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "pip-0-py3-none-any.whl").write_bytes(b"no wheel")
    done = subprocess.run([sys.executable, tmp_path / "install.py"], capture_output=True, text=True)
    assert done.returncode == 1 and "run this again" in done.stderr
    assert not (tmp_path / ".venv" / "half").exists()
    start = subprocess.run([sys.executable, tmp_path / "start.py"], capture_output=True, text=True)
    assert start.returncode == 1 and "run install.py first" in start.stderr


# -- how the zip is made --------------------------------------------------------------------------


def test_equal_files_make_equal_zips(tmp_path):
    offline = load_script("offline")
    (tmp_path / "b.whl").write_bytes(b"b" * 100)
    (tmp_path / "a").write_text("a" * 100)
    files = {"b.whl": tmp_path / "b.whl", "a": tmp_path / "a", "text": "words"}
    offline.write_zip(tmp_path / "one.zip", files, "top")
    os.utime(tmp_path / "a", (0, 0))
    offline.write_zip(tmp_path / "two.zip", dict(reversed(files.items())), "top")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert archive.namelist() == ["top/a", "top/b.whl", "top/text"]
        assert archive.getinfo("top/b.whl").compress_type == zipfile.ZIP_STORED


def test_a_torch_that_brings_cuda_is_known():
    offline = load_script("offline")
    plain = {"install": [{"metadata": {"name": name}} for name in ("torch", "numpy")]}
    cuda = {"install": [*plain["install"], {"metadata": {"name": "nvidia-cublas"}}]}
    assert offline.brings_cuda(cuda) and not offline.brings_cuda(plain)


def test_without_a_book_it_says_what_to_do(tmp_path):
    script = [sys.executable, ROOT / "scripts" / "offline.py", "--book", tmp_path / "none"]
    done = subprocess.run([*script, "--dist", tmp_path], capture_output=True, text=True)
    assert done.returncode == 1 and "run `make book`" in done.stderr and not done.stdout
    assert not list(tmp_path.iterdir())


def test_the_wheel_holds_the_models_and_the_explorers(kit):
    """And nothing of an earlier build: every file of it is one of the source's."""
    (wheel,) = (kit / "wheels").glob("olmo_explain-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if name.startswith("olmo_explain/")}
    source = ROOT / "src"
    there = {
        path.relative_to(source).as_posix()
        for path in (source / "olmo_explain").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == there
    assert "olmo_explain/checkpoint/presets/tiny/model.safetensors" in held
