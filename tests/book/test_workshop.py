"""The workshop guide: its minutes add up, and what it points at is there."""

import re
import shlex
from pathlib import Path

import nbformat
import pytest
import yaml
from support.commands import run

from olmo_explain.course import check
from olmo_explain.errors import UsageError

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "book" / "workshop.md").read_text(encoding="utf-8")
NOTEBOOKS = {int(path.stem[:2]): path for path in (ROOT / "notebooks").glob("*.ipynb")}
PLANS = {"half-day": 3 * 60, "full-day": 7 * 60}  # minutes
WORDS = {"Three": 3, "Seven": 7}


def plan(name: str) -> list[tuple[int, str]]:
    """(minutes, what) of each line of a plan."""
    fenced = re.findall(r"```\{list-table\} (.*?)\n(.*?)```", GUIDE, re.DOTALL)
    (body,) = (body for title, body in fenced if f":name: {name}\n" in body)
    rows = re.findall(r"^\* - (.*)\n  - (.*)\n  - .*$", body, re.MULTILINE)[1:]  # after the head
    assert len(rows) == body.count("\n* - ") - 1
    return [(int(minutes), what) for minutes, what in rows]


def chapters(name: str) -> dict[int, int]:
    """Chapter → the minutes that the plan gives it."""
    found = ((re.search(r"\.\./notebooks/(\d+)_", what), minutes) for minutes, what in plan(name))
    return {int(chapter[1]): minutes for chapter, minutes in found if chapter}


def time_of(chapter: int) -> int:
    """The minutes that the chapter itself asks for."""
    notebook = nbformat.read(NOTEBOOKS[chapter], as_version=4)
    return int(re.search(r"^\*(\d+) minutes", notebook.cells[0].source, re.MULTILINE)[1])


def skipped(name: str) -> set[int]:
    """The chapters that the text under the plan leaves for home."""
    rest = GUIDE[GUIDE.index(f":name: {name}") :]
    listed = re.search(r"^Chapters ([\d, and]+) are left for home", rest, re.MULTILINE)[1]
    return set(map(int, re.findall(r"\d+", listed)))


@pytest.mark.parametrize(("name", "minutes"), PLANS.items())
def test_the_minutes_add_up(name, minutes):
    assert sum(each for each, _ in plan(name)) == minutes
    title = re.search(r"\{list-table\} (\w+) hours[^`]*?:name: " + name, GUIDE)[1]
    assert WORDS[title] * 60 == minutes


@pytest.mark.parametrize("name", PLANS)
def test_a_chapter_gets_the_time_that_it_asks_for(name):
    assert chapters(name) == {chapter: time_of(chapter) for chapter in chapters(name)}


@pytest.mark.parametrize("name", PLANS)
def test_every_chapter_is_taught_or_left_for_home(name):
    taught = set(chapters(name))
    assert taught | skipped(name) == set(NOTEBOOKS) and not taught & skipped(name)
    assert list(chapters(name)) == sorted(taught)


@pytest.mark.parametrize("name", PLANS)
def test_nobody_sits_for_more_than_two_hours(name):
    since_break = 0
    for minutes, what in plan(name):
        since_break = 0 if what in ("Break", "Lunch") else since_break + minutes
        assert since_break <= 120, what


def test_every_confusion_has_its_exercise():
    rows = re.findall(r"^\| (\d+) \| \".*\" \| \".*\" \| (\d\d)\.(\d) \|$", GUIDE, re.MULTILINE)
    assert {int(chapter) for chapter, _, _ in rows} == set(NOTEBOOKS)
    for chapter, file, number in rows:
        assert int(chapter) == int(file)
        assert check(f"{file}.{number}", ...) is not None
    with pytest.raises(UsageError):
        check("99.9", ...)


def commands() -> list[list[str]]:
    demonstration = GUIDE[GUIDE.index("## A demonstration") : GUIDE.index("## Before the day")]
    lines = re.findall(r"^\$ (.*)$", demonstration, re.MULTILINE)
    return [shlex.split(line) for line in lines]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_the_demonstration_runs(words):
    command, *rest = words
    assert command == "olmo-explain"
    assert run(*rest).stdout


def test_the_demonstration_shows_a_cell_that_is_there():
    heading = re.search(r'the cell under "([^"]+)"', GUIDE)[1]
    notebook = nbformat.read(NOTEBOOKS[5], as_version=4)
    (at,) = (i for i, cell in enumerate(notebook.cells) if f"## {heading}" in cell.source)
    after = next(cell for cell in notebook.cells[at:] if cell.cell_type == "code")
    assert after.source.count("oe.same(") == 1 and "five times" in GUIDE


def test_the_book_lists_the_pages_for_teachers():
    parts = yaml.safe_load((ROOT / "_toc.yml").read_text())["parts"]
    (teaching,) = (part["chapters"] for part in parts if part["caption"] == "Teaching")
    assert {"book/workshop", "book/launch"} <= {entry["file"] for entry in teaching}
