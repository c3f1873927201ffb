"""One forward pass over several processes, each with its part of the weights: tensor parallelism.

transformers cuts the weights by OLMo's own plan and adds what has to be gathered and summed. What
this adds: what each process holds and reads is told, and the whole is compared with one process.

    torchrun --nproc-per-node 2 -m olmo_explain verify tiny --tp
"""

from dataclasses import asdict, dataclass, replace
from math import prod
from typing import Any

from jaxtyping import Int
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

from olmo_explain.checkpoint import Checkpoint
from olmo_explain.config import OlmoConfig, read_config
from olmo_explain.errors import UsageError
from olmo_explain.models import load, on_meta
from olmo_explain.processes import Together
from olmo_explain.sharding import check_shares
from olmo_explain.source import Source
from olmo_explain.tracing import Trace, trace
from olmo_explain.verification import StepResult, verify
from olmo_explain.weights import Weights, differ

MLP_VALUES = frozenset({"gate_proj", "up_proj", "silu", "intermediate"})
"""What stays in parts under OLMo's plan: between the two cuts of the MLP."""

NO_CAUSE = "processes: further from the reference than another order of sums can bring it"


@dataclass(frozen=True)
class TensorParallel:
    """What one process does alone, done by all of `group` together. Each of them has to call it."""

    group: Together

    def load(self, source: Source, dtype: str | None = None) -> tuple[PreTrainedModel, Any | None]:
        """`models.load`, but each process gets its part of the weights, by transformers' own plan.

        Raises UsageError where the model has no weights, more processes were started than there is
        something to share out, or transformers is too old for this.
        """
        plan = getattr(on_meta(source), "tp_plan", None)
        try:
            from transformers.distributed import DistributedConfig

            shared = DistributedConfig(tp_plan="auto", tp_size=self.group.processes)
        except (ImportError, TypeError):
            raise UsageError(
                "This transformers cannot share a model out", "Install transformers 5.24 or newer"
            ) from None
        check_shares(read_config(source), plan, self.group.processes)
        return load(source, dtype, distributed=shared)

    def trace(
        self, model: PreTrainedModel, ids: Int[Tensor, "batch pos"], source: Source
    ) -> dict[str, Any]:
        """What `trace --json` says of one process, and under `tensor_parallel` who did what.

        `calls` are those of one process that has the whole model, without its numbers: global
        shapes and FLOPs. Each gets, as `local_…`, the shapes that process 0 saw,
        provided that every process made just these calls: `same_calls` says so.
        """
        alone = trace(on_meta(source, model.dtype), input_ids=ids.to("meta"))
        ran = trace(model, input_ids=ids)
        same = all(made == _made(alone) for made in self.group.gather(_made(ran)))
        told = self.group.gather((_held(model), _reads(model, ran, ids)))
        return {
            **ran.to_dict(),
            "calls": [
                {
                    **asdict(whole),
                    "local_input_shapes": call.input_shapes,
                    "local_output_shape": call.output_shape,
                }
                for call, whole in zip(ran.calls, (alone if same else ran).calls, strict=True)
            ],
            "tensor_parallel": {
                **self._about(model),
                "same_calls": same,
                "ranks": [
                    {
                        "rank": rank,
                        "parameters_held": sum(prod(shape) for shape in held.values()),
                        **reads,
                    }
                    for rank, (held, reads) in enumerate(told)
                ],
                "weights": [
                    {
                        "name": name,
                        "shape": tuple(parameter.shape),
                        "split": _axis(parameter),
                        "local_shapes": [held[name] for held, _ in told],
                    }
                    for name, parameter in model.named_parameters()
                ],
            },
        }

    def verify(
        self,
        model: PreTrainedModel,
        ids: Int[Tensor, "batch pos"],
        stored: Checkpoint,
        config: OlmoConfig,
    ) -> dict[str, Any]:
        """What `verify --json` says; of each step the worst that any process saw.

        Every process compares what it has with a reference that it computes alone, from the
        checkpoint's whole weights, one tensor at a time. Sums in parts are only close, so a part
        of a weight that is a little wrong could hide there: parts are compared bit for bit as well.
        """
        parts = _Whole(self.group, config.intermediate_size) if self.group.processes > 1 else None
        own = verify(model, ids, weights=stored, config=config, parts=parts)
        every = self.group.gather(own.steps)
        checked = replace(own, steps=[_worst(steps) for steps in zip(*every, strict=True)])
        spoilt = self.group.gather(_spoilt(model, stored))
        cause = [f"process {rank}: {said[0]}" for rank, said in enumerate(spoilt) if said]
        if not cause and checked.first_difference:
            cause = [own.cause or NO_CAUSE]
        return {
            **checked.to_dict(),
            "cause": "; ".join(cause) or None,
            "ok": checked.ok and not any(spoilt),
            "tensor_parallel": {
                **self._about(model),
                "ranks": [
                    {
                        "rank": rank,
                        "equal": sum(step.equal for step in steps),
                        "spoilt_weights": len(said),
                        "ok": not said and all(step.ok for step in steps),
                    }
                    for rank, (steps, said) in enumerate(zip(every, spoilt, strict=True))
                ],
            },
        }

    def _about(self, model: PreTrainedModel) -> dict[str, Any]:
        return {
            "world_size": self.group.processes,
            "backend": self.group.backend,
            "plan": dict(model.tp_plan),
        }


@dataclass(frozen=True)
class _Whole:
    """Puts together what stays in parts, so that it can be compared (see `verification.Parts`)."""

    group: Together
    intermediate_size: int

    def whole(self, name: str, value: Tensor) -> Tensor:
        if name in MLP_VALUES and value.shape[-1] < self.intermediate_size:
            return self.group.join(value, self.intermediate_size)
        return value


# -- what one process has --------------------------------------------------------------------------


def _made(ran: Trace) -> list[tuple[str, str]]:
    """The calls, as far as they have to be the same in every process."""
    return [(call.path, call.type) for call in ran.calls]


def _held(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """The shape of this process's part of every parameter."""
    return {name: tuple(_part(parameter).shape) for name, parameter in model.named_parameters()}


def _reads(model: nn.Module, ran: Trace, ids: Tensor) -> dict[str, int]:
    """What this process read, of its own part: all of a weight, but of the embedding some rows."""
    called = {call.weight for call in ran.calls}
    table = model.get_input_embeddings().weight
    numbers = size = 0
    for name, parameter in model.named_parameters():
        if name in called:
            part = _part(parameter)
            rows = _rows_looked_up(parameter, ids) if parameter is table else part.shape[0]
            count = rows * part[:1].numel()
            numbers, size = numbers + count, size + count * part.itemsize
    return {"parameters_read": numbers, "bytes_read": size}


def _rows_looked_up(table: Tensor, ids: Tensor) -> int:
    """Different rows of this process's part. For a token of another's part it looks up its first
    row, and sets what it found to zero."""
    first, count = _place(table)[0]
    rows = ids - first
    rows[(rows < 0) | (rows >= count)] = 0
    return rows.unique().numel()


def _part(parameter: Tensor) -> Tensor:
    return parameter.to_local() if isinstance(parameter, DTensor) else parameter


def _axis(parameter: Tensor) -> int | None:
    """Along which axis a parameter is cut."""
    if not isinstance(parameter, DTensor) or not parameter.placements[0].is_shard():
        return None
    return parameter.placements[0].dim % parameter.ndim


def _place(parameter: Tensor) -> list[tuple[int, int]]:
    """(first, how many) of this process's part, an axis each."""
    place = [(0, size) for size in parameter.shape]
    if (axis := _axis(parameter)) is not None:
        mesh = parameter.device_mesh
        each = -(-parameter.shape[axis] // mesh.size())
        place[axis] = (each * mesh.get_local_rank(), _part(parameter).shape[axis])
    return place


def _worst(steps: tuple[StepResult, ...]) -> StepResult:
    """One step as every process saw it, as one."""
    distances = [step.max_abs_diff for step in steps]
    return replace(
        steps[0],
        equal=all(step.equal for step in steps),
        max_abs_diff=None if None in distances else max(distances),
        tolerance=min(step.tolerance for step in steps),
        ok=all(step.ok for step in steps),
    )


def _spoilt(model: nn.Module, stored: Checkpoint) -> list[str]:
    """Of every weight whose part here is not the checkpoint's, what is wrong."""
    said = []
    for name, parameter in model.named_parameters():
        part = _part(parameter)
        whole = Weights(stored, part.dtype, part.device)[name]
        own = whole[tuple(slice(first, first + count) for first, count in _place(parameter))]
        if changed := differ(part, own).sum().item():
            total = f"{changed:,} of {part.numel():,} numbers of its part"
            said.append(f"{total} of {name} are not the checkpoint's")
    return said
