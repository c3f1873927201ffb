"""Every operator that PyTorch dispatches while a module runs, and which weights it touched.

A weight is known by its storage: a view, as the transpose that `Linear` multiplies with, shares the
storage of its parameter, also on the meta device where no tensor has an address. A *copy* does not:
once a weight was cast or gathered into a tensor of its own, only the operator that made the copy is
seen to touch it. Within one operator nothing is seen: that an embedding reads only some rows is
known from its ids, not from here.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode


@dataclass(frozen=True)
class Operator:
    """One operator at work.

    `op` is its name in PyTorch, as aten.mm.default; `path` the innermost module that ran it, empty
    for the model itself; `weights` the names of the parameters among its inputs. `view`: it only
    looks at its input in another way, and neither reads nor computes a number.
    """

    index: int
    op: str
    path: str
    weights: tuple[str, ...]
    output_shape: tuple[int, ...] | None
    view: bool

    @property
    def name(self) -> str:
        """Without namespace and overload: mm."""
        return self.op.split(".")[1]


class OperatorWatch(TorchDispatchMode):
    """While it is entered, writes down every operator; keeps no tensor.

    `path()` says which module is running; where it gives None, nobody wants to know.
    """

    def __init__(self, model: nn.Module, path: Callable[[], str | None]):
        super().__init__()
        self.seen: list[Operator] = []
        self._weights = _WeightsByStorage(model)
        self._path = path

    def __torch_dispatch__(
        self, func: OpOverload, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        path = self._path()
        if path is not None:
            inputs = list(tensors_in((args, kwargs)))
            output = next(tensors_in(result), None)
            self.seen.append(
                Operator(
                    index=len(self.seen),
                    op=str(func),
                    path=path,
                    weights=self._weights.names(inputs),
                    output_shape=None if output is None else tuple(output.shape),
                    view=_is_view(func, inputs, output),
                )
            )
        return result


class _WeightsByStorage:
    """Which parameters lie in a storage, and where: a checkpoint's file may be one for many."""

    def __init__(self, model: nn.Module):
        self._parts: dict[int, list[tuple[range, str]]] = defaultdict(list)
        for name, parameter in model.named_parameters():
            if (storage := _storage(parameter)) is not None:
                self._parts[storage].append((_extent(parameter), name))

    def names(self, tensors: list[Tensor]) -> tuple[str, ...]:
        """The parameters of which some tensor is a part, in order, each once."""
        found = {}
        for tensor in tensors:
            for extent, name in self._parts.get(_storage(tensor), ()):
                seen = _extent(tensor)
                if seen.start < extent.stop and extent.start < seen.stop:
                    found[name] = None
        return tuple(found)


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors in nested arguments, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from tensors_in(tuple(value.values()))
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors_in(item)


def _storage(tensor: Tensor) -> int | None:
    """What tells one storage from another on every device, where an address may be 0."""
    try:
        return tensor.untyped_storage()._cdata
    except (NotImplementedError, RuntimeError):  # sparse tensors and some subclasses have none
        return None


def _extent(tensor: Tensor) -> range:
    """The bytes of its storage between a tensor's first number and its last."""
    reach = sum(
        (size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True)
    )
    start = tensor.storage_offset()
    stop = start + reach + 1 if tensor.numel() else start
    return range(start * tensor.itemsize, stop * tensor.itemsize)


def _is_view(func: OpOverload, inputs: list[Tensor], output: Tensor | None) -> bool:
    if output is None or func._schema.is_mutable:
        return False
    storage = _storage(output)
    return storage is not None and storage in map(_storage, inputs)
