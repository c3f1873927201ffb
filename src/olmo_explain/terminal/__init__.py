"""The commands, and how each one's result looks to a person; --json does without.

`commands` has them all (two of them from `comparing`), `options` what they can be asked for; then
a printer for each.
"""

from olmo_explain.doors import door

__getattr__, __dir__, __all__ = door(__name__, __file__)
