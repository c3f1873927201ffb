"""The front-end files of an explorer, as the strings that are saved into a page."""

from importlib.resources import files


def script(name: str) -> str:
    """The ES module of one explorer: what all share, then its own."""
    return _text("common.js") + "\n" + _text(f"{name}.js")


def style(name: str) -> str:
    """The style sheet of one explorer: what all share, then its own."""
    return _text("common.css") + "\n" + _text(f"{name}.css")


def _text(filename: str) -> str:
    return (files("olmo_explain.explorers") / filename).read_text(encoding="utf-8")
