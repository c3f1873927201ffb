"""Every chapter: stored as it should be, runs alone in an empty folder, its solutions too."""

import re
from pathlib import Path

import matplotlib as mpl
import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
SOLUTION = re.compile(r"<summary>Solution</summary>\s(.*?)</details>", re.DOTALL)
CODE = re.compile(r"```python\n(.*?)```", re.DOTALL)
MOST_LINES, LONGEST_LINE = 10, 100


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request) -> nbformat.NotebookNode:
    return nbformat.read(request.param, as_version=4)


def code_cells(notebook) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def prose(notebook) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def test_it_is_stored_without_outputs_in_short_cells(notebook):
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None
            lines = cell.source.splitlines()
            assert len(lines) <= MOST_LINES, cell.source
            assert max(map(len, lines)) <= LONGEST_LINE, cell.source


def test_it_follows_the_template(notebook):
    text = prose(notebook)
    for part in ("**After this chapter you can**", "Time: ", "## Where we are", "**Predict.**"):
        assert part in text, part
    assert re.search(r"^## Check", text, re.MULTILINE)
    assert len(SOLUTION.findall(text)) >= 3
    assert text.count("<details>") == text.count("</details>")


def test_it_runs_alone_and_so_do_its_solutions(notebook, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(mpl.rcParams, "backend", "agg")
    names: dict = {"__name__": "__main__"}
    for source in code_cells(notebook):
        exec(compile(source, "a cell", "exec"), names)
    for solution in SOLUTION.findall(prose(notebook)):
        for source in CODE.findall(solution):
            exec(compile(source, "a solution", "exec"), names)
    assert not list(tmp_path.iterdir())
