"""Are the two the same: the model by hand against the real one, value by value.

`verification` compares, `diagnosis` names the kind of cause of the first difference.
"""

from olmo_explain.doors import door

__getattr__, __dir__, __all__ = door(__name__, __file__)
