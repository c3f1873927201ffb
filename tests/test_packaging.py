"""What is published: one version everywhere, what each extra brings, and how it is checked."""

import importlib.util
import json
import re
import shutil
import tarfile
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
FILES = ("LICENSE", "README.md", "pyproject.toml", "setup.py")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# -- the version ----------------------------------------------------------------------------------


def test_there_is_one_version():
    assert script("version").versions() == {PROJECT["version"]}


def test_another_version_is_written_everywhere(tmp_path):
    version = script("version")
    for path, _ in version.places():
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(path, copy)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    version.write("12.3.4rc1", tmp_path)
    assert version.versions(tmp_path) == {"12.3.4rc1"}
    for path, text in before.items():
        changed = path.read_bytes().replace(b"12.3.4rc1", PROJECT["version"].encode())
        dated = re.compile(rb"date-released: .*")
        assert dated.sub(b"", changed) == dated.sub(b"", text), path


def test_zenodo_and_the_citation_say_the_same():
    zenodo = json.loads((ROOT / ".zenodo.json").read_text(encoding="utf-8"))
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert zenodo["title"] == citation["title"] and zenodo["license"] == citation["license"]
    assert zenodo["keywords"] == citation["keywords"]
    assert [it["name"] for it in zenodo["creators"]] == [it["name"] for it in citation["authors"]]
    assert "version" not in zenodo  # Zenodo takes that of the release


# -- what each extra brings -----------------------------------------------------------------------


def brings(extra: str) -> set[str]:
    """The packages that an extra names, and the extras of ours that it builds on."""
    found = set()
    for need in map(Requirement, EXTRAS[extra]):
        found |= (
            set().union(*map(brings, need.extras)) if need.name == PROJECT["name"] else {need.name}
        )
    return found


def test_the_core_is_light():
    heavy = {"torch", "transformers", "jaxtyping", "anywidget", "ipywidgets", "matplotlib"}
    assert not heavy & {Requirement(need).name for need in PROJECT["dependencies"]}


@pytest.mark.parametrize("extra", ["lab", "hub", "book", "test", "train"])
def test_what_runs_the_model_builds_on_torch(extra):
    assert {Requirement(need).name for need in EXTRAS["torch"]} <= brings(extra)


def test_the_image_and_the_build_of_the_book_have_what_the_chapters_import():
    assert {"calflops", "torchinfo", "jupyterlab"} <= brings("hub") & brings("book")


# -- wheel and sdist ------------------------------------------------------------------------------


@pytest.fixture
def dist(tmp_path) -> Path:
    """A wheel and an sdist that hold what they should, of empty files."""
    names = script("check_dist").tracked()
    stem = f"olmo_explain-{PROJECT['version']}"
    with zipfile.ZipFile(tmp_path / f"{stem}-py3-none-any.whl", "w") as wheel:
        for name in (*names, f"{stem}.dist-info/METADATA"):
            wheel.writestr(name, "")
    with tarfile.open(tmp_path / f"{stem}.tar.gz", "w:gz") as sdist:
        for name in (*(f"src/{name}" for name in names), *FILES):
            sdist.addfile(tarfile.TarInfo(f"{stem}/{name}"))
    return tmp_path


def test_what_is_whole_passes(dist):
    assert list(script("check_dist").faults(dist)) == []


def test_what_is_not_is_said(dist, monkeypatch):
    check = script("check_dist")
    here = check.tracked()
    monkeypatch.setattr(check, "tracked", lambda: here - {"olmo_explain/words.py"} | {"a.js"})
    said = "\n".join(check.faults(dist, "v9"))
    assert said.count("without a.js") == said.count("words.py is not in git") == 2
    assert "the tag v9 is not that of version" in said
    (dist / "other.tar.gz").touch()
    assert next(check.faults(dist)).endswith("1 wheels and 2 sdists, not one of each")


# -- workflows ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_pins_what_it_uses_and_may_do_little(path):
    text = path.read_text(encoding="utf-8")
    for action in re.findall(r"uses: (.*)", text):
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+(\.\d+)*", action), action
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] in ({}, {"contents": "read"})
    for name, job in workflow["jobs"].items():
        assert "timeout-minutes" in job, name
        writes = {k for k, v in job.get("permissions", {}).items() if v == "write"}
        assert writes <= {"id-token", "pages", "attestations"}, name
        for step in job["steps"]:
            if "checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False, name
            assert "${{" not in step.get("run", ""), "an expression becomes code there"
