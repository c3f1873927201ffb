"""The commands, and how each one's result looks to a person; --json does without.

`commands` has them all, `options` what they can be asked for; then a printer for each.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
