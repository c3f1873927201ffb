"""Forward passes on the meta device, with releases of transformers that did not expect them.

Up to 5.0 their rotary embedding asks for an autocast of the device that it is on, and PyTorch
knows none for the meta device. What is asked for is to leave float32 alone, which there is nothing
to change about: the CPU's autocast, asked for in its place, does the same.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor


@contextmanager
def forward_on_meta(parameters: Iterable[Tensor]) -> Iterator[None]:
    """Where some are on the meta device, their model may ask for autocast. Else it does nothing."""
    if not any(parameter.is_meta for parameter in parameters):
        yield
        return
    begin, is_enabled = torch.autocast.__init__, torch.is_autocast_enabled

    def begin_known(self: torch.autocast, device_type: str, *args: Any, **kwargs: Any) -> None:
        begin(self, _known(device_type), *args, **kwargs)

    def is_enabled_known(*device_type: str) -> bool:
        return is_enabled(*map(_known, device_type))

    with (
        mock.patch.object(torch.autocast, "__init__", begin_known),
        mock.patch.object(torch, "is_autocast_enabled", is_enabled_known),
    ):
        yield


def _known(device_type: str) -> str:
    return "cpu" if device_type == "meta" else device_type
