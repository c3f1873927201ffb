"""Writes a checkpoint of random weights in the shape of OLMo 3, as large as the real one.

    python -m benchmarks.random_checkpoint DIRECTORY [--like olmo3-7b] [--layers 32]

Projections and embedding are N(0, 0.02²), the norms' weights N(1, 0.1²), all in bfloat16, in shards
of at most 5 GB with their index, as such files are published. Each tensor has a seed of its own, so
that the same call writes the same bytes. A shard is written under another name and renamed when it
is whole; config.json and index come last. Interrupted, it leaves whole shards and nothing else, and
the next call goes on from there.
"""

import argparse
import json
import math
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.frame import tell
from olmo_explain.checkpoint import OlmoConfig, preset
from olmo_explain.errors import ExplainError
from olmo_explain.waiting import progress

SHARD_BYTES = 5_000_000_000
SPARE_BYTES = 200_000_000  # of the disk, left free
BLOCK_NUMBERS = 2**24  # drawn at a time: 64 MiB in float32
BYTES = 2  # a bfloat16
INDEX = "model.safetensors.index.json"

Advance = Callable[[int], None]
"""Is told how many bytes more are on disk."""


@dataclass(frozen=True)
class Shard:
    """A safetensors file: its tensors' shapes by name, and the header that says so."""

    filename: str
    shapes: dict[str, tuple[int, ...]]
    header: bytes

    @property
    def size(self) -> int:
        return len(self.header) + sum(map(size_of, self.shapes.values()))

    def is_in(self, directory: Path) -> bool:
        """Whether this very shard is there; half a shard never bears its name."""
        path = directory / self.filename
        if not path.is_file() or path.stat().st_size != self.size:
            return False
        with path.open("rb") as file:
            return file.read(len(self.header)) == self.header


def write_checkpoint(
    directory: Path,
    fields: dict[str, Any],
    *,
    shard_bytes: int = SHARD_BYTES,
    advance: Advance = lambda size: None,
) -> Path:
    """Writes what is not there yet of the checkpoint that the fields of a config.json describe.

    ExplainError when the disk has no room for it: nothing is written then.
    """
    directory.mkdir(parents=True, exist_ok=True)
    shards = shards_of(OlmoConfig.from_dict(fields), shard_bytes)
    for left_by_a_killed_one in directory.glob("*.part"):
        left_by_a_killed_one.unlink()
    todo = [shard for shard in shards if not shard.is_in(directory)]
    _check_room(directory, sum(shard.size for shard in todo))
    advance(sum(shard.size for shard in shards if shard not in todo))
    seeds = {name: seed for seed, name in enumerate(n for shard in shards for n in shard.shapes)}
    for shard in todo:
        with _whole(directory / shard.filename) as part:
            _write_shard(part, shard, seeds, advance)
    weight_map = {name: shard.filename for shard in shards for name in shard.shapes}
    total = sum(size_of(shape) for shard in shards for shape in shard.shapes.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    for filename, content in ((INDEX, index), ("config.json", fields)):
        with _whole(directory / filename) as part:
            part.write_text(json.dumps(content, indent=2) + "\n")
    return directory


def fields_like(name: str, layers: int | None = None) -> dict[str, Any]:
    """The config.json of a preset, cut to its first `layers`."""
    fields = json.loads(preset(name).read("config.json"))
    layers = layers or fields["num_hidden_layers"]
    if not 1 <= layers <= fields["num_hidden_layers"]:
        raise ExplainError(
            f"{name} has no {layers} layers", f"Choose 1 to {fields['num_hidden_layers']}"
        )
    return fields | {"num_hidden_layers": layers, "layer_types": fields["layer_types"][:layers]}


def shards_of(config: OlmoConfig, shard_bytes: int = SHARD_BYTES) -> list[Shard]:
    """How the tensors are dealt out: embedding, then layer by layer, norm and head last."""
    shapes = {name: part.shape for part in config.components for name in part.names()}
    parts: list[dict[str, tuple[int, ...]]] = [{}]
    room = shard_bytes
    for name in sorted(shapes, key=_place):
        if size_of(shapes[name]) > room and parts[-1]:
            parts.append({})
            room = shard_bytes
        parts[-1][name] = shapes[name]
        room -= size_of(shapes[name])
    return [
        Shard(f"model-{number:05}-of-{len(parts):05}.safetensors", part, _header(part))
        for number, part in enumerate(parts, start=1)
    ]


def size_of(shape: tuple[int, ...]) -> int:
    """Bytes of a tensor."""
    return BYTES * math.prod(shape)


def _place(name: str) -> tuple[int, str]:
    if ".layers." in name:
        return int(name.split(".")[2]), name
    return (-1 if "embed_tokens" in name else sys.maxsize), name


def _header(shapes: dict[str, tuple[int, ...]]) -> bytes:
    entries: dict[str, Any] = {"__metadata__": {"format": "pt", "written_by": "random_checkpoint"}}
    offset = 0
    for name, shape in shapes.items():
        end = offset + size_of(shape)
        entries[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _write_shard(path: Path, shard: Shard, seeds: dict[str, int], advance: Advance) -> None:
    with path.open("wb") as file:
        file.write(shard.header)
        advance(len(shard.header))
        for name, shape in shard.shapes.items():
            mean, deviation = (1.0, 0.1) if len(shape) == 1 else (0.0, 0.02)
            generator = torch.Generator().manual_seed(seeds[name])
            for count in _blocks(math.prod(shape)):
                numbers = torch.empty(count).normal_(mean, deviation, generator=generator)
                file.write(numbers.bfloat16().view(torch.int16).numpy())
                advance(BYTES * count)
        os.fsync(file.fileno())


def _blocks(count: int) -> Iterator[int]:
    for start in range(0, count, BLOCK_NUMBERS):
        yield min(BLOCK_NUMBERS, count - start)


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Gives a path beside the real one, which takes its place when all went well."""
    part = path.with_name(f"{path.name}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _check_room(directory: Path, needed: int) -> None:
    free = shutil.disk_usage(directory).free
    if needed and needed + SPARE_BYTES > free:
        raise ExplainError(
            f"{directory} has {free / 1e9:.1f} GB free, and {needed / 1e9:.1f} GB are needed",
            "Name a directory on a larger disk",
        )


def write_with_progress(directory: Path, fields: dict[str, Any]) -> Path:
    """`write_checkpoint` with a bar on stderr; none where that is no terminal."""
    total = sum(shard.size for shard in shards_of(OlmoConfig.from_dict(fields)))
    with progress("Writing random weights", total, unit="bytes") as advance:
        return write_checkpoint(directory, fields, advance=advance)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--like", default="olmo3-7b", help="whose config.json")
    parser.add_argument("--layers", type=int, help="only the first of its layers")
    options = parser.parse_args()
    with ending_in_one_line():
        write_with_progress(options.directory, fields_like(options.like, options.layers))


@contextmanager
def ending_in_one_line() -> Iterator[None]:
    """As the commands do it: bad input is one line and exit code 2, Ctrl-C is 130."""
    try:
        yield
    except ExplainError as error:
        line, code = str(error), 2
    except KeyboardInterrupt:
        line, code = "Interrupted. Whole shards are kept; call it again to go on.", 130
    else:
        return
    tell(line)
    sys.exit(code)


if __name__ == "__main__":
    main()
