"""What a forward pass costs, from config.json alone, and how fast this machine could be.

`counting` has MACs, FLOPs and bytes of every operation, `roofline` what this machine reaches.
"""

from olmo_explain.doors import door

__getattr__, __dir__, __all__ = door(__name__, __file__)
