"""This installation: what is there, what it has room for, and whether its OLMo 3 is right.

`doctor` looks, `preflight` asks whether a laptop is ready for a workshop.
"""

from olmo_explain.doors import door

__getattr__, __dir__, __all__ = door(__name__, __file__)
