"""The script with which a page reads one head of a model that lies elsewhere. No torch."""

from importlib.resources import files

MODULES = ("weights", "remote", "read_head")


def reader() -> str:
    """The text of a script that declares one name, `readHead`; the engine is not in it.

    Without imports or exports: it can stand before a widget's module, or in a classic script.
    """
    modules = "\n".join(text_of(f"{name}.js") for name in MODULES)
    return f'const readHead = (() => {{\n"use strict";\n{modules}\nreturn readHead;\n}})();\n'


def text_of(filename: str) -> str:
    return (files("olmo_explain.live") / filename).read_text(encoding="utf-8")
