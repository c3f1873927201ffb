"""Figures and tables that read in light and dark, on a phone, and without eyes.

`picture` is what all of them give, `drawing` what they are drawn with, `look` the colours; then a
file for each kind of figure.
"""

from olmo_explain.doors import door

__getattr__, __dir__, __all__ = door(__name__, __file__)
