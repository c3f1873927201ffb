"""Are the two the same: the model by hand against the real one, value by value.

`verification` compares, `diagnosis` names the kind of cause of the first difference.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
