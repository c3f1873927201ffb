from .alone import leave_it_to_the_first, runner
from .sharding import memory, shares
from .tensor_parallel import SharedTrace, SharedVerification

__all__ = [
    "SharedTrace",
    "SharedVerification",
    "leave_it_to_the_first",
    "memory",
    "runner",
    "shares",
]
