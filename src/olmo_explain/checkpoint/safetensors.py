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

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import numpy as np

from olmo_explain.checkpoint.source import ByteFile, FileMissing, ModelLike, Source, resolve
from olmo_explain.errors import CheckpointError, OutOfRange, UsageError

if TYPE_CHECKING:  # only annotations need it, and it would double the time to import this
    from jaxtyping import Float, UInt

    Bits = UInt[np.ndarray, "..."]
    Numbers = Float[np.ndarray, "..."]

BITS = {"BF16": "<u2", "F16": "<u2", "F32": "<u4", "F64": "<u8"}
"""The dtypes that are read, and the unsigned integers that hold their bits."""

BYTES = (
    dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"), 1)
    | dict.fromkeys(("BF16", "F16", "U16", "I16"), 2)
    | dict.fromkeys(("F32", "U32", "I32"), 4)
    | dict.fromkeys(("F64", "U64", "I64", "C64"), 8)
)
"""Bytes a number, also of dtypes that are only located, so that a header can be checked."""

SINGLE_FILE = "model.safetensors"
INDEX = "model.safetensors.index.json"
LENGTH_BYTES = 8
LFS = b"version https://git-lfs"
POINTER = "is a Git LFS pointer: it only names the file that belongs here"
LONGEST_HEADER = 100_000_000  # safetensors' own limit
MOST_NUMBERS, MOST_AXES = 2**60, 32


@dataclass(frozen=True)
class StoredTensor:
    """Where one tensor lies: bytes [start, end) of the file `shard`, counted from its first."""

    name: str
    shard: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


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

    Local files are memory-mapped; over HTTP and from the hub only the header and the ranges that
    hold the wanted numbers are asked for. A shard's header is read when it is first needed, and
    checked whole: a damaged file is a CheckpointError that names it.
    """

    def __init__(self, model: ModelLike):
        self.source = resolve(model)
        self._shards: dict[str, _Shard] = {}
        try:
            self._shard_of = dict.fromkeys(self._shard(SINGLE_FILE).tensors, SINGLE_FILE)
        except FileMissing as error:
            try:
                self._shard_of = _read_index(self.source)
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
        if name not in self._shard_of:
            near = get_close_matches(name, self.names, n=2, cutoff=0.4) or self.names[:1]
            raise CheckpointError(
                f"{self.source.name} has no tensor {name!r}",
                f"The nearest names are {', '.join(near)}" if near else "It holds none at all",
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

    def locate(self, name: str, rows: slice | None = None, cols: slice | None = None) -> Place:
        """The byte ranges of some rows (first axis) and columns (second axis); all if not given.

        Whole rows are one range, columns one range a row. OutOfRange when there are no such.

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
        return Place(
            tensor, (*shape, *tensor.shape[2:]), _byte_ranges(tensor, row_range, col_range)
        )

    def read_bits(self, name: str, rows: slice | None = None, cols: slice | None = None) -> Bits:
        """The bits as they are stored: uint16 for BF16 and F16, uint32 for F32, uint64 for F64.

        Of whole rows of a local file this is a read-only view of the mapped file, not a copy.
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
    def borrow(self, name: str) -> Iterator[Bits]:
        """`read_bits` of a whole tensor, whose memory goes back to the system afterwards."""
        self.expect(name)
        try:
            yield self.read_bits(name)
        finally:
            self.release(name)

    def expect(self, name: str) -> None:
        """Says that a tensor is read soon: of a local file, the disk begins now."""
        self._shard((it := self.tensor(name)).shard).file.expect(it.start, it.end)

    def release(self, name: str) -> None:
        """Lets the system take back the memory of a tensor. Views of it stay valid."""
        self._shard((it := self.tensor(name)).shard).file.release(it.start, it.end)

    def _shard(self, filename: str) -> _Shard:
        if filename not in self._shards:
            self._shards[filename] = _Shard(self.source, filename)
        return self._shards[filename]


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
    if chosen.step not in (None, 1):
        raise UsageError(f"{what}s cannot be chosen in steps of {chosen.step}", "Leave it out")
    start = 0 if chosen.start is None else chosen.start
    stop = count if chosen.stop is None else chosen.stop
    if not 0 <= start < stop <= count:
        raise OutOfRange(
            f"{tensor.name} has no {what}s {start}:{stop}",
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
    left, right = (col * col_bytes for col in cols)
    return [(row + left, row + right) for row in range(start, end, row_bytes)]


def _rows_and_cols(tensor: StoredTensor) -> tuple[int, int]:
    return (*tensor.shape, 1, 1)[:2]


# -- headers and the index, checked ---------------------------------------------------------------


class _Shard:
    """One safetensors file: its header, read and checked, and the way to its bytes."""

    def __init__(self, source: Source, filename: str):
        self.file: ByteFile = source.open(filename)
        self.tensors = read_header(self.file, filename, f"{source.name}/{filename}")
        self.header_bytes = self.file.fetched


def read_header(file: ByteFile, shard: str, where: str) -> dict[str, StoredTensor]:
    """The tensors of a safetensors file by name. CheckpointError when header and file disagree.

    `where` names the file in errors. Nothing longer than the file is read or allocated.
    """
    prefix, size = file.read(0, LENGTH_BYTES), file.size
    if bytes(prefix) == LFS[:LENGTH_BYTES]:
        raise CheckpointError(f"{where} {POINTER}", "Run git lfs pull in that directory")
    if size < LENGTH_BYTES:
        raise _damaged(where, f"is {size} bytes long, too short for a safetensors file")
    length = int.from_bytes(prefix, "little")
    data_start = LENGTH_BYTES + length
    if data_start > size or length > LONGEST_HEADER:
        raise _damaged(
            where, f"says that its header is {length:,} bytes long, in a file of {size:,} bytes"
        )
    header = _parse(bytes(file.read(LENGTH_BYTES, data_start)), where, "a header")
    if not isinstance(header.pop("__metadata__", {}), dict):
        raise _damaged(where, "has __metadata__ that is no JSON object")
    tensors = {
        name: _read_entry(name, entry, shard, data_start, where) for name, entry in header.items()
    }
    _check_layout(tensors.values(), data_start, size, where)
    return tensors


def _read_entry(name: str, entry: Any, shard: str, data_start: int, where: str) -> StoredTensor:
    match entry:
        case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [start, end]} if all(
            type(number) is int for number in (*shape, start, end)
        ):
            pass
        case _:
            raise _damaged(where, f"has no dtype, shape and two offsets for tensor {name!r}")
    is_small = len(shape) <= MOST_AXES and all(0 <= n <= MOST_NUMBERS for n in shape)
    if not is_small or math.prod(n or 1 for n in shape) > MOST_NUMBERS:
        raise _damaged(where, f"gives tensor {name!r} an impossible shape")
    if not 0 <= start <= end:
        raise _damaged(where, f"places tensor {name!r} at reversed offsets [{start}, {end})")
    needed = math.prod(shape) * BYTES.get(dtype, 0)
    if dtype in BYTES and end - start != needed:
        raise _damaged(
            where,
            f"gives tensor {name!r} {end - start:,} bytes, but {dtype} of shape {shape} "
            f"needs {needed:,}",
        )
    return StoredTensor(name, shard, dtype, tuple(shape), data_start + start, data_start + end)


def _check_layout(tensors: Iterable[StoredTensor], data_start: int, size: int, where: str) -> None:
    """Every byte after the header belongs to exactly one tensor."""
    reached, before = data_start, None
    for tensor in sorted(tensors, key=lambda tensor: (tensor.start, tensor.end)):
        if tensor.end > size:
            raise _damaged(
                where,
                f"ends at byte {size:,}, but tensor {tensor.name!r} ends at byte {tensor.end:,}: "
                "it is truncated, or its offsets are wrong",
            )
        if tensor.start < reached:
            raise _damaged(where, f"has tensors {before!r} and {tensor.name!r} overlap")
        if tensor.start > reached:
            raise _damaged(
                where, f"has {tensor.start - reached:,} bytes of no tensor before {tensor.name!r}"
            )
        reached, before = tensor.end, tensor.name
    if reached != size:
        raise _damaged(where, f"has {size - reached:,} bytes of no tensor at its end")


def _read_index(source: Source) -> dict[str, str]:
    """The shard of every tensor."""
    where = f"{source.name}/{INDEX}"
    shard_of = _parse(source.read(INDEX), where, "an index").get("weight_map")
    if not isinstance(shard_of, dict):
        raise _damaged(where, "has no weight_map")
    for name, shard in shard_of.items():
        # Only a file of that directory: no other place of this machine or of the server.
        if not (isinstance(shard, str) and re.fullmatch(r"[\w-][\w.-]*\.safetensors", shard)):
            raise _damaged(where, f"places tensor {name!r} in {shard!r}, which is no file's name")
    return shard_of


def _parse(text: bytes, where: str, what: str) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = Counter(name for name, _ in pairs)
        if len(names) < len(pairs):
            raise _damaged(where, f"names {names.most_common(1)[0][0]!r} twice")
        return dict(pairs)

    if text.startswith(LFS):
        raise CheckpointError(f"{where} {POINTER}", "Run git lfs pull in that directory")
    try:
        value = json.loads(text.decode(), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise _damaged(where, f"has {what} that is not JSON ({error})") from None
    if not isinstance(value, dict):
        raise _damaged(where, f"has {what} that is no JSON object")
    return value


def _damaged(where: str, fault: str) -> CheckpointError:
    return CheckpointError(f"{where} {fault}", "Download it again")
