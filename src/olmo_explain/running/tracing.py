"""What ran: every module call of a forward pass, in order, and which weights it read.

With `ops=True` every operator inside these calls too.

>>> model, tokenizer = load("tiny")
>>> ran = trace(model, torch.tensor([[5, 6]]))
>>> ran.counts["Linear"]
57
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from threading import get_ident
from traceback import walk_tb
from typing import Any

import torch
from torch import Tensor, nn

from olmo_explain.ids import as_ids, as_mask, check_room
from olmo_explain.running.hooks import Hooks, check_hookable, hooked
from olmo_explain.running.meta import autocast_on_meta
from olmo_explain.running.operators import (
    SHAPE_ONLY,
    Operator,
    OperatorWatch,
    first_tensor,
    tensors_in,
)
from olmo_explain.running.order import Step, sequence
from olmo_explain.undo import no_grad

Shape = tuple[int, ...]


@dataclass(slots=True)  # frozen ones take four times as long to make
class Call:
    """One call of one leaf module.

    `weight` names its weight in the checkpoint, None where it has none. `flops` counts the floating
    point operations of its matrix multiplication, two a multiply-accumulate; 0 where it multiplies
    no matrices.
    """

    index: int
    path: str
    type: str
    input_shapes: tuple[Shape, ...]
    output_shape: Shape | None
    dtype: str | None
    weight: str | None
    flops: int


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

    @property
    def sequence(self) -> list[Step]:
        """The fifteen steps of each layer, in the order in which its operators made them."""
        return sequence(self.operators or ())

    def to_dict(self) -> dict[str, Any]:
        """As `olmo-explain trace --json` prints it."""
        operators = {}
        if self.operators is not None:
            operators = {
                "operators": [operator._asdict() for operator in self.operators],
                "sequence": [asdict(step) for step in self.sequence],
            }
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

    Keeps shapes and names, no tensors, so its memory grows neither with the model nor with the
    prompt. Works on any module, on any device, the meta device included; a language model may be
    given its token ids as a list. Its hooks are gone when it returns, also when the model raises;
    the exception then carries a note that names the module.

    `ops`: write down every operator too. A weight that some function uses without a call of its
    module, which only operators show, then counts as read, a table that it looks up as read whole.

    What other threads run meanwhile is not counted.
    """
    check_hookable(model)
    args, kwargs = _readable(model, args, kwargs)
    recorder = _Recorder(model, ops)
    try:
        with no_grad(), hooked() as hooks:
            recorder.attach(hooks)
            model(*args, **kwargs)
    except Exception as error:
        if (path := _raised_in(error, model)) is not None:
            error.add_note(f"It was raised in {path or 'the model'}.")
        raise
    return recorder.trace()


def _readable(model: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict]:
    """What a language model is given: ids and mask may come as lists, and are looked at."""
    vocab_size = getattr(getattr(model, "config", None), "vocab_size", None)
    # A part of a language model has its config too, and takes something else.
    if vocab_size is None or not hasattr(model, "get_input_embeddings"):
        return args, kwargs
    given = args[0] if args else kwargs.get("input_ids")
    if given is None:
        return args, kwargs
    device = next((parameter.device for parameter in model.parameters()), None)
    ids = as_ids(given, vocab_size, device)
    if heads := getattr(model.config, "num_attention_heads", None):
        check_room(ids, heads, next(model.parameters()).itemsize)
    # A tensor may have other axes, and several masks come as a dict: those are the model's.
    mask = kwargs.get("attention_mask")
    if not isinstance(mask, dict | None) and getattr(mask, "ndim", 0) < 2:
        kwargs = kwargs | {"attention_mask": as_mask(mask, ids)}
    return ((ids, *args[1:]), kwargs) if args else (args, kwargs | {"input_ids": ids})


class _Watched:
    """A module, and what is known of its calls. `rows`: those that were looked up in its table."""

    __slots__ = ("called", "in_features", "parameters", "path", "rows", "type", "weight", "works")

    def __init__(self, path: str, module: nn.Module):
        self.path, self.type = path, type(module).__name__
        self.parameters = {
            f"{path}.{name}" if path else name: parameter
            for name, parameter in module._parameters.items()
            if parameter is not None
        }
        self.weight = next(iter(self.parameters), None)
        # A leaf does, and a module that owns parameters beside its children.
        self.works = bool(self.parameters) or not _has_children(module)
        self.called = False
        self.rows: set[int] | None = set() if isinstance(module, nn.Embedding) else None
        self.in_features = module.in_features if isinstance(module, nn.Linear) else 0

    def parameters_read(self) -> Iterator[tuple[Tensor, int]]:
        """Each of its weights, and how many of its numbers the calls read."""
        for parameter in self.parameters.values():
            if self.rows is None:
                yield parameter, parameter.numel()
            else:
                rows = min(len(self.rows), len(parameter))
                yield parameter, rows * parameter[:1].numel()


class _Recorder:
    """One hook for all modules; with `ops` two more, which say what begins and what ends.

    A small model makes a hundred calls in a few milliseconds: a hook for each module would take
    longer to put on and off than all that is done here for its call. Torch's hook for all hears of
    every module there is, so those of other models are passed over, and those of other threads.
    """

    def __init__(self, model: nn.Module, ops: bool):
        self.thread = get_ident()
        self.calls: list[Call] = []
        self.running: list[str | None] = []  # their paths, where operators are watched
        self.watched = {module: _Watched(path, module) for path, module in model.named_modules()}
        self.parameters: dict[str, Tensor] = {}  # each once, by the first of its names
        known: set[int] = set()  # by identity: a tensor's own hash takes its time
        for watched in self.watched.values():
            for name, parameter in watched.parameters.items():
                if id(parameter) not in known:
                    known.add(id(parameter))
                    self.parameters[name] = parameter
        self.watch = OperatorWatch(self.parameters, self.running) if ops else None

    def attach(self, hooks: Hooks) -> None:
        if any(parameter.is_meta for parameter in self.parameters.values()):
            hooks.hold(autocast_on_meta, autocast_on_meta)
        hooks.after_all(self._after)
        if self.watch:
            hooks.before_all(self._before)
            hooks.at_end_of_all(self._leave)
            hooks.dispatch_to(self.watch)

    def _before(self, module: nn.Module, args: tuple) -> None:
        if (watched := self.watched.get(module)) is not None and get_ident() == self.thread:
            self.running.append(watched.path)

    def _leave(self, module: nn.Module, args: tuple, output: Any) -> None:
        """Called also where the module raised, which whoever called it may have caught."""
        if module in self.watched and get_ident() == self.thread:
            self.running.pop()

    def _after(self, module: nn.Module, args: tuple, *kwargs_and_output: Any) -> None:
        watched = self.watched.get(module)
        # What works through other modules is passed over: what they do is theirs.
        if watched is None or not watched.works or get_ident() != self.thread:
            return
        kwargs, output = kwargs_and_output
        watched.called = True
        inputs = tensors_in((args, kwargs) if kwargs else args)
        result = output if isinstance(output, Tensor) else first_tensor(output)
        shape, dtype, flops = None, None, 0
        if result is not None:
            shape, dtype = tuple(result.shape), _name(result.dtype)
            flops = 2 * watched.in_features * math.prod(shape)
        if watched.rows is not None:
            watched.rows.update(self._ids_of(inputs[0]))
        self.calls.append(
            Call(
                len(self.calls),
                watched.path,
                watched.type,
                tuple([tuple(tensor.shape) for tensor in inputs]),
                shape,
                dtype,
                watched.weight,
                flops,
            )
        )

    def _ids_of(self, ids: Tensor) -> Iterable[int]:
        """Ids on the meta device have no values: each position then stands for a row of its own."""
        if ids.is_meta:
            return range(ids.numel())
        self.running.append(None)  # these operators are our own
        rows = ids.flatten().tolist()
        self.running.pop()
        return rows

    def trace(self) -> Trace:
        read: dict[int, int] = {}  # numbers, by their tensor's identity
        for watched in self.watched.values():
            if watched.called:
                for parameter, count in watched.parameters_read():
                    read[id(parameter)] = max(count, read.get(id(parameter), 0))
        operators = None if self.watch is None else self.watch.seen
        whole, looked_up = _names_read(operators or ())
        # Which rows a function looked up is known where a module did it, and only there.
        whole |= {name for name in looked_up if id(self.parameters[name]) not in read}
        for name in whole:
            read[id(self.parameters[name])] = self.parameters[name].numel()
        itemsize = {id(parameter): parameter.itemsize for parameter in self.parameters.values()}
        return Trace(
            calls=self.calls,
            parameters_held=sum(parameter.numel() for parameter in self.parameters.values()),
            parameters_read=sum(read.values()),
            bytes_read=sum(count * itemsize[key] for key, count in read.items()),
            operators=operators,
        )


def _names_read(operators: Iterable[Operator]) -> tuple[set[str], set[str]]:
    """The weights that operators read whole, and those in which they looked something up."""
    whole: set[str] = set()
    looked_up: set[str] = set()
    for operator in operators:
        if operator.weights and not operator.view and operator.name not in SHAPE_ONLY:
            (looked_up if operator.name == "embedding" else whole).update(operator.weights)
    return whole, looked_up


def _raised_in(error: Exception, model: nn.Module) -> str | None:
    """The path of the innermost module that the error came through."""
    paths = {module: path for path, module in model.named_modules()}
    selves = [frame.f_locals.get("self") for frame, _ in walk_tb(error.__traceback__)]
    through = [paths[it] for it in selves if isinstance(it, nn.Module) and it in paths]
    return through[-1] if through else None


def _has_children(module: nn.Module) -> bool:
    return any(child is not None for child in module._modules.values())


@cache
def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
