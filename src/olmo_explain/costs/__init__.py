"""What a forward pass costs, from config.json alone, and how fast this machine could be.

`counting` has MACs, FLOPs and bytes of every operation, `roofline` what this machine reaches.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
