"""Where the notebooks open: Binder's image, Colab's first cell, a JupyterHub, and their memory."""

import html
import importlib
import os
import re
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import nbformat
import pytest
import yaml
from IPython.core.interactiveshell import InteractiveShell
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text())
REPOSITORY = CONFIG["repository"]["url"]
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TAG = f"v{PROJECT['version']}"
POST_BUILD = ROOT / "postBuild"
MOST_MEMORY = 1.5e9  # bytes
UNITS = {"G": 1e9, "M": 1e6}


def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = (line.split("==") for line in lines if "==" in line)
    return {name.lower().replace("_", "-"): version for name, version in pinned}


def conda_pins() -> dict[str, str]:
    return dict(d.split("=") for d in ENVIRONMENT["dependencies"] if "=" in d)


# -- Binder ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dockerfile(tmp_path_factory) -> str:
    """What repo2docker makes of a checkout: no Docker is needed to render the recipe."""
    checkout = tmp_path_factory.mktemp("repository")
    for name in ("environment.yml", "constraints.txt", "pyproject.toml", "postBuild"):
        (checkout / name).write_bytes((ROOT / name).read_bytes())
        (checkout / name).chmod((ROOT / name).stat().st_mode)
    told = ["--user-id", "1000", "--user-name", "jovyan", "--image-name", "olmo-explain"]
    done = subprocess.run(
        [Path(sys.executable).with_name("repo2docker"), "--no-build", "--debug", *told, checkout],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_repo2docker_recognises_a_conda_environment(monkeypatch):
    from repo2docker.app import Repo2Docker
    from repo2docker.buildpacks import CondaBuildPack

    monkeypatch.chdir(ROOT)
    app = Repo2Docker()
    first = next(pack for pack in app.buildpacks if pack(app.base_image).detect())
    assert first is CondaBuildPack
    assert first(app.base_image).python_version == conda_pins()["python"]


def test_its_recipe_installs_the_environment_and_runs_our_last_step(dockerfile):
    assert re.search(r'env update -p \S+ --file "environment.yml"', dockerfile)
    assert re.search(r"^RUN \./postBuild$", dockerfile, re.MULTILINE)
    steps = [dockerfile.index(at) for at in ("env update", "COPY --chown=1000", "./postBuild")]
    assert dockerfile.rindex("COPY --chown=1000", 0, steps[2]) > steps[0]


def test_a_new_commit_keeps_the_layer_of_the_environment(dockerfile):
    """The environment is built before the repository is copied in, from its own file alone."""
    before = dockerfile[: dockerfile.index("env update")]
    assert "src/environment.yml" in before
    assert "COPY --chown=1000:1000 src/ " not in before


def test_post_build_is_a_script_that_runs():
    assert os.access(POST_BUILD, os.X_OK)
    text = POST_BUILD.read_text()
    assert text.startswith("#!/usr/bin/env bash") and "set -euo pipefail" in text
    assert subprocess.run(["bash", "-n", POST_BUILD]).returncode == 0


def test_post_build_installs_what_the_chapters_need_at_the_pinned_versions():
    (install,) = re.findall(r"^pip install (.*)$", POST_BUILD.read_text(), re.MULTILINE)
    assert "--constraint constraints.txt" in install and "--no-cache-dir" in install
    extras = re.search(r"'\.\[(.*)\]'", install)[1].split(",")
    assert set(extras) <= set(PROJECT["optional-dependencies"]) and "lab" in extras
    assert "--editable" not in install


def test_environment_and_constraints_agree():
    pins = conda_pins()
    assert pins["pytorch-cpu"] == constraints()["torch"]
    assert SpecifierSet(PROJECT["requires-python"]).contains(pins["python"] + ".0")
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text())
    assert workflow["jobs"]["test"]["container"].startswith(f"python:{pins['python']}-")
    assert ENVIRONMENT["channels"] == ["conda-forge"]


def test_every_dependency_is_pinned_at_a_version_that_is_allowed():
    pinned, extras = constraints(), PROJECT["optional-dependencies"]
    chosen = ("torch", "lab", "hub", "book", "test")
    asked = sum((extras[name] for name in chosen), PROJECT["dependencies"])
    for need in map(Requirement, asked):
        if need.name == PROJECT["name"]:  # an extra that builds on another
            continue
        version = pinned.get(need.name.lower().replace("_", "-"))
        assert version, f"{need.name} is not in constraints.txt"
        assert need.specifier.contains(version, prereleases=True), need


# -- Colab ----------------------------------------------------------------------------------------


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def first_cell(request) -> str:
    notebook = nbformat.read(request.param, as_version=4)
    return next(cell.source for cell in notebook.cells if cell.cell_type == "code")


def run_cell(source: str, installed: bool, monkeypatch) -> list[tuple[str, str]]:
    """The magics that a cell called, where the package is or is not installed."""
    called = []
    shell = InteractiveShell.instance()
    code = shell.transform_cell(source)
    asked = SimpleNamespace(
        run_line_magic=lambda name, line, *_: called.append((name, line)),
        system=lambda line: called.append(("!", line)),
    )
    found = (lambda name: object()) if installed else (lambda name: None)
    monkeypatch.setattr("importlib.util.find_spec", found)
    try:
        exec(compile(code, "the first cell", "exec"), {"get_ipython": lambda: asked})
    finally:
        monkeypatch.undo()
        InteractiveShell.clear_instance()
    return called


def test_the_first_cell_installs_this_release_where_the_package_is_missing(first_cell, monkeypatch):
    ((magic, line),) = run_cell(first_cell, installed=False, monkeypatch=monkeypatch)
    assert magic == "pip" and line.startswith("install ")
    need = Requirement(re.search(r'"(.*)"', line)[1])
    assert need.name == PROJECT["name"] and need.url == f"git+{REPOSITORY}@{TAG}"
    assert need.extras == {"lab"}


def test_the_first_cell_does_nothing_where_the_package_is_there(first_cell, monkeypatch):
    assert run_cell(first_cell, installed=True, monkeypatch=monkeypatch) == []


# -- the pages ------------------------------------------------------------------------------------


class Found(HTMLParser):
    """A page's links, and the cells of its memory table."""

    def __init__(self, path: Path):
        super().__init__()
        self.links: list[str] = []
        self.cells: list[str] = []
        self.text = path.read_text(encoding="utf-8")
        self._in_table = self._in_cell = False
        self.feed(self.text)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        given = dict(attributes)
        if tag == "a":
            self.links.append(given.get("href", ""))
        if tag == "table":
            self._in_table = "notebook-memory" in given.get("class", "")
        if tag == "td" and self._in_table:
            self._in_cell = True
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_cell &= tag != "td"
        self._in_table &= tag != "table"

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.cells[-1] += data


@pytest.fixture(scope="module")
def launch_page(book) -> Found:
    return Found(book.html / "book" / "launch.html")


@pytest.fixture(scope="module")
def peaks(launch_page) -> list[float]:
    """Bytes, in the order of the chapters."""
    measured = launch_page.cells[1::2]
    return [float(cell.strip().removesuffix(" MB").replace(",", "")) * 1e6 for cell in measured]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process's peak")
def test_the_memory_of_every_chapter_is_measured_and_small(peaks):
    assert len(peaks) == len(NOTEBOOKS)
    assert all(1e8 < peak < MOST_MEMORY for peak in peaks), peaks


def test_every_chapter_opens_on_binder_and_on_colab(launch_page):
    name = urlsplit(os.environ.get("GITHUB_REPOSITORY") or REPOSITORY).path.strip("/")
    branch = CONFIG["repository"]["branch"]
    for notebook in NOTEBOOKS:
        path = f"notebooks/{notebook.name}"
        binder = f"https://mybinder.org/v2/gh/{name}/{branch}?urlpath="
        (link,) = (a for a in launch_page.links if a.startswith(binder) and notebook.stem in a)
        assert parse_qs(urlsplit(link).query)["urlpath"] == [f"lab/tree/{path}"]
        colab = f"https://colab.research.google.com/github/{name}/blob/{branch}/{path}"
        assert colab in launch_page.links


@pytest.fixture
def launch_links(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "book" / "_ext")
    yield importlib.import_module("launch_links")
    sys.modules.pop("launch_links")


@pytest.mark.parametrize("name", ["olmo-explain/olmo-explain", "someone/a-fork"])
def test_a_link_for_a_hub_names_the_repository_and_the_notebook(launch_links, name):
    repository = launch_links.Repository(f"https://github.com/{name}", "main")
    link = urlsplit(repository.nbgitpuller("notebooks/01_config", "https://hub.school.example/"))
    assert (link.netloc, link.path) == ("hub.school.example", "/hub/user-redirect/git-pull")
    asked = {key: value for key, (value,) in parse_qs(link.query).items()}
    folder = name.split("/")[1]
    assert asked == {
        "repo": f"https://github.com/{name}",
        "branch": "main",
        "urlpath": f"lab/tree/{folder}/notebooks/01_config.ipynb",
    }


def test_the_page_shows_that_link(launch_page, launch_links):
    address = launch_links.Repository(REPOSITORY, CONFIG["repository"]["branch"]).nbgitpuller(
        "notebooks/01_config"
    )
    if not os.environ.get("GITHUB_REPOSITORY"):
        assert address.replace("&", "&amp;") in re.sub(r"</?span[^>]*>", "", launch_page.text)


# -- the JupyterHub -------------------------------------------------------------------------------

VALUES = yaml.safe_load((ROOT / "book" / "jupyterhub-values.yaml").read_text())


def amount(text: str) -> float:
    return float(text[:-1]) * UNITS[text[-1]]


def test_the_hub_gives_the_memory_that_the_chapters_take(peaks):
    memory = VALUES["singleuser"]["memory"]
    server = 2e8  # bytes; JupyterLab's own, beside the kernel
    assert amount(memory["guarantee"]) > max(peaks) + server
    assert amount(memory["limit"]) > 2 * max(peaks) + server


def test_the_hub_fetches_this_repository():
    command = VALUES["singleuser"]["lifecycleHooks"]["postStart"]["exec"]["command"]
    folder = REPOSITORY.rpartition("/")[2]
    assert f"gitpuller {REPOSITORY} {CONFIG['repository']['branch']} {folder}" in command[-1]


def test_the_hub_has_no_password_that_could_be_forgotten():
    """Empty ones let nobody in: JupyterHub refuses to log in where none is set."""
    auth = VALUES["hub"]["config"]["SharedPasswordAuthenticator"]
    assert set(auth.values()) == {""}


def test_the_page_shows_the_values_whole(book):
    page = Found(book.html / "book" / "jupyterhub.html")
    text = html.unescape(re.sub(r"<[^>]+>", "", page.text))
    assert (ROOT / "book" / "jupyterhub-values.yaml").read_text().strip() in text
    assert any(link.endswith("jupyterhub-values.yaml") for link in page.links)
