"""Weights as tensors, by their names in the checkpoint, from wherever they are."""

import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from olmo_explain.checkpoint import BYTES_PER_PARAMETER, Checkpoint, OlmoConfig
from olmo_explain.errors import UsageError
from olmo_explain.words import quoted

STORED = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32, "F64": torch.float64}
"""The dtypes of safetensors, and torch's."""

DTYPES = {name: getattr(torch, name) for name in BYTES_PER_PARAMETER}

_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def differ(one: Tensor, other: Tensor) -> Bool[Tensor, "..."]:
    """Where two tensors of one shape have other bits: -0 is not 0, and a NaN is itself.

    Of two dtypes the numbers are compared.
    """
    if one.dtype != other.dtype:
        return one != other
    bits = _BITS[one.itemsize]
    return one.view(bits) != other.view(bits)


def check_has_weights(tensors: Iterable[Tensor]) -> None:
    """UsageError where some are on the meta device: they have shapes and no numbers."""
    if any(tensor.is_meta for tensor in tensors):
        raise UsageError(
            "This model has shapes and no weights, so there is nothing to compute with",
            "Choose tiny, or a directory or hub id with weights",
        )


def as_dtype(given: Any) -> torch.dtype:
    """One of the dtypes that weights may have, from torch's or its name."""
    name = str(given).removeprefix("torch.") if isinstance(given, torch.dtype | str) else None
    if name not in DTYPES:
        raise UsageError(f"Unknown dtype {quoted(given)}", f"Choose {', '.join(DTYPES)}")
    return DTYPES[name]


def check_weights(stored: Any, config: OlmoConfig) -> None:
    """Whether every weight that the config asks for is there by its name, in its shape.

    UsageError names the first that is not; CheckpointError, of a Checkpoint.
    """
    if isinstance(stored, Checkpoint):
        stored.check_shapes(config, config.shapes)
        return
    todo = "Give those of an OLMo 2 or 3 as load(…) gives it, or a Checkpoint"
    if not isinstance(stored, Mapping):
        raise UsageError(f"{quoted(stored)} holds no weights", todo)
    for name, shape in config.shapes.items():
        if not isinstance(weight := stored.get(name), Tensor):
            raise UsageError(f"Among these weights there is no {name}", todo)
        if tuple(weight.shape) != shape:
            raise UsageError(
                f"{name} has shape {list(weight.shape)}, and its config makes it {list(shape)}",
                todo,
            )
    check_has_weights(stored[name] for name in config.shapes)


class Weights(Mapping[str, Tensor]):
    """Weights of a Checkpoint, or of a mapping such as `model.state_dict()`, in one dtype.

    A tensor of a Checkpoint is read from its file each time it is asked for, and not kept: one of a
    local file lies in the mapped file itself, and is only to be read. `dtype` and `device`: those
    that the weights have when not given.

    >>> Weights(Checkpoint("tiny"), torch.float32)["model.norm.weight"].shape
    torch.Size([128])
    """

    def __init__(
        self,
        stored: Mapping[str, Tensor] | Checkpoint,
        dtype: torch.dtype | None = None,
        device: torch.device | None = None,
    ):
        self._stored, self._dtype, self._device = stored, dtype, device

    def __getitem__(self, name: str) -> Tensor:
        if isinstance(self._stored, Checkpoint):
            with warnings.catch_warnings():  # that a mapped file cannot be written is what we want
                warnings.simplefilter("ignore")
                bits = torch.from_numpy(self._stored.read_bits(name))
            tensor = bits.view(STORED[self._stored.tensor(name).dtype])
        else:
            tensor = self._stored[name].detach()
        return tensor.to(self._device, self._dtype)

    def expect(self, prefix: str) -> None:
        """Says that the weights whose names begin so are needed soon; the disk may begin now."""
        for checkpoint, name in self._stored_like(prefix):
            checkpoint.expect(name)

    def release(self, prefix: str) -> None:
        """Lets the system take back the memory of these weights. They may be asked for again."""
        for checkpoint, name in self._stored_like(prefix):
            checkpoint.release(name)

    def _stored_like(self, prefix: str) -> Iterator[tuple[Checkpoint, str]]:
        if isinstance(self._stored, Checkpoint):
            for name in self._stored.names:
                if name.startswith(prefix):
                    yield self._stored, name

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def _names(self) -> Collection[str]:
        return self._stored.names if isinstance(self._stored, Checkpoint) else self._stored.keys()
