"""Every operator that PyTorch dispatches while a module runs, and which weights it touched.

A weight is known by the storage that it has when the watch begins: a view, as the transpose that
`Linear` multiplies with, shares the storage of its parameter, also on the meta device where no
tensor has an address. A *copy* does not: once a weight was cast or gathered into a tensor of its
own, only the operator that made the copy is seen to touch it. Within one operator nothing is seen:
that an embedding reads only some rows is known from its ids, not from here.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from torch import Size, Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

SHARES_UNSAID = frozenset(
    {
        "aten._unsafe_view.default",
        "aten.unsafe_split.Tensor",
        "aten.unsafe_split_with_sizes.default",
    }
)
"""Views by what they do, whose schema does not say so."""

SHAPE_ONLY = frozenset(
    [f"{made}_like" for made in ("empty", "zeros", "ones", "full", "rand", "randn", "randint")]
    + [f"new_{made}" for made in ("empty", "zeros", "ones", "full", "empty_strided")]
)
"""They are given a tensor to make another one of its kind, and read none of its numbers."""


class Operator(NamedTuple):
    """One operator at work.

    `op` is its name in PyTorch, as aten.mm.default; `path` the innermost module that ran it, empty
    for the model itself; `weights` the names of the parameters among its inputs. `view`: it only
    looks at its input in another way, and neither reads nor computes a number.
    """

    index: int  # type: ignore[assignment]  # the name in --json, which hides tuple.index
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

    `parameters`: each weight by its name. `running`: the paths of the modules that run, innermost
    last; while the last is None, operators are not written down. A small model runs a thousand of
    them in a few milliseconds, so little is done here for each, and the rest when they are asked
    for.
    """

    def __init__(self, parameters: Mapping[str, Tensor], running: list[str | None]):
        super().__init__()
        self._noted: list[tuple[OpOverload, str, tuple[str, ...], Size | None]] = []
        self._running = running
        self._weights = _WeightsByStorage(parameters)

    def __torch_dispatch__(
        self, func: OpOverload, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        # `_op` is all that a call of the overload comes to.
        result = func._op(*args, **kwargs) if kwargs else func._op(*args)
        if self._running and (path := self._running[-1]) is not None:
            weights = self._weights.among(args)
            if kwargs:
                weights += self._weights.among(kwargs.values())
            first = result if isinstance(result, Tensor) else first_tensor(result)
            self._noted.append((func, path, weights, None if first is None else first.shape))
        return result

    @property
    def seen(self) -> list[Operator]:
        """All that were written down, in order."""
        kinds: dict[OpOverload, tuple[str, bool]] = {}
        operators = []
        for index, (func, path, weights, shape) in enumerate(self._noted):
            if (kind := kinds.get(func)) is None:
                kind = kinds[func] = str(func), _is_view(func)
            size = None if shape is None else tuple(shape)
            once = weights if len(weights) < 2 else tuple(dict.fromkeys(weights))
            operators.append(Operator(index, kind[0], path, once, size, kind[1]))
        return operators

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here, and the guard against it takes its time


def _is_view(func: OpOverload) -> bool:
    return func.is_view or str(func) in SHARES_UNSAID


class _WeightsByStorage:
    """Which parameters lie in a storage, and where: a checkpoint's file may be one for many."""

    def __init__(self, parameters: Mapping[str, Tensor]):
        parts: dict[int | None, list[tuple[str, Tensor]]] = defaultdict(list)
        for name, parameter in parameters.items():
            parts[_storage(parameter)].append((name, parameter))
        parts.pop(None, None)
        self._in = {storage: _InStorage(some) for storage, some in parts.items()}

    def among(self, arguments: Iterable[Any]) -> tuple[str, ...]:
        """The parameters of which some tensor is a part, in order."""
        found: tuple[str, ...] = ()
        for value in arguments:
            kind = type(value)
            if kind is int:  # as most that are no tensors; isinstance takes longer to say no
                continue
            if kind is list:  # so the dispatcher gives every sequence
                if value and type(value[0]) is not int:
                    found += self.among(value)
            elif isinstance(value, Tensor) and (there := self._in.get(_storage(value))) is not None:
                found += there.touched_by(value)
        return found


class _InStorage:
    """The parameters of one storage, each with its first byte and the one after its last."""

    def __init__(self, parameters: list[tuple[str, Tensor]]):
        name, first = parameters[0]
        self._only = (name,) if len(parameters) == 1 and _fills(first) else None
        self._parts = [(*_extent(tensor), name) for name, tensor in parameters]

    def touched_by(self, tensor: Tensor) -> tuple[str, ...]:
        """Those that a tensor of this storage overlaps, each taken from its first byte to its last.

        Columns of one matrix lie between one another, and are not told apart.
        """
        if not tensor.numel():
            return ()
        if self._only:
            return self._only
        start, stop = _extent(tensor)
        return tuple([name for begin, end, name in self._parts if start < end and begin < stop])


def tensors_in(value: Any) -> list[Tensor]:
    """The tensors in nested arguments, in order."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (tuple, list)):
        return []
    found: list[Tensor] = []
    for item in value:
        if isinstance(item, Tensor):
            found.append(item)
        elif isinstance(item, (tuple, list, dict)):
            found += tensors_in(item)
    return found


def first_tensor(value: Any) -> Tensor | None:
    """The first of them, None where there is none."""
    return value if isinstance(value, Tensor) else next(iter(tensors_in(value)), None)


def _storage(tensor: Tensor) -> int | None:
    """What tells one storage from another on every device, where an address may be 0."""
    try:
        return tensor.untyped_storage()._cdata
    except NotImplementedError:  # sparse and opaque ones have none
        return None
    except ValueError:  # a lazy one has none yet
        return None


def _extent(tensor: Tensor) -> tuple[int, int]:
    """The bytes [start, end) of its storage from a tensor's first number to its last."""
    size, start = tensor.itemsize, int(tensor.storage_offset())
    reach = 0
    for length, stride in zip(tensor.shape, tensor.stride(), strict=True):
        if length == 0:
            return start * size, start * size
        reach += (int(length) - 1) * int(stride)
    return start * size, (start + reach + 1) * size


def _fills(tensor: Tensor) -> bool:
    """Whether its storage holds nothing else."""
    return tensor.is_contiguous() and tensor.nbytes == tensor.untyped_storage().nbytes()
