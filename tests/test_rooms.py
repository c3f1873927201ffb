"""The house is built as CONTRIBUTING says: rooms import downward only, and through doors.

Read from the source alone, by `ast`: nothing of the package is imported here.
"""

import ast
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HOUSE = ROOT / "src" / "olmo_explain"
SOURCES = sorted(HOUSE.rglob("*.py"))
MOST_LINES = 400
WRITTEN = {".py", ".pyi", ".js", ".css", ".jinja"}
FOLDERS = ("src", "tests", "benchmarks", "support", "scripts", "book/_ext")

# benchmarks/norms.py walks the same bytes as head_norms: in as many threads, in the same blocks.
BEHIND_DOORS = {"benchmarks/norms.py": {"checkpoint.heads", "checkpoint.norms"}}


@dataclass(frozen=True)
class House:
    """Its `ground` files, its `rooms` from the ground up, and the names that each room's door has.

    The door of the whole house is that of the room "".
    """

    ground: tuple[str, ...]
    rooms: tuple[str, ...]
    doors: Mapping[str, set[str]]

    def faults(self, where: str, source: str) -> list[str]:
        """What is wrong with the imports of a file in a room, on the ground, or outside.

        Outside, and at the door of the house, all rooms are below.
        """
        wrong = (self._fault(where, module, name) for module, name in imports(source))
        return [fault for fault in wrong if fault]

    def _fault(self, where: str, module: str, name: str | None) -> str | None:
        room, _, inside = module.partition(".")
        if room == where or room in self.ground:
            return None
        if room and room not in self.rooms:
            return f"{room}: there is no such room"
        if self._floor(where) < self._floor(room):
            return f"{where} imports {room or 'the door of the house'}, which is built on it"
        if inside:
            return f"{module}: past the door"
        if name is None and not room:  # import olmo_explain as oe
            return None
        return None if name in self.doors[room] else f"{room} does not offer {name}"

    def _floor(self, where: str) -> int:
        if where in self.ground:
            return -1
        return self.rooms.index(where) if where in self.rooms else len(self.rooms)


def imports(source: str, package: str = "olmo_explain") -> Iterator[tuple[str, str | None]]:
    """(module, name) of each import from a package, wherever it stands; None for no name.

    Modules without the package's own name: "checkpoint.source", "" for the package itself.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found = [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found = [(_whole(node), alias.name) for alias in node.names]
        else:
            continue
        for module, name in found:
            first, _, inside = module.partition(".")
            if first == package:
                # from olmo_explain import errors: a module, not a name of the house's door
                is_module = not inside and name in GROUND
                yield (name, None) if is_module else (inside, name)


def _whole(node: ast.ImportFrom) -> str:
    """A relative import would hide from which room it takes."""
    assert node.level == 0, "Write imports from the package in full"
    return node.module or ""


def names_of(stub: str) -> dict[str, str]:
    """name → module that gives it, of a door; "" where the name is itself a module."""
    return {
        alias.name: node.module or ""
        for node in ast.parse(stub).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def listed(stub: str) -> list[str]:
    """The names in a door's `__all__`."""
    (every,) = (
        node.value
        for node in ast.parse(stub).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    return ast.literal_eval(every)


def defined(source: str) -> set[str]:
    """What a module defines at its top."""
    names = set()
    for node in ast.parse(source).body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Assign(targets=targets):
                names |= {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
    return names


def door_faults(stub: str, modules: Mapping[str, set[str]]) -> list[str]:
    """What is wrong with a door. `modules`: those behind it, each with what it defines."""
    given = names_of(stub)
    faults = [f"{name}: only in one of both" for name in set(given) ^ set(listed(stub))]
    for name, module in given.items():
        if module and name in modules:
            faults.append(f"{name}: also a module, which would take its place")
        if name not in (modules if not module else modules.get(module, ())):
            faults.append(f"{name}: not in {module or 'this room'}")
    return faults


def read_rooms(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The ground files and the rooms, from the ground up, of the list in CONTRIBUTING."""
    tree = text.partition("## How the house is built")[2].partition("```text\n")[2]
    top, ground, *rooms = tree.partition("```")[0].splitlines()
    assert top == "src/olmo_explain/", top
    found = (re.match(r"  (\w+)/ ", room) for room in rooms)
    return tuple(ground.split("   ")[0].split()), tuple(room[1] for room in found if room)


GROUND, ROOMS = read_rooms((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
STUBS = {room: (HOUSE / room / "__init__.pyi").read_text() for room in ("", *ROOMS)}
THE_HOUSE = House(GROUND, ROOMS, {room: set(names_of(stub)) for room, stub in STUBS.items()})


def place(path: Path) -> str:
    """The room of a file, its own name if it stands on the ground, "" at the door."""
    first, *others = path.relative_to(HOUSE).parts
    return first if others else first.removesuffix(".py") if first[0] != "_" else ""


def behind(room: str) -> dict[str, set[str]]:
    """What stands behind a door: modules, and folders of them by what their own files define."""
    modules = {}
    for path in (HOUSE / room).rglob("*.py"):
        inside = path.relative_to(HOUSE / room).with_suffix("").parts
        name = ".".join(inside[:-1] if inside[-1] == "__init__" else inside)
        modules[name] = defined(path.read_text()) | set(names_of_stub_beside(path))
    return modules


def names_of_stub_beside(path: Path) -> Iterable[str]:
    stub = path.with_suffix(".pyi")
    return names_of(stub.read_text()) if stub.exists() else ()


# -- the house ------------------------------------------------------------------------------------


def test_the_list_has_every_room_and_what_stands_on_the_ground():
    assert sorted(ROOMS) == sorted(p.parent.name for p in HOUSE.glob("*/__init__.py"))
    assert {path.stem for path in HOUSE.glob("[!_]*.py")} == set(GROUND)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_imports_run_downward_and_through_doors(path):
    assert THE_HOUSE.faults(place(path), path.read_text(encoding="utf-8")) == []


def both_ways(arrows: set[tuple[str, str]]) -> set[tuple[str, str]]:
    return {(one, other) for one, other in arrows if one < other and (other, one) in arrows}


def test_no_two_rooms_import_each_other():
    arrows = {
        (place(path), module.partition(".")[0])
        for path in SOURCES
        for module, _ in imports(path.read_text(encoding="utf-8"))
    }
    assert len(arrows) > len(ROOMS)
    assert both_ways(arrows) == set()


@pytest.mark.parametrize("room", STUBS)
def test_a_door_gives_what_is_there_and_hides_no_module(room):
    assert door_faults(STUBS[room], behind(room)) == []


# -- outside --------------------------------------------------------------------------------------


def code_of_notebook(text: str) -> str:
    """Its code, without magics."""
    cells = (cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code")
    code = "\n".join("".join(cell["source"]) for cell in cells)
    return re.sub(r"^(\s*)[%!].*$", r"\1pass", code, flags=re.MULTILINE)


def code_of_page(text: str) -> str:
    """The imports in the code that a page shows."""
    return "\n".join(re.findall(r"^(?:>>> )?((?:from|import) olmo_explain.*)$", text, re.MULTILINE))


READ = {".py": str, ".ipynb": code_of_notebook, ".md": code_of_page}
OUTSIDE = sorted(
    path
    for folder in ("notebooks", "book", "scripts", "benchmarks", "support")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in READ
)


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda path: str(path.relative_to(ROOT)))
def test_from_outside_the_way_is_through_a_door(path):
    source = READ[path.suffix](path.read_text(encoding="utf-8"))
    allowed = BEHIND_DOORS.get(path.relative_to(ROOT).as_posix(), set())
    assert set(THE_HOUSE.faults("outside", source)) == {
        f"{room}: past the door" for room in allowed
    }


@pytest.mark.parametrize(
    ("folder", "other", "but"),
    [
        ("benchmarks", "tests", ""),
        ("support", "tests", ""),
        ("support", "benchmarks", ""),
        ("tests", "tests", ""),
        ("tests", "benchmarks", "benchmarks"),
    ],
)
def test_tests_and_benchmarks_share_only_what_stands_in_support(folder, other, but):
    found = [
        path
        for path in (ROOT / folder).rglob("*.py")
        if path.parent.name != but and list(imports(path.read_text(encoding="utf-8"), other))
    ]
    assert found == []


def lines_too_many(lines: Mapping[str, int]) -> dict[str, int]:
    return {name: count for name, count in lines.items() if count > MOST_LINES}


def test_no_file_is_longer_than_one_reads_at_once():
    files = [
        path
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.suffix in WRITTEN and "__pycache__" not in path.parts
    ]
    lines = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in files
    }
    assert len(lines) > 150
    assert lines_too_many(lines) == {}


# -- these checks can fail ------------------------------------------------------------------------

SMALL = House(
    ground=("errors", "ids"),
    rooms=("checkpoint", "running", "terminal"),
    doors={"": {"load"}, "checkpoint": {"read"}, "running": {"load"}, "terminal": {"main"}},
)


@pytest.mark.parametrize(
    ("where", "source", "fault"),
    [
        ("checkpoint", "from olmo_explain.running import load", "checkpoint imports running"),
        ("errors", "from olmo_explain.checkpoint import read", "errors imports checkpoint"),
        ("running", "from olmo_explain.checkpoint.source import x", "checkpoint.source: past"),
        ("running", "import olmo_explain.checkpoint.source", "checkpoint.source: past the door"),
        ("running", "from olmo_explain.checkpoint import hidden", "does not offer hidden"),
        ("running", "from olmo_explain.checkpoint import *", "does not offer *"),
        ("running", "import olmo_explain.checkpoint", "does not offer None"),
        ("running", "from olmo_explain.cellar import x", "cellar: there is no such room"),
        ("running", "import olmo_explain as oe", "running imports the door of the house"),
        ("running", "from olmo_explain import load", "running imports the door of the house"),
        ("running", "def f():\n    from olmo_explain.terminal import main", "imports terminal"),
        ("running", "if TYPE_CHECKING:\n    from olmo_explain.terminal import main", "imports"),
        ("outside", "from olmo_explain.running.loading import load", "running.loading: past"),
        ("outside", "from olmo_explain import hidden", "does not offer hidden"),
    ],
)
def test_a_wrong_import_is_found(where, source, fault):
    (found,) = SMALL.faults(where, source)
    assert fault in found


@pytest.mark.parametrize(
    ("where", "source"),
    [
        ("running", "from olmo_explain.checkpoint import read"),
        ("running", "from olmo_explain.running.loading import x; import olmo_explain.running.meta"),
        ("running", "from olmo_explain.errors import x; from olmo_explain import ids"),
        ("ids", "from olmo_explain.errors import x"),
        ("", "from olmo_explain.terminal import main"),
        ("outside", "import olmo_explain as oe; from olmo_explain import load"),
        ("outside", "from olmo_explain.terminal import main; from olmo_explain.errors import x"),
        ("checkpoint", "import torch; from transformers import olmo_explain"),
    ],
)
def test_a_right_import_is_none(where, source):
    assert SMALL.faults(where, source) == []


def test_a_relative_import_hides_nothing():
    with pytest.raises(AssertionError, match="in full"):
        SMALL.faults("running", "from ..terminal import main")


def test_two_rooms_that_import_each_other_are_found():
    arrows = {("running", "checkpoint"), ("checkpoint", "running"), ("terminal", "running")}
    assert both_ways(arrows) == {("checkpoint", "running")}


@pytest.mark.parametrize(
    ("stub", "fault"),
    [
        ("from .source import gone\n__all__ = ['gone']", "gone: not in source"),
        ("from .nowhere import read\n__all__ = ['read']", "read: not in nowhere"),
        ("from . import nowhere\n__all__ = ['nowhere']", "nowhere: not in this room"),
        ("from .source import read\n__all__ = ['read', 'more']", "more: only in one of both"),
        ("from .source import read\n__all__ = []", "read: only in one of both"),
        ("from .source import hub\n__all__ = ['hub']", "hub: also a module"),
    ],
)
def test_a_wrong_door_is_found(stub, fault):
    (found,) = door_faults(stub, {"source": {"read", "hub"}, "hub": set()})
    assert fault in found


def test_a_door_may_offer_a_module_as_itself():
    stub = "from . import hub\nfrom .source import read, Named\n__all__ = ['Named', 'hub', 'read']"
    code = "def read(): ...\nNamed: type = int\nA, (B, C) = 1, (2, 3)\nclass D: ..."
    assert defined(code) == {"read", "Named", "A", "B", "C", "D"}
    assert door_faults(stub, {"source": defined(code), "hub": set()}) == []


def test_code_is_found_in_notebooks_and_pages():
    cells = [
        {"cell_type": "markdown", "source": ["import nothing"]},
        {"cell_type": "code", "source": ["%pip install x\n", "from olmo_explain.a.b import c\n"]},
        {"cell_type": "code", "source": ["if x:\n", "    !ls\n", "import olmo_explain.a.b"]},
    ]
    found = list(imports(code_of_notebook(json.dumps({"cells": cells}))))
    assert found == [("a.b", "c"), ("a.b", None)]
    page = "Text\n```python\nfrom olmo_explain.a import b\n```\n>>> import olmo_explain as oe\n"
    assert list(imports(code_of_page(page))) == [("a", "b"), ("", None)]


def test_an_import_from_elsewhere_is_found():
    source = "from benchmarks.frame import Plan\ndef f():\n    import tests.conftest"
    assert list(imports(source, "benchmarks")) == [("frame", "Plan")]
    assert list(imports(source, "tests")) == [("conftest", None)]


def test_a_long_file_is_found():
    assert lines_too_many({"a": 400, "b": 401}) == {"b": 401}
