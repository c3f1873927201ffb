"""Explorers: widgets that answer in JupyterLab, and in a published page without a kernel.

Each is a trio: `name.py` holds the state (synced traits, numbers as bytes), `name.js` draws
everything from that state, `name.css` dresses it. `common.js` and `common.css` are what they share.
"""

from olmo_explain.doors import door

__getattr__, __dir__, __all__ = door(__name__, __file__)
