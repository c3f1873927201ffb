"""The API page: every name behind the package's door, from the docstrings.

`olmo_explain/__init__.pyi` is the list of these names and of the rooms that give them. In
book/api.md a line `<!-- door -->` becomes one section a room: its docstring's first paragraph,
its functions and classes, and the classes that these answer with, as far as a reader can meet
them: the room's own door gives them, or a function returns them. No name says in which file it
stands. A name that the door learns is on the page with the next build. Signatures are copied from
the source, so that a shape reads as it was written: autodoc would print what jaxtyping makes of it.
"""

import ast
import dataclasses
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

from sphinx.application import Sphinx
from traitlets import TraitType

import olmo_explain

PACKAGE = olmo_explain.__name__
MARK = "<!-- door -->"
PARAMETERS = re.compile(r'<dl>\s*(<dd><em class="sig-param.*?</dd>)\s*</dl>', re.S)
DESCRIPTION = re.compile("<(/?)dd>")


def names_by_room() -> dict[str, list[str]]:
    """What each room gives to the door, from the stub."""
    stub = Path(olmo_explain.__file__).with_suffix(".pyi").read_text(encoding="utf-8")
    imports = [node for node in ast.parse(stub).body if isinstance(node, ast.ImportFrom)]
    return {node.module: [alias.name for alias in node.names] for node in imports}


def write_sections(app: Sphinx, docname: str, source: list[str]) -> None:
    if MARK in source[0]:
        shown: set[type] = set()
        rooms = names_by_room().items()
        sections = [_section(room, names, shown) for room, names in rooms]
        source[0] = source[0].replace(MARK, "\n\n".join([_overview(), *sections]))


def _overview() -> str:
    names = "\n".join(f"   {name}" for name in sorted(olmo_explain.__all__, key=str.lower))
    return _rst(f".. currentmodule:: {PACKAGE}\n\n.. autosummary::\n   :nosignatures:\n\n{names}")


def _section(room_name: str, names: list[str], shown: set[type]) -> str:
    """What the door has from one room, then the classes that these answer with."""
    room = importlib.import_module(f"{PACKAGE}.{room_name}")
    about = inspect.getdoc(room).split("\n\n")[0].replace("\n", " ")
    things = {name: getattr(room, name) for name in names}
    shown.update(thing for thing in things.values() if inspect.isclass(thing))
    entries = [_entry(f"{PACKAGE}.{name}", thing) for name, thing in things.items()]
    waiting = list(things.values())
    while waiting:
        thing = waiting.pop(0)
        for named in _classes_named_by(thing):
            path, at_a_door = _path(named)
            if named not in shown and (at_a_door or inspect.isroutine(thing)):
                shown.add(named)
                waiting.append(named)
                entries.append(_entry(path, named))
    return f"## {room_name}\n\n{about}\n\n" + _rst("\n\n".join(entries))


def _path(named: type) -> tuple[str, bool]:
    """Where a class is had from, and whether that is the door of its room."""
    room = ".".join(named.__module__.split(".")[:2])
    at_the_door = named.__name__ in importlib.import_module(room).__all__
    return f"{room if at_the_door else named.__module__}.{named.__name__}", at_the_door


def _entry(name: str, thing: object) -> str:
    if not inspect.isclass(thing):
        return f".. autofunction:: {name}"
    # What a NamedTuple says of its fields is "Alias for field number 0".
    fields = ", ".join(getattr(thing, "_fields", ()))
    return f".. autoclass:: {name}\n   :members:" + (fields and f"\n   :exclude-members: {fields}")


def _classes_named_by(thing: object) -> Iterator[type]:
    """Classes of this package in a function's return annotation, or among a class's annotations."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(thing))))
    if inspect.isclass(thing):
        nodes = ast.walk(tree)
        said = [getattr(n, "returns", None) or getattr(n, "annotation", None) for n in nodes]
    else:
        said = [tree.body[0].returns]
    home = vars(inspect.getmodule(thing))
    for name in (n for a in said if a for n in ast.walk(a) if isinstance(n, ast.Name)):
        named = home.get(name.id)
        is_ours = inspect.isclass(named) and named.__module__.split(".")[0] == PACKAGE
        if is_ours and not name.id.startswith("_"):
            yield named


def _rst(text: str) -> str:
    return f"```{{eval-rst}}\n{text}\n```"


def _definition(function: object) -> ast.FunctionDef:
    source = textwrap.dedent(inspect.getsource(inspect.unwrap(function)))
    return next(n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef))


def copy_signature(app, what: str, name: str, thing, options, signature, returns):
    """What the source says between the parentheses and after the arrow."""
    if dataclasses.is_dataclass(thing) and inspect.isclass(thing):
        return _fields(thing), None
    if what == "class" and "__init__" in vars(thing):
        thing = thing.__init__
    if not inspect.isroutine(thing):
        return None
    definition = _definition(thing)
    arguments = definition.args
    if what in ("class", "method") and arguments.args and arguments.args[0].arg in ("self", "cls"):
        arguments.args.pop(0)
    given = f"({ast.unparse(arguments)})"
    if what == "class" or definition.returns is None:
        return given, None
    return given, ast.unparse(definition.returns)


def _fields(thing: type) -> str:
    """The fields of a dataclass, which is what it is made from."""
    body = ast.parse(textwrap.dedent(inspect.getsource(thing))).body[0].body
    fields = [field for field in body if isinstance(field, ast.AnnAssign)]
    given = [
        f"{field.target.id}: {ast.unparse(field.annotation)}" + (" = ..." if field.value else "")
        for field in fields
        if not ast.unparse(field.annotation).startswith("ClassVar")
    ]
    return f"({', '.join(given)})"


def lines_of_a_signature(app, page: str, template: str, context: dict, doctree) -> None:
    """Sphinx 7.4 makes a long signature a list without terms (axe: definition-list)."""

    def as_lines(found: re.Match) -> str:
        lines = DESCRIPTION.sub(r"<\1span>", found[1])
        return f'<span class="sig-lines">{lines}</span>'

    if "body" in context:
        context["body"] = PARAMETERS.sub(as_lines, context["body"])


def skip_traits(app, what: str, name: str, thing: object, skip: bool, options) -> bool | None:
    """An explorer's traits are in its docstring; their help is for who writes its script."""
    return isinstance(thing, TraitType) or None


def setup(app: Sphinx) -> dict:
    app.setup_extension("sphinx.ext.autodoc")
    app.setup_extension("sphinx.ext.autosummary")
    app.config.add_module_names = False
    app.connect("source-read", write_sections)
    app.connect("autodoc-process-signature", copy_signature)
    app.connect("html-page-context", lines_of_a_signature)
    app.connect("autodoc-skip-member", skip_traits)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
