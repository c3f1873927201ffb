"""This installation: what is there, what it has room for, and whether its OLMo 3 is right.

`doctor` looks, `preflight` asks whether a laptop is ready for a workshop.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
