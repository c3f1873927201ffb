"""Every chapter: stored as it should be, runs alone in an empty folder, its solutions are right."""

import importlib.util
import re
from pathlib import Path

import matplotlib as mpl
import nbformat
import pytest
import yaml
from IPython.core.inputtransformer2 import TransformerManager

import olmo_explain as oe
from olmo_explain.course.checking import Feedback

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MOST_LINES, LONGEST_LINE = 10, 72
HINTS = re.compile(r"<details><summary>Hint (\d)</summary>\n\n[^\n].*?\n\n</details>", re.DOTALL)
CLOSED = {  # a cell that the book, JupyterLab and Colab show closed
    "tags": ["hide-cell", "solution"],
    "mystnb": {"code_prompt_show": "Solution", "code_prompt_hide": "Solution"},
    "jupyter": {"source_hidden": True, "outputs_hidden": True},
    "cellView": "form",
}


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request) -> nbformat.NotebookNode:
    return nbformat.read(request.param, as_version=4)


def code_cells(notebook) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def prose(notebook) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def is_solution(cell) -> bool:
    return "solution" in cell.metadata.get("tags", [])


def run(cell, names: dict) -> None:
    """As a kernel would, magics included."""
    code = TransformerManager().transform_cell(cell.source)
    exec(compile(code, cell.id, "exec"), names)


def test_it_is_stored_without_outputs_in_short_cells(notebook):
    nbformat.validate(notebook)
    for cell in code_cells(notebook):
        assert not cell.outputs and cell.execution_count is None
        lines = cell.source.splitlines()
        assert len(lines) <= MOST_LINES, cell.source
        if "colab-install" not in cell.metadata.get("tags", []):  # it names the repository
            assert max(map(len, lines)) <= LONGEST_LINE, cell.source


def test_it_follows_the_template(notebook):
    text = prose(notebook)
    for part in ("**After this chapter you can**", "**Try.**", "**Notice.**"):
        assert part in text, part
    assert text.count("**Predict.**") >= 2
    for title in ("Your sentence", "The case", "Check", "Exercises"):
        assert re.search(rf"^## {title}", text, re.MULTILINE), title
    assert text.count("<details>") == text.count("</details>")


def test_an_exercise_is_a_question_hints_a_check_and_a_closed_solution(notebook):
    cells = notebook.cells
    first = next(at for at, cell in enumerate(cells) if "\n## Exercises\n" in f"\n{cell.source}")
    solutions = [at for at, cell in enumerate(cells) if is_solution(cell)]
    assert 3 <= len(solutions) <= 5 and solutions[0] > first
    begin = first
    for number, at in enumerate(solutions, start=1):
        check, solution = cells[at - 1], cells[at]
        exercise = re.fullmatch(r'answer = \.\.\.\noe\.check\("(\d\d\.\d)", answer\)', check.source)
        assert exercise, check.source
        chapter = exercise[1].lstrip("0")
        assert chapter.endswith(f".{number}")
        asked = "\n\n".join(c.source for c in cells[begin : at - 1] if c.cell_type == "markdown")
        assert f"**{chapter}** " in asked
        assert HINTS.findall(asked)[:2] == ["1", "2"], chapter
        assert asked.count("<details>") == len(HINTS.findall(asked)), chapter
        assert solution.metadata == CLOSED, chapter
        title, *_, last = solution.source.splitlines()
        assert title == f"# @title Solution to {chapter}"
        assert last.startswith((f'oe.check("{exercise[1]}", ', ")")), last
        assert not re.search(r"^answer\b", solution.source, re.MULTILINE), "the reader's own name"
        begin = at + 1


def test_it_runs_alone_and_its_solutions_are_right(notebook, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(mpl.rcParams, "backend", "agg")
    said: list[Feedback] = []
    check = oe.check

    def listen(exercise, answer) -> Feedback:
        said.append(check(exercise, answer))
        return said[-1]

    monkeypatch.setattr(oe, "check", listen)
    names: dict = {"__name__": "__main__"}
    for cell in code_cells(notebook):
        said.clear()
        run(cell, names)
        if is_solution(cell):
            assert [feedback.state for feedback in said] == ["right"], f"{cell.source}\n{said}"
        else:
            assert all(feedback.state == "open" for feedback in said), cell.source
    assert not list(tmp_path.iterdir())


def test_colab_installs_the_package_only_where_it_is_missing(notebook, monkeypatch):
    cell = code_cells(notebook)[0]
    assert cell.metadata["tags"] == ["colab-install", "remove-cell"]
    ran: list[tuple] = []

    class Kernel:
        def run_line_magic(self, *magic):
            ran.append(magic)

    names = {"get_ipython": Kernel}
    run(cell, names)
    assert not ran
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    run(cell, names)
    repository = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["url"]
    assert ran == [("pip", f'install --quiet "olmo-explain[lab] @ git+{repository}"')]
