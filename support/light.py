"""The package as `pip install olmo-explain` brings it: what extras bring cannot be imported."""

import re
import tomllib
from functools import cache
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


@cache
def hidden() -> frozenset[str]:
    """The modules that are installed here and would not be there."""
    needs = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["dependencies"]
    there = {"olmo-explain"} | _closure(needs)
    return frozenset(
        module
        for module, names in packages_distributions().items()
        if module.isidentifier() and not there & set(map(_normal, names))
    )


def without_extras(code: str) -> str:
    """Python that hides them, then runs this code."""
    return f"import sys; sys.modules.update(dict.fromkeys({sorted(hidden())}))\n{code}"


def commands(*lines: tuple[str, ...]) -> str:
    """Python that runs each command, and prints a line of JSON for it: code, stdout, stderr."""
    return (
        "import io, json, sys\n"
        "from contextlib import redirect_stderr, redirect_stdout\n"
        "from olmo_explain.terminal import main\n"
        f"for words in {lines!r}:\n"
        "    sys.argv, out, err = ['olmo-explain', *words], io.StringIO(), io.StringIO()\n"
        "    try:\n"
        "        with redirect_stdout(out), redirect_stderr(err): main()\n"
        "    except SystemExit as end: code = end.code\n"
        "    print(json.dumps([code, out.getvalue(), err.getvalue()]))\n"
    )


def _closure(needs: list[str]) -> set[str]:
    """All that pip would install for these, as far as it is installed here."""
    found: set[str] = set()
    waiting = [Requirement(need) for need in needs]
    while waiting:
        need = waiting.pop()
        name = _normal(need.name)
        if name in found:
            continue
        found.add(name)
        extras = need.extras or {""}
        for more in map(Requirement, distribution(name).requires or ()):
            if not more.marker or any(more.marker.evaluate({"extra": e}) for e in extras):
                waiting.append(more)
    return found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
