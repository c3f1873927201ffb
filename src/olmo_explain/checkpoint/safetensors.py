"""Weights on disk: which bytes hold which numbers, and reading just those. No torch.

A safetensors file is 8 bytes that say how long the header is (little-endian), the header (JSON: for
each tensor its dtype, shape and offsets), then the numbers, row after row, with nothing between
them (https://huggingface.co/docs/safetensors, "Format"). So any row is one range of bytes:

>>> checkpoint = Checkpoint("tiny")
>>> place = checkpoint.locate("model.embed_tokens.weight", rows=slice(5, 6))
>>> place.shape, place.bytes_needed  # one token's row, in bfloat16
((1, 128), 256)
>>> checkpoint.read("model.embed_tokens.weight", rows=slice(5, 6)).dtype
dtype('float32')
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np

from olmo_explain.checkpoint.header import INDEX, StoredTensor, read_header, read_index
from olmo_explain.checkpoint.source import (
    ByteFile,
    FileMissing,
    LocalFile,
    ModelLike,
    Source,
    resolve,
)
from olmo_explain.errors import CheckpointError, OutOfRange, UsageError
from olmo_explain.words import quoted

if TYPE_CHECKING:  # only annotations need these, and jaxtyping takes as long as all the rest
    from jaxtyping import Float, UInt

    from olmo_explain.checkpoint.config import OlmoConfig

    Bits = UInt[np.ndarray, "..."]
    Numbers = Float[np.ndarray, "..."]

BITS = {"BF16": "<u2", "F16": "<u2", "F32": "<u4", "F64": "<u8"}
"""The dtypes that are read, and the unsigned integers that hold their bits."""

A_SLICE = "Give slice(a, b), of whole numbers: b is the one after the last"
MOST_RANGES = 2**20  # four times the rows of the largest vocabulary
SINGLE_FILE = "model.safetensors"


@dataclass(frozen=True)
class Place:
    """Where some rows and columns of a tensor lie; `shape` is theirs, not the whole tensor's.

    `byte_ranges`: offsets [start, end) in the shard. Their bytes, joined in this order, are the
    numbers row after row.
    """

    tensor: StoredTensor
    shape: tuple[int, ...]
    byte_ranges: list[tuple[int, int]]

    @property
    def bytes_needed(self) -> int:
        return sum(end - start for start, end in self.byte_ranges)

    def to_dict(self) -> dict[str, Any]:
        """As `olmo-explain weights --json` prints it."""
        return {
            "tensor": self.tensor.name,
            "shard": self.tensor.shard,
            "dtype": self.tensor.dtype,
            "tensor_shape": self.tensor.shape,
            "shape": self.shape,
            "byte_ranges": self.byte_ranges,
            "bytes_needed": self.bytes_needed,
        }


class Checkpoint:
    """The safetensors files of a MODEL: one `model.safetensors`, or shards and their index.

    Local files are memory-mapped, and have to stay as they are while they are read; over HTTP and
    from the hub only the header and the ranges that hold the wanted numbers are asked for. The
    header of a shard is read when it is first needed, and checked whole: a damaged file is a
    CheckpointError that names it.
    """

    def __init__(self, model: ModelLike):
        self.source = resolve(model)
        self._shards: dict[str, _Shard] = {}
        try:
            self._shard_of = dict.fromkeys(self._shard(SINGLE_FILE).tensors, SINGLE_FILE)
        except FileMissing as error:
            try:
                self._shard_of = read_index(self.source)
            except FileMissing:
                raise error from None

    @property
    def names(self) -> list[str]:
        """Every tensor's name, in the order of the header or the index."""
        return list(self._shard_of)

    @property
    def weight_map(self) -> dict[str, str]:
        """The shard of every tensor, as the index says it; opens none of them."""
        return dict(self._shard_of)

    @property
    def bytes_fetched(self) -> int:
        """Bytes read so far beyond the headers, those between merged ranges included."""
        return sum(shard.file.fetched - shard.header_bytes for shard in self._shards.values())

    @property
    def header_bytes(self) -> int:
        """Bytes of the headers read so far, with the 8 that say how long each one is."""
        return sum(shard.header_bytes for shard in self._shards.values())

    def tensor(self, name: str) -> StoredTensor:
        """Where a tensor lies. CheckpointError when the checkpoint does not have it."""
        if not (isinstance(name, str) and name in self._shard_of):
            raise CheckpointError(
                f"{self.source.name} has no tensor {quoted(name)}", _nearest(name, self.names)
            )
        shard = self._shard_of[name]
        try:
            tensors = self._shard(shard).tensors
        except FileMissing:
            raise CheckpointError(
                f"{self.source.name}/{INDEX} places {name!r} in {shard}, which is missing",
                f"Download {shard} too",
            ) from None
        if name not in tensors:
            raise CheckpointError(
                f"{self.source.name}/{INDEX} places {name!r} in {shard}, which has no such tensor",
                "Download both again, from the same revision",
            )
        return tensors[name]

    def check_shapes(self, config: OlmoConfig, names: Iterable[str]) -> list[StoredTensor]:
        """Where these tensors lie; CheckpointError when config.json does not fit the weights."""
        shapes = config.shapes
        names = list(names)
        self._check_names(config, names)
        tensors = [self.tensor(name) for name in names]
        for tensor in tensors:
            if tensor.shape != shapes[tensor.name]:
                raise CheckpointError(
                    f"{self.source.name}/{tensor.shard} has {tensor.name} of shape "
                    f"{list(tensor.shape)}, but config.json makes it {list(shapes[tensor.name])}",
                    "Take both from the same checkpoint",
                )
        return tensors

    def _check_names(self, config: OlmoConfig, names: list[str]) -> None:
        """That weights and config.json agree on how many layers there are, and of which parts."""
        numbers = {
            int(n) for name in self.names for n in re.findall(r"^model\.layers\.(\d+)\.", name)
        }
        layers = max(numbers, default=-1) + 1
        missing = [name for name in names if name not in self._shard_of]
        if layers and layers != config.num_hidden_layers:
            said = (
                f"num_hidden_layers {config.num_hidden_layers:,}, and the weights have {layers:,}"
            )
        elif any(name.endswith(".bias") for name in missing):
            said = "attention_bias true, and the weights have no biases"
        elif "lm_head.weight" in missing:
            said = "tie_word_embeddings false, and the weights have no lm_head.weight"
        else:
            return
        raise CheckpointError(
            f"{self.source.name}: config.json says {said}", "Take both from the same checkpoint"
        )

    def locate(self, name: str, rows: slice | None = None, cols: slice | None = None) -> Place:
        """The byte ranges of some rows (first axis) and columns (second axis); all if not given.

        Whole rows are one range, columns one range a row. OutOfRange when there are no such, or
        more than a million ranges.

        >>> Checkpoint("allenai/Olmo-3-7B-Instruct").locate(
        ...     "model.layers.17.self_attn.q_proj.weight", rows=slice(3456, 3584)
        ... ).bytes_needed  # head 27 of the 7B
        1048576
        """
        tensor = self.tensor(name)
        if tensor.dtype not in BITS:
            raise CheckpointError(
                f"{name} holds {tensor.dtype}, which is not read here",
                f"Choose a tensor of {', '.join(BITS)}",
            )
        row_range = _bounds("row", rows, tensor, axis=0)
        col_range = _bounds("column", cols, tensor, axis=1)
        shape = [stop - start for start, stop in (row_range, col_range)][: len(tensor.shape)]
        ranges = _byte_ranges(tensor, row_range, col_range)
        return Place(tensor, (*shape, *tensor.shape[2:]), ranges)

    def read_bits(self, name: str, rows: slice | None = None, cols: slice | None = None) -> Bits:
        """The bits as they are stored: uint16 for BF16 and F16, uint32 for F32, uint64 for F64.

        Of a MiB or more of a local file's whole rows this is a read-only view of the mapped file,
        not a copy: `check_unchanged` tells whether it is still what was stored.
        """
        place = self.locate(name, rows, cols)
        parts = self._shard(place.tensor.shard).file.read_ranges(place.byte_ranges)
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        return np.frombuffer(data, BITS[place.tensor.dtype]).reshape(place.shape)

    def read(self, name: str, rows: slice | None = None, cols: slice | None = None) -> Numbers:
        """The numbers: float32, which holds every BF16, F16 and F32 exactly; float64 for F64.

        >>> Checkpoint("tiny").read("model.norm.weight").shape
        (128,)
        """
        return widen(self.read_bits(name, rows, cols), self.tensor(name).dtype)

    @contextmanager
    def borrow(self, name: str, rows: slice | None = None) -> Iterator[Bits]:
        """`read_bits` of a tensor, or of rows of it; then its memory goes back to the system."""
        file, ranges = (
            self._shard(self.tensor(name).shard).file,
            self.locate(name, rows).byte_ranges,
        )
        for part in ranges:
            file.expect(*part)
        try:
            yield self.read_bits(name, rows)
        finally:
            for part in ranges:
                file.release(*part)
        self.check_unchanged()

    @property
    def is_local(self) -> bool:
        """Whether all files that were opened so far lie on this machine."""
        return all(isinstance(shard.file, LocalFile) for shard in self._shards.values())

    def check_unchanged(self) -> None:
        """CheckpointError where a local file was written to or cut off since it was opened."""
        for shard in self._shards.values():
            shard.file.check_unchanged()

    def expect(self, name: str) -> None:
        """Prefetches a tensor of a local file: the disk is read while we go on."""
        self._shard((it := self.tensor(name)).shard).file.expect(it.start, it.end)

    def release(self, name: str) -> None:
        """Gives the memory of a tensor back to the system. Views of it stay valid."""
        self._shard((it := self.tensor(name)).shard).file.release(it.start, it.end)

    def _shard(self, filename: str) -> _Shard:
        if filename not in self._shards:
            self._shards[filename] = _Shard(self.source, filename)
        return self._shards[filename]


class _Shard:
    """One safetensors file: its header, read and checked, and the way to its bytes."""

    def __init__(self, source: Source, filename: str):
        self.file: ByteFile = source.open(filename)
        self.tensors = read_header(self.file, filename, f"{source.name}/{filename}")
        self.header_bytes = self.file.fetched


def widen(bits: Bits, dtype: str) -> Numbers:
    """Stored bits as numbers that numpy computes with, each of exactly the same value.

    numpy has no bfloat16. It is the upper half of a float32, so sixteen zero bits complete it:

    >>> widen(np.array([0x3FC0], dtype="<u2"), "BF16")
    array([1.5], dtype=float32)
    """
    if dtype == "BF16":
        wide = bits.astype("<u4")
        wide <<= 16
        return wide.view("<f4")
    if dtype == "F16":
        return bits.view("<f2").astype("<f4")
    return bits.view({"F32": "<f4", "F64": "<f8"}[dtype])


def _nearest(name: Any, names: list[str]) -> str:
    """What to choose instead of a name that there is not."""
    if not names:
        return "It holds none at all"
    asked = str(name)[:200].removesuffix(".weight").split(".")

    def has_all(whole: str) -> bool:
        parts = iter(whole.split("."))
        return all(part in parts for part in asked)

    # layers.3.q_proj has its parts in this order; norm.wieght is written alike; the last: embed.
    near = list(filter(has_all, names)) or get_close_matches(".".join(asked), names, n=2)
    if not near:
        own = {part: whole for whole in reversed(names) for part in whole.split(".")[-2:]}
        near = [own[part] for part in get_close_matches(asked[-1], own, n=2, cutoff=0.5)]
    if near:
        return f"Nearest: {', '.join(near[:3])}"
    return f"It has {len(names):,}, from {names[0]} to {names[-1]}"


# -- rows and columns to bytes --------------------------------------------------------------------


def _bounds(what: str, chosen: slice | None, tensor: StoredTensor, axis: int) -> tuple[int, int]:
    """The first and the one after the last; a tensor without that axis counts as having one."""
    count = _rows_and_cols(tensor)[axis]
    if chosen is None:
        return 0, count
    if axis >= len(tensor.shape):
        raise OutOfRange(
            f"{tensor.name} has shape {list(tensor.shape)}, without {what}s to choose from",
            f"Leave the {what}s out",
        )
    if not isinstance(chosen, slice):
        raise UsageError(f"{what}s are chosen by a slice, not {reprlib.repr(chosen)}", A_SLICE)
    if chosen.step not in (None, 1):
        raise UsageError(f"{what}s cannot be chosen in steps of {chosen.step}", "Leave it out")
    try:
        start = 0 if chosen.start is None else index(chosen.start)
        stop = count if chosen.stop is None else index(chosen.stop)
    except TypeError:
        raise UsageError(f"{what}s are counted, and {chosen} counts none", A_SLICE) from None
    if not 0 <= start < stop <= count:
        raise OutOfRange(
            f"{tensor.name} has no {what}s {reprlib.repr(start)}:{reprlib.repr(stop)}",
            f"It has {count}; choose a:b with 0 <= a < b <= {count}",
        )
    return start, stop


def _byte_ranges(
    tensor: StoredTensor, rows: tuple[int, int], cols: tuple[int, int]
) -> list[tuple[int, int]]:
    if tensor.start == tensor.end:
        return []
    row_count, col_count = _rows_and_cols(tensor)
    row_bytes = (tensor.end - tensor.start) // row_count
    col_bytes = row_bytes // col_count
    start, end = (tensor.start + row * row_bytes for row in rows)
    if cols == (0, col_count):
        return [(start, end)]
    if (count := rows[1] - rows[0]) > MOST_RANGES:
        raise OutOfRange(
            f"These columns of {tensor.name} lie in {count:,} ranges of bytes, one for each row",
            f"Choose up to {MOST_RANGES:,} rows",
        )
    left, right = (col * col_bytes for col in cols)
    return [(row + left, row + right) for row in range(start, end, row_bytes)]


def _rows_and_cols(tensor: StoredTensor) -> tuple[int, int]:
    rows, cols, *_ = (*tensor.shape, 1, 1)
    return rows, cols
