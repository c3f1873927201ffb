"""OLMo 3 in plain torch: every step under its own name, in the order of transformers.

`reference` is the whole forward pass, `rope` how positions turn queries and keys, `weights` where
the numbers come from.
"""

from olmo_explain.doors import door

__getattr__, __dir__, __all__ = door(__name__, __file__)
