"""The colours and letters of everything that is drawn: pages, figures and explorers."""

from importlib.resources import files

LOOK = files("olmo_explain.figures").joinpath("look.css").read_text(encoding="utf-8")
"""A style sheet of custom properties, for light and dark."""
