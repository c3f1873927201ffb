"""The header of a safetensors file, and the index of several: read, and checked whole.

A header that the official library refuses is a CheckpointError here, which names file and fault.
Four that it opens are refused too: a name given twice, a shape beyond 2**60 numbers or 32 axes,
a tensor written as a JSON array, and a header beyond 2 MiB.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from olmo_explain.checkpoint.source import ByteFile, Source
from olmo_explain.errors import CheckpointError

WIDTHS = (
    {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6}
    | dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"), 8)
    | dict.fromkeys(("F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8)
    | dict.fromkeys(("BF16", "F16", "U16", "I16"), 16)
    | dict.fromkeys(("F32", "U32", "I32"), 32)
    | dict.fromkeys(("F64", "U64", "I64", "C64"), 64)
)
"""Bits per number of every dtype that the format has, also of those that are only located."""

INDEX = "model.safetensors.index.json"
LENGTH_BYTES = 8
LFS = b"version https://git-lfs"
POINTER = "is a Git LFS pointer: it only names the file that belongs here"
LONGEST_HEADER = 2**21  # some 20,000 tensors, which are listed in seconds; the 32B has 707
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

    @property
    def nbytes(self) -> int:
        return self.end - self.start


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
    if data_start > size:
        raise _damaged(
            where, f"says that its header is {length:,} bytes long, in a file of {size:,} bytes"
        )
    if length > LONGEST_HEADER:
        raise CheckpointError(
            f"{where} has a header of {length:,} bytes, longer than the {LONGEST_HEADER:,} that "
            "are read",
            "Save it again, in shards of fewer tensors",
        )
    header = _parse(bytes(file.read(LENGTH_BYTES, data_start)), where, "a header")
    match header.pop("__metadata__", None):
        case None:
            pass
        case dict(metadata) if all(isinstance(said, str) for said in metadata.values()):
            pass
        case _:
            raise _damaged(where, "has __metadata__ that is no JSON object of texts")
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
    if dtype not in WIDTHS:
        raise _damaged(where, f"gives tensor {name!r} the unknown dtype {dtype!r}")
    bits = math.prod(shape) * WIDTHS[dtype]
    if 8 * (end - start) != bits:
        raise _damaged(
            where,
            f"gives tensor {name!r} {end - start:,} bytes, but {dtype} of shape {shape} "
            f"needs {f'{bits / 8:,}'.removesuffix('.0')}",
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
            raise _damaged(where, f"has tensors {before!r} and {tensor.name!r}, which overlap")
        if tensor.start > reached:
            raise _damaged(
                where, f"has {tensor.start - reached:,} bytes of no tensor before {tensor.name!r}"
            )
        reached, before = tensor.end, tensor.name
    if reached != size:
        raise _damaged(where, f"has {size - reached:,} bytes of no tensor at its end")


def read_index(source: Source) -> dict[str, str]:
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
        # As strict as the official library: -0 is no integer, NaN is no number, and half of a
        # surrogate pair is no text.
        value = json.loads(
            text.decode(),
            object_pairs_hook=unique,
            parse_int=lambda digits: -0.0 if digits == "-0" else int(digits),
            parse_constant=int,  # raises ValueError
        )
        if b"\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise _damaged(where, f"has {what} that is not JSON ({error})") from None
    if not isinstance(value, dict):
        raise _damaged(where, f"has {what} that is no JSON object")
    return value


def _damaged(where: str, fault: str) -> CheckpointError:
    return CheckpointError(f"{where} {fault}", "Download it again")
