"""One model over several processes, each with its part of the weights.

`alone` is for one process, and chooses; `sharding` says who holds what, from config.json;
`processes` connects them; `tensor_parallel` loads, traces and verifies the whole.
"""

from olmo_explain.doors import door

__getattr__, __dir__, __all__ = door(__name__, __file__)
