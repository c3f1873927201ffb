"""One attention head: which rows and columns are its own, and how large they are. No torch.

In the 7B, head 27 of layer 17 is rows 3456:3584 of q_proj, k_proj and v_proj, and the columns
3456:3584 of o_proj:

>>> head_slices(read_config("olmo3-7b"), layer=17, head=27)["q_proj"]
HeadSlice(tensor='model.layers.17.self_attn.q_proj.weight', axis=0, start=3456, stop=3584,
          shape=(128, 4096))

Where several query heads share one key-value head (5 in the 32B), head h reads that of number
h // queries_per_kv_head. A head's slice of q_proj is not all that its queries depend on: q_norm
divides by the norm over all heads before they are split.
"""

from __future__ import annotations

import math
import os
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from olmo_explain.checkpoint.config import OlmoConfig, check_config, read_config
from olmo_explain.checkpoint.norms import frobenius, norms_of_columns, norms_of_rows
from olmo_explain.checkpoint.safetensors import Checkpoint, StoredTensor
from olmo_explain.checkpoint.source import ModelLike
from olmo_explain.waiting import progress

if TYPE_CHECKING:  # only annotations need it, and it would double the time to import this
    from jaxtyping import Float, Float64

    from olmo_explain.checkpoint.safetensors import Bits

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj")
THREADS = min(4, os.cpu_count() or 1)


@dataclass(frozen=True)
class HeadSlice:
    """One head's part of one projection: `start:stop` of the rows (axis 0) or columns (axis 1)."""

    tensor: str
    axis: int
    start: int
    stop: int
    shape: tuple[int, int]

    def chosen(self) -> dict[str, slice]:
        """As `Checkpoint.read` takes it: {"rows": slice(3456, 3584)}."""
        return {("rows", "cols")[self.axis]: slice(self.start, self.stop)}

    @property
    def index(self) -> tuple[slice, slice]:
        """As an array or a tensor takes it: `weight[part.index]`."""
        part = slice(self.start, self.stop)
        return (part, slice(None)) if self.axis == 0 else (slice(None), part)

    def __str__(self) -> str:
        part = f"{self.start}:{self.stop}"
        return f"[{part}, :]" if self.axis == 0 else f"[:, {part}]"


@dataclass(frozen=True)
class Head:
    """One head as the checkpoint has it. `norms`: Frobenius norms of its slices, by projection."""

    layer: int
    head: int
    layer_type: str
    kv_head: int
    slices: dict[str, HeadSlice]
    norms: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """As `olmo-explain head --json` prints it."""
        return {
            "layer": self.layer,
            "head": self.head,
            "layer_type": self.layer_type,
            "kv_head": self.kv_head,
            "slices": {
                projection: {
                    ("rows", "cols")[part.axis]: [part.start, part.stop],
                    "shape": part.shape,
                    "norm": self.norms[projection],
                }
                for projection, part in self.slices.items()
            },
        }


class Stored(NamedTuple):
    """Numbers as they are stored: their bits, and the dtype that says what these mean."""

    bits: Bits
    dtype: str


def head_slices(config: OlmoConfig, layer: int, head: int) -> dict[str, HeadSlice]:
    """The four slices of a head, by projection. OutOfRange when the model does not have it."""
    config = check_config(config)
    layer, head = config.check_layer(layer), config.check_head(head)
    D, Dh = config.hidden_size, config.head_dim
    kv_head = head // config.queries_per_kv_head
    slices = {}
    for projection in PROJECTIONS:
        number = kv_head if projection in ("k_proj", "v_proj") else head
        axis, shape = (1, (D, Dh)) if projection == "o_proj" else (0, (Dh, D))
        tensor = _tensor_name(layer, projection)
        slices[projection] = HeadSlice(tensor, axis, number * Dh, (number + 1) * Dh, shape)
    return slices


def read_head(model: ModelLike | Checkpoint, layer: int, head: int) -> Head:
    """A head's slices and their norms. Reads those slices alone.

    >>> read_head("tiny", layer=5, head=1).slices["q_proj"].shape
    (32, 128)
    """
    checkpoint = model if isinstance(model, Checkpoint) else Checkpoint(model)
    read, _ = read_slices(checkpoint, layer, head)
    return read


def read_slices(
    checkpoint: Checkpoint, layer: int, head: int, projections: Sequence[str] = PROJECTIONS
) -> tuple[Head, dict[str, Stored]]:
    """A head, of these projections alone, with the bits of its slices.

    They may be views of a mapped file: `checkpoint.check_unchanged()` when they have been used.
    """
    config = read_config(checkpoint.source)
    slices = head_slices(config, layer, head)
    slices = {projection: slices[projection] for projection in projections}
    tensors = checkpoint.check_shapes(config, [part.tensor for part in slices.values()])
    stored = {
        projection: Stored(checkpoint.read_bits(tensor.name, **part.chosen()), tensor.dtype)
        for (projection, part), tensor in zip(slices.items(), tensors, strict=True)
    }
    norms = {projection: frobenius(*found) for projection, found in stored.items()}
    checkpoint.check_unchanged()
    kv_head = head // config.queries_per_kv_head
    return Head(layer, head, config.layer_types[layer], kv_head, slices, norms), stored


def head_norms(model: ModelLike | Checkpoint) -> dict[str, Float[np.ndarray, "layer head"]]:
    """Frobenius norms of every head's slice of q_proj, k_proj, v_proj and o_proj, as float32.

    k_proj and v_proj have a column for each key-value head, the others one for each head. One pass
    over the attention weights; no more than a tensor a thread is in memory. Shows its progress on
    stderr when that takes long and a terminal is there to see it.

    >>> head_norms("tiny")["q_proj"].shape
    (8, 4)
    """
    checkpoint = model if isinstance(model, Checkpoint) else Checkpoint(model)
    config = read_config(checkpoint.source)
    jobs = {
        _tensor_name(layer, name): name
        for layer in range(config.num_hidden_layers)
        for name in PROJECTIONS
    }
    tensors = checkpoint.check_shapes(config, jobs)

    def norms_of(tensor: StoredTensor) -> Float64[np.ndarray, " head"]:
        of_heads = norms_of_columns if jobs[tensor.name] == "o_proj" else norms_of_rows
        with checkpoint.borrow(tensor.name) as bits:
            return of_heads(bits, tensor.dtype, config.head_dim)

    norms: dict[str, list] = {name: [] for name in PROJECTIONS}
    with (
        ThreadPoolExecutor(THREADS) as pool,
        # Closed, so that on Ctrl-C the rest is not begun.
        closing(cast(Generator, pool.map(norms_of, tensors))) as results,
        progress("attention weights", sum(it.nbytes for it in tensors), unit="bytes") as advance,
    ):
        for tensor, result in zip(tensors, results, strict=True):
            norms[jobs[tensor.name]].append(result)
            advance(tensor.nbytes)
    return {name: np.stack(layers).astype(np.float32) for name, layers in norms.items()}


def initial_norm(config: OlmoConfig) -> float:
    """Norm to expect of a head's slice of N(0, initializer_range²): σ·√(Dh·D).

    0.02·√(128·4096) = 14.48 for the 7B. Training has moved a slice as far as its norm departs from
    this, at least.
    """
    config = check_config(config)
    return config.initializer_range * math.sqrt(config.head_dim * config.hidden_size)


def _tensor_name(layer: int, projection: str) -> str:
    return f"model.layers.{layer}.self_attn.{projection}.weight"
