"""One forward pass over several processes, each with its part of the weights: tensor parallelism.

transformers cuts the weights by OLMo's own plan and adds what has to be gathered and summed. What
this adds: what each process holds and reads is told, and the whole is compared with one process.

    torchrun --nproc-per-node 2 -m olmo_explain verify tiny --tp
"""

from dataclasses import asdict, dataclass, field, replace
from math import prod
from typing import Any

from jaxtyping import Int
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Shard
from transformers import PreTrainedModel

from olmo_explain.by_hand import Weights, differ
from olmo_explain.checkpoint import Checkpoint, OlmoConfig, Source, read_config
from olmo_explain.errors import UsageError
from olmo_explain.parallel.processes import Together
from olmo_explain.parallel.sharding import check_shares
from olmo_explain.proof import StepResult, Verification, verify
from olmo_explain.running import Call, Trace, load, on_meta, trace

MLP_VALUES = frozenset({"gate_proj", "up_proj", "silu", "intermediate"})
"""What stays in parts under OLMo's plan: between the two cuts of the MLP."""

NO_CAUSE = "processes: further from the reference than another order of sums can bring it"


@dataclass(frozen=True)
class Sharing:
    """How many processes share a model, how they talk, and by which plan they cut its weights."""

    world_size: int
    backend: str
    plan: dict[str, str]


@dataclass(frozen=True)
class WeightParts:
    """A weight's whole shape, the axis along which it is `split`, and each process's part."""

    name: str
    shape: tuple[int, ...]
    split: int | None
    local_shapes: list[tuple[int, ...]]


@dataclass(frozen=True)
class Reading:
    """What one process holds, and what it read of that."""

    rank: int
    parameters_held: int
    parameters_read: int
    bytes_read: int


@dataclass(frozen=True, repr=False)
class SharedTrace(Trace):
    """A trace of one process that has the whole model, and who did what of it.

    `calls` has global shapes and FLOPs, `local_calls` the same calls as process 0 saw them, if
    every process made just these: `same_calls` says so.
    """

    local_calls: list[Call] = field(kw_only=True)
    same_calls: bool = field(kw_only=True)
    sharing: Sharing = field(kw_only=True)
    ranks: list[Reading] = field(kw_only=True)
    weights: list[WeightParts] = field(kw_only=True)

    def to_dict(self) -> dict[str, Any]:
        """As `olmo-explain trace --tp --json` prints it."""
        local = (
            {"local_input_shapes": call.input_shapes, "local_output_shape": call.output_shape}
            for call in self.local_calls
        )
        return {
            **super().to_dict(),
            "calls": [asdict(call) | own for call, own in zip(self.calls, local, strict=True)],
            "tensor_parallel": {
                **asdict(self.sharing),
                "same_calls": self.same_calls,
                "ranks": [asdict(rank) for rank in self.ranks],
                "weights": [asdict(weight) for weight in self.weights],
            },
        }


@dataclass(frozen=True)
class Judgement:
    """What one process found: how many values are `equal`, how many of its parts are not right."""

    rank: int
    equal: int
    spoilt_weights: int
    ok: bool


@dataclass(frozen=True, repr=False)
class SharedVerification(Verification):
    """Of each step the worst that any process saw, and what each of them found."""

    sharing: Sharing = field(kw_only=True)
    ranks: list[Judgement] = field(kw_only=True)

    @property
    def ok(self) -> bool:
        return super().ok and all(rank.ok for rank in self.ranks)

    def to_dict(self) -> dict[str, Any]:
        """As `olmo-explain verify --tp --json` prints it."""
        ranks = [asdict(rank) for rank in self.ranks]
        return {**super().to_dict(), "tensor_parallel": {**asdict(self.sharing), "ranks": ranks}}


@dataclass(frozen=True)
class TensorParallel:
    """What `Alone` does, done by all of `group` together. Each of them has to call it."""

    group: Together

    def load(self, source: Source, dtype: str | None = None) -> tuple[PreTrainedModel, Any | None]:
        """`running.load`, but each process gets its part of the weights, by transformers' own plan.

        Raises UsageError where the model has no weights, more processes were started than there is
        something to share out, or transformers is too old for this.
        """
        plan = getattr(on_meta(source), "tp_plan", None) or {}
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
        self, model: PreTrainedModel, ids: Int[Tensor, "b p"], source: Source, *, ops: bool = False
    ) -> SharedTrace:
        """What ran in one process that has the whole model, and which process did what of it.

        `ops` changes nothing: what the operators of several processes read is not seen.
        """
        alone = trace(on_meta(source, model.dtype), input_ids=ids.to("meta"))
        ran = trace(model, input_ids=ids)
        same = all(made == _made(alone) for made in self.group.gather(_made(ran)))
        told = self.group.gather((_held(model), _reads(model, ran, ids)))
        return SharedTrace(
            calls=(alone if same else ran).calls,
            parameters_held=ran.parameters_held,
            parameters_read=ran.parameters_read,
            bytes_read=ran.bytes_read,
            local_calls=ran.calls,
            same_calls=same,
            sharing=self._sharing(model),
            ranks=[
                Reading(rank, sum(prod(shape) for shape in held.values()), *reads)
                for rank, (held, reads) in enumerate(told)
            ],
            weights=[
                WeightParts(
                    name, tuple(parameter.shape), _axis(parameter), [held[name] for held, _ in told]
                )
                for name, parameter in model.named_parameters()
            ],
        )

    def verify(
        self,
        model: PreTrainedModel,
        ids: Int[Tensor, "b p"],
        stored: Checkpoint,
        config: OlmoConfig,
    ) -> SharedVerification:
        """Every value, and every part of a weight, compared with what one process would have.

        Every process compares what it has with a reference that it computes alone, from the
        checkpoint's whole weights, one tensor at a time. Sums in parts are only close, so a part
        of a weight that is a little wrong could hide there: parts are compared bit for bit as well.
        """
        parts = _Whole(self.group, config.intermediate_size) if self.group.processes > 1 else None
        own = verify(model, ids, weights=stored, config=config, parts=parts)
        every = self.group.gather(own.steps)
        spoilt = self.group.gather(_spoilt(model, stored))
        cause = [f"process {rank}: {said[0]}" for rank, said in enumerate(spoilt) if said]
        worst = [_worst(steps) for steps in zip(*every, strict=True)]
        if not cause and not all(step.ok for step in worst):
            cause = [own.cause or NO_CAUSE]
        return SharedVerification(
            dtype=own.dtype,
            device=own.device,
            attention=own.attention,
            rope=own.rope,
            steps=worst,
            cause="; ".join(cause) or None,
            versions=own.versions,
            sharing=self._sharing(model),
            ranks=[
                Judgement(
                    rank,
                    equal=sum(step.equal for step in steps),
                    spoilt_weights=len(said),
                    ok=not said and all(step.ok for step in steps),
                )
                for rank, (steps, said) in enumerate(zip(every, spoilt, strict=True))
            ],
        )

    def _sharing(self, model: PreTrainedModel) -> Sharing:
        return Sharing(self.group.processes, self.group.backend, dict(model.tp_plan))


@dataclass(frozen=True)
class _Whole:
    """Puts together what stays in parts, so that it can be compared: `verification.Parts`."""

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


def _reads(model: PreTrainedModel, ran: Trace, ids: Tensor) -> tuple[int, int]:
    """Numbers and bytes that this process read of its own part: all of a weight, but of the
    embedding some rows."""
    called = {call.weight for call in ran.calls}
    table = model.get_input_embeddings().weight
    numbers = size = 0
    for name, parameter in model.named_parameters():
        if name in called:
            part = _part(parameter)
            rows = _rows_looked_up(parameter, ids) if parameter is table else part.shape[0]
            count = rows * part[:1].numel()
            numbers, size = numbers + count, size + count * part.itemsize
    return numbers, size


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
    if isinstance(parameter, DTensor) and isinstance(cut := parameter.placements[0], Shard):
        return cut.dim % parameter.ndim
    return None


def _place(parameter: Tensor) -> list[tuple[int, int]]:
    """(first, how many) of this process's part, an axis each."""
    place = [(0, size) for size in parameter.shape]
    if isinstance(parameter, DTensor) and (axis := _axis(parameter)) is not None:
        mesh = parameter.device_mesh
        each = -(-parameter.shape[axis] // mesh.size())
        place[axis] = (each * mesh.get_local_rank(), _part(parameter).shape[axis])
    return place


def _worst(steps: tuple[StepResult, ...]) -> StepResult:
    """One step as every process saw it, as one."""
    distances = [step.max_abs_diff for step in steps if step.max_abs_diff is not None]
    return replace(
        steps[0],
        equal=all(step.equal for step in steps),
        max_abs_diff=max(distances) if len(distances) == len(steps) else None,
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
    stored.check_unchanged()
    return said
