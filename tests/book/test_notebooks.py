"""Every chapter: stored as it should be, runs alone in an empty folder, its solutions are right."""

import importlib.util
import re
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest
import yaml
from IPython.core.inputtransformer2 import TransformerManager

import olmo_explain as oe
from olmo_explain.course.checking import Feedback

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MOST_LINES, LONGEST_LINE = 10, 72
FOLD = re.compile(
    r"<details><summary>(.+?) ▾</summary>\n\n(\S.*?)\n\n</details>(?:\n\n|$)", re.DOTALL
)
CODE = re.compile(r"```python\n(.*)\n```", re.DOTALL)
CHECK = re.compile(r'answer = \.\.\.\noe\.check\("(\d\d\.\d)", answer\)')


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request) -> nbformat.NotebookNode:
    return nbformat.read(request.param, as_version=4)


def code_cells(notebook) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def prose(notebook) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def exercises(notebook) -> dict[str, str]:
    """The Markdown of each exercise: question, hints and solution, before the cell that checks."""
    return {
        asked[1]: question.source
        for question, check in pairwise(notebook.cells)
        if (asked := CHECK.fullmatch(check.source))
    }


def solution(exercise: str) -> str:
    """Its code."""
    return CODE.fullmatch(dict(FOLD.findall(exercise))["Solution"])[1]


def run(source: str, names: dict) -> None:
    """As a kernel would, magics included."""
    code = TransformerManager().transform_cell(source)
    exec(compile(code, "<cell>", "exec"), names)


def test_it_is_stored_without_outputs_in_short_cells(notebook):
    nbformat.validate(notebook)
    sources = [solution(exercise) for exercise in exercises(notebook).values()]
    for cell in code_cells(notebook):
        assert not cell.outputs and cell.execution_count is None
        if "colab-install" not in cell.metadata.get("tags", []):  # it names the repository
            sources.append(cell.source)
    for source in sources:
        lines = source.splitlines()
        assert len(lines) <= MOST_LINES, source
        assert max(map(len, lines)) <= LONGEST_LINE, source


def test_it_follows_the_template(notebook):
    text = prose(notebook)
    for part in ("**After this chapter you can**", "**Try.**", "**Notice.**"):
        assert part in text, part
    assert text.count("**Predict.**") >= 2
    for title in ("Your sentence", "The case", "Check", "Exercises"):
        assert re.search(rf"^## {title}", text, re.MULTILINE), title


def test_what_opens_is_closed_and_looks_so_everywhere(notebook):
    """jupyterlab-myst hides the triangle of `<details>`, and needs an empty line after each."""
    text = prose(notebook)
    assert len(FOLD.findall(text)) == text.count("<details") == text.count("</details>")
    assert not re.search(r"^(:::|```\{)", text, re.MULTILINE), "raw in plain Jupyter"


def test_an_exercise_is_a_question_two_hints_a_solution_and_a_check(notebook):
    asked = exercises(notebook)
    chapter = next(iter(asked))[:2]
    assert list(asked) == [f"{chapter}.{n}" for n in range(1, len(asked) + 1)]
    assert 3 <= len(asked) <= 5
    assert "\n## Exercises\n" in prose(notebook).partition(asked[f"{chapter}.2"])[0]
    for name, exercise in asked.items():
        question, *_ = exercise.partition("<details>")
        assert re.search(rf"(^|\n\n)\*\*{name.lstrip('0')}\*\* [A-Z`]", question), name
        assert [summary for summary, _ in FOLD.findall(exercise)] == [
            "Hint 1",
            "Hint 2",
            "Solution",
        ]
        assert f'oe.check("{name}", ' in solution(exercise)
        assert not re.search(r"^answer\b", solution(exercise), re.MULTILINE), (
            "the reader's own name"
        )


def test_it_runs_alone_and_its_solutions_are_right(notebook, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said: list[Feedback] = []
    check = oe.check

    def listen(exercise, answer) -> Feedback:
        said.append(check(exercise, answer))
        return said[-1]

    monkeypatch.setattr(oe, "check", listen)
    names: dict = {"__name__": "__main__"}
    solutions = exercises(notebook)
    for cell in code_cells(notebook):
        said.clear()
        run(cell.source, names)
        if asked := CHECK.fullmatch(cell.source):
            assert [feedback.state for feedback in said] == ["open"]
            run(solution(solutions[asked[1]]), dict(names))  # none needs another's names
            assert [feedback.state for feedback in said] == ["open", "right"], f"{asked}\n{said}"
            assert said[-1].exercise == asked[1]
        else:
            assert not said, cell.source
    assert not list(tmp_path.iterdir())


def test_colab_installs_the_package_only_where_it_is_missing(notebook, monkeypatch):
    cell = code_cells(notebook)[0]
    assert cell.metadata["tags"] == ["colab-install", "remove-cell"]
    assert cell.metadata["jupyter"] == {"source_hidden": True}  # elsewhere it is a line in the way
    ran: list[tuple] = []

    class Kernel:
        def run_line_magic(self, *magic):
            ran.append(magic)

    names = {"get_ipython": Kernel}
    run(cell.source, names)
    assert not ran
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    run(cell.source, names)
    repository = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["url"]
    (magic, asked), *more = ran
    assert magic == "pip" and not more
    need = rf'install --quiet "olmo-explain\[lab\] @ git\+{re.escape(repository)}@v[0-9.]+"'
    assert re.fullmatch(need, asked)
