"""What ran: every module call of a forward pass, in order, and which weights it read.

With `ops=True` every operator inside these calls too.

>>> model, tokenizer = load("tiny")
>>> ran = trace(model, torch.tensor([[5, 6]]))
>>> ran.counts["Linear"]
57
"""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from olmo_explain.operators import Operator, OperatorWatch, tensors_in

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Call:
    """One call of one leaf module.

    `weight` names its weight in the checkpoint, None where it has none. `flops` counts the floating
    point operations of its matrix multiplication, two a multiply-accumulate; 0 where it multiplies
    no matrices. `seconds` is wall time on this machine.
    """

    index: int
    path: str
    type: str
    input_shapes: tuple[Shape, ...]
    output_shape: Shape | None
    dtype: str | None
    weight: str | None
    flops: int
    seconds: float


@dataclass(frozen=True, repr=False)
class Trace:
    """All calls of one forward pass, and what they read.

    `parameters_held`: all that the model has. `parameters_read`: those that some call used; an
    embedding reads only the rows that it looks up. `operators`: None unless they were asked for.
    """

    calls: list[Call]
    parameters_held: int
    parameters_read: int
    bytes_read: int
    operators: list[Operator] | None = None

    def __repr__(self) -> str:
        counts = ", ".join(f"{name} {count}" for name, count in self.counts.items())
        return (
            f"{self.total:,} module calls ({counts}); "
            f"{self.parameters_read:,} of {self.parameters_held:,} parameters read"
        )

    @property
    def counts(self) -> dict[str, int]:
        """Calls by module type, most frequent first: {"Linear": 225, …}."""
        return dict(Counter(call.type for call in self.calls).most_common())

    @property
    def total(self) -> int:
        return len(self.calls)

    def to_dict(self) -> dict[str, Any]:
        """As `olmo-explain trace --json` prints it."""
        operators = (
            {} if self.operators is None else {"operators": list(map(asdict, self.operators))}
        )
        return {
            "counts": self.counts,
            "total": self.total,
            "calls": [asdict(call) for call in self.calls],
            "parameters_held": self.parameters_held,
            "parameters_read": self.parameters_read,
            "bytes_read": self.bytes_read,
            **operators,
        }


def trace(model: nn.Module, *args: Any, ops: bool = False, **kwargs: Any) -> Trace:
    """Runs `model(*args, **kwargs)` once, without gradients, and says what ran.

    Keeps shapes and names, no tensors, so it costs no memory that grows with the model. Works on
    any module, on any device, the meta device included. Its hooks are gone when it returns, also
    when the model raises; the exception then carries a note that names the module.

    `ops`: write down every operator too. A weight that some function uses without a call of its
    module, which only operators show, then counts as read.
    """
    recorder = _Recorder(model)
    with torch.no_grad():
        try:
            recorder.attach(ops)
            with recorder.watch or nullcontext():
                model(*args, **kwargs)
        except Exception as error:
            if recorder.running:
                error.add_note(f"It was raised in {recorder.running[-1].path or 'the model'}.")
            raise
        finally:
            recorder.detach()
    return recorder.trace()


@dataclass
class _Running:
    path: str
    started: float


@dataclass
class _Recorder:
    model: nn.Module
    calls: list[Call] = field(default_factory=list)
    running: list[_Running] = field(default_factory=list)
    handles: list[RemovableHandle] = field(default_factory=list)
    rows_read: dict[nn.Module, set[int]] = field(default_factory=dict)
    used: set[nn.Module] = field(default_factory=set)
    watch: OperatorWatch | None = None
    looking: bool = False

    def attach(self, ops: bool) -> None:
        for path, module in self.model.named_modules():
            if _does_work_itself(module):
                self._attach(path, module)
            elif ops:
                self._follow(path, module)
        if ops:
            self.watch = OperatorWatch(self.model, self._path)

    def _path(self) -> str | None:
        """The innermost module that runs; None while an operator is our own."""
        return self.running[-1].path if self.running and not self.looking else None

    def _follow(self, path: str, module: nn.Module) -> None:
        """Only knows when the module runs: it works through others, and in between."""

        def before(module: nn.Module, args: tuple) -> None:
            self.running.append(_Running(path, time.perf_counter()))

        def after(module: nn.Module, args: tuple, output: Any) -> None:
            self.running.pop()

        self.handles.append(module.register_forward_pre_hook(before))
        self.handles.append(module.register_forward_hook(after))

    def _attach(self, path: str, module: nn.Module) -> None:
        weight = next(
            (f"{path}.{name}" for name, _ in module.named_parameters(recurse=False)), None
        )
        type_name = type(module).__name__

        def before(module: nn.Module, args: tuple, kwargs: dict) -> None:
            self.running.append(_Running(path, time.perf_counter()))

        def after(module: nn.Module, args: tuple, kwargs: dict, output: Any) -> None:
            seconds = time.perf_counter() - self.running.pop().started
            inputs = list(tensors_in((args, kwargs)))
            result = next(tensors_in(output), None)
            self.used.add(module)
            if isinstance(module, nn.Embedding):
                self._read_rows(module, inputs[0])
            self.calls.append(
                Call(
                    index=len(self.calls),
                    path=path,
                    type=type_name,
                    input_shapes=tuple(tuple(tensor.shape) for tensor in inputs),
                    output_shape=None if result is None else tuple(result.shape),
                    dtype=None if result is None else str(result.dtype).removeprefix("torch."),
                    weight=weight,
                    flops=_matmul_flops(module, result),
                    seconds=seconds,
                )
            )

        self.handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
        self.handles.append(module.register_forward_hook(after, with_kwargs=True))

    def _read_rows(self, module: nn.Embedding, ids: Tensor) -> None:
        # Ids on the meta device have no values: each position then stands for a row of its own.
        self.looking = True
        rows = range(ids.numel()) if ids.is_meta else ids.unique().tolist()
        self.looking = False
        self.rows_read.setdefault(module, set()).update(rows)

    def detach(self) -> None:
        for handle in self.handles:
            handle.remove()

    def trace(self) -> Trace:
        read: dict[Tensor, int] = {}
        for module in self.used:
            for parameter in module.parameters(recurse=False):
                if module in self.rows_read:
                    rows = min(len(self.rows_read[module]), parameter.shape[0])
                    read.setdefault(parameter, rows * parameter[0].numel())
                else:
                    read[parameter] = parameter.numel()
        operators = None if self.watch is None else self.watch.seen
        read.update(self._read_by(operators or []))
        return Trace(
            calls=self.calls,
            parameters_held=sum(parameter.numel() for parameter in self.model.parameters()),
            parameters_read=sum(read.values()),
            bytes_read=sum(count * parameter.itemsize for parameter, count in read.items()),
            operators=operators,
        )

    def _read_by(self, operators: list[Operator]) -> Iterator[tuple[Tensor, int]]:
        """What operators read whole: all that they touch, but for a lookup's table, and views."""
        parameters = dict(self.model.named_parameters())
        for operator in operators:
            if not operator.view and operator.name != "embedding":
                yield from ((parameters[n], parameters[n].numel()) for n in operator.weights)


def _does_work_itself(module: nn.Module) -> bool:
    """A leaf, or a module that owns parameters beside its children."""
    is_leaf = next(module.children(), None) is None
    return is_leaf or next(module.parameters(recurse=False), None) is not None


def _matmul_flops(module: nn.Module, result: Tensor | None) -> int:
    if isinstance(module, nn.Linear) and result is not None:
        return 2 * module.in_features * result.numel()
    return 0
