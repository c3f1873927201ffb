"""Forward passes on the meta device, with releases of transformers that did not expect them.

Up to 5.0 their rotary embedding asks for an autocast of the device that it is on, and PyTorch
knows none for the meta device. What is asked for is to leave float32 alone, which there is nothing
to change about: the CPU's autocast, asked for in its place, does the same.
"""

from typing import Any

import torch

from olmo_explain.undo import Undo


def autocast_on_meta(undo: Undo) -> None:
    """While it lasts, autocast may be asked for of the meta device."""
    begin, is_enabled = torch.autocast.__init__, torch.is_autocast_enabled

    def begin_known(self: torch.autocast, device_type: str, *args: Any, **kwargs: Any) -> None:
        begin(self, _known(device_type), *args, **kwargs)

    def is_enabled_known(*device_type: str) -> bool:
        return is_enabled(*map(_known, device_type))

    undo.later(setattr, torch.autocast, "__init__", begin)
    torch.autocast.__init__ = begin_known  # type: ignore[method-assign]
    undo.later(setattr, torch, "is_autocast_enabled", is_enabled)
    torch.is_autocast_enabled = is_enabled_known  # type: ignore[assignment]


def _known(device_type: str) -> str:
    return "cpu" if device_type == "meta" else device_type
