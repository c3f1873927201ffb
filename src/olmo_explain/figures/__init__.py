"""Figures and tables that read in light and dark, on a phone, and without eyes.

`picture` is what all of them give, `style` the colours; then a file for each kind of figure.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
