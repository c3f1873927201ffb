"""Which part of each weight a process holds under a tensor-parallel plan, and what memory it needs.
From config.json and the plan alone, no torch.

A plan names a style for each Linear and the embedding, as transformers does (`model.tp_plan`):
`colwise` gives each process some of a weight's rows, its outputs; `rowwise` some of its columns,
its inputs, so that every process computes a part of each sum. What the plan does not name, every
process holds whole.

>>> part_shape((11008, 4096), axis=0, process=3, processes=4)
(2752, 4096)
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from olmo_explain.checkpoint import BYTES_PER_PARAMETER, OlmoConfig
from olmo_explain.costs import ATTENTION, count_costs
from olmo_explain.errors import UsageError

Shape = tuple[int, ...]
Plan = Mapping[str, str]

AXIS = {
    "colwise": 0,
    "colwise_gather_output": 0,
    "colwise_rep": 0,
    "embedding_rowwise": 0,
    "embedding_colwise": 1,
    "rowwise": 1,
    "rowwise_split_input": 1,
    "rowwise_rep": 1,
}
"""The axis of a weight, (outputs, inputs), that a style cuts; one not named here cuts none."""

FORMED_BY_EAGER = (*ATTENTION, "softmax")


@dataclass(frozen=True)
class Share:
    """What one process holds of one kind of tensor: `count` tensors of shape `local` of `shape`."""

    name: str
    shape: Shape
    local: Shape
    count: int
    style: str | None

    @property
    def parameters(self) -> int:
        return self.count * math.prod(self.local)


@dataclass(frozen=True)
class Memory:
    """Bytes that one process needs for a forward pass, by what they are for.

    `activations`: the inputs and outputs of the operation that has the most of them, where no
    operation forms the scores; `scores`: what eager attention forms in one layer beside them.
    """

    weights: int
    replicated: int
    kv_cache: int
    activations: int
    scores: int


def part_shape(shape: Shape, axis: int | None, process: int, processes: int) -> Shape:
    """A process's part. Where `processes` does not divide the size, the last ones get less.

    Cut as torch.chunk cuts, which DTensor follows: ceil(size / processes) each, while it lasts.
    """
    if axis is None:
        return shape
    each = -(-shape[axis] // processes)
    own = max(0, min(each, shape[axis] - process * each))
    return (*shape[:axis], own, *shape[axis + 1 :])


def shares(config: OlmoConfig, plan: Plan, process: int, processes: int) -> list[Share]:
    """What a process holds, a kind of tensor each, in the order of a forward pass."""
    held = []
    for part in config.components:
        style = style_of(part.name, plan)
        axis = None if style is None else AXIS.get(style)
        local = part_shape(part.shape, axis, process, processes)
        held.append(Share(part.name, part.shape, local, part.count, style))
    return held


def style_of(name: str, plan: Plan) -> str | None:
    """The style of the module that owns a parameter; None where the plan leaves it whole.

    >>> style_of("model.layers.3.mlp.up_proj.weight", {"model.layers.*.mlp.up_proj": "colwise"})
    'colwise'
    """
    module = re.sub(r"\.(\d+|\{layer\})\.", ".*.", name).rpartition(".")[0]
    return plan.get(module)


def check_shares(config: OlmoConfig, plan: Plan, processes: int) -> None:
    """UsageError where some process would be left with nothing of a weight that is split."""
    for share in shares(config, plan, processes - 1, processes):
        if 0 in share.local:
            axis = share.local.index(0)
            raise UsageError(
                f"{share.name.format(layer=0)} has {share.shape[axis]} "
                f"{('rows', 'columns')[axis]}, which do not reach for {processes} processes",
                "Start fewer with --nproc-per-node",
            )


def memory(
    config: OlmoConfig, plan: Plan, processes: int, positions: int, batch: int = 1, process: int = 0
) -> Memory:
    """Bytes that a process needs for `batch` prompts of `positions` tokens, in config's dtype.

    Keys and values are kept whole by every process where the plan gathers k_proj's output, as
    OLMo's does: QK-norm needs all heads at once. The process of the largest part is number 0.
    """
    size = BYTES_PER_PARAMETER[config.dtype]
    held = shares(config, plan, process, processes)
    keys = style_of("model.layers.0.self_attn.k_proj.weight", plan)
    kv_cache = config.kv_cache_bytes(positions, batch)
    # The MLP is as narrow as its part; what is gathered is as wide as in one process.
    narrow = next(share.local[0] for share in held if share.name.endswith("gate_proj.weight"))
    costs = count_costs(replace(config, intermediate_size=narrow), positions, batch)
    operations = costs.layer() | costs.around()
    formed = [operations[name].activation_bytes for name in FORMED_BY_EAGER]
    others = [o.activation_bytes for name, o in operations.items() if name not in FORMED_BY_EAGER]
    return Memory(
        weights=size * sum(share.parameters for share in held),
        replicated=size * sum(s.parameters for s in held if s.local == s.shape),
        kv_cache=kv_cache // processes if keys == "colwise" else kv_cache,
        activations=max(others),
        scores=max(formed),
    )
