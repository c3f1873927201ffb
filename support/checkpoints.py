"""Checkpoints written for tests: random tensors in any layout, and a 7B without its numbers."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from olmo_explain.checkpoint import OlmoConfig, preset

SEVEN_B_SHARDS = 3
ITEM_BYTES = {"BF16": 2, "F16": 2, "F32": 4, "F64": 8}


def safetensors_header(shapes: Mapping[str, tuple[int, ...]], dtype: str = "BF16") -> bytes:
    """The length and the header of a file that holds these tensors, in this order."""
    header, offset = {}, 0
    for name, shape in shapes.items():
        end = offset + math.prod(shape) * ITEM_BYTES[dtype]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, end]}
        offset = end
    return framed(json.dumps(header).encode())


def framed(header: bytes) -> bytes:
    """A header as it stands in a file: behind its length, padded to a multiple of eight bytes."""
    padded = header + b" " * (-len(header) % 8)
    return len(padded).to_bytes(8, "little") + padded


def write_sparse_7b(directory: Path, layers: int = 32, **changes) -> Path:
    """A checkpoint shaped as OLMo 3 7B, in three shards, all zeros: 14.6 GB that take no room."""
    fields = json.loads(preset("olmo3-7b").read("config.json")) | changes
    fields |= {"num_hidden_layers": layers, "layer_types": fields["layer_types"][:layers]}
    config = OlmoConfig.from_dict(fields)
    shapes = [(name, part.shape) for part in config.components for name in part.names()]
    shapes.sort(key=lambda item: _layer(item[0]))
    weight_map = {}
    for number, part in enumerate(_parts(shapes, SEVEN_B_SHARDS), start=1):
        shard = f"model-{number:05}-of-{SEVEN_B_SHARDS:05}.safetensors"
        weight_map |= dict.fromkeys(part, shard)
        header = safetensors_header(part)
        with (directory / shard).open("wb") as file:
            file.write(header)
            file.truncate(len(header) + 2 * sum(map(math.prod, part.values())))
    (directory / "config.json").write_text(json.dumps(fields))
    _write_index(directory, weight_map)
    return directory


RECORDED_NORMS = {"q_proj": 14.5625, "k_proj": 14.3125, "v_proj": 16.25, "o_proj": 16.125}
"""Those that the report recorded of head 27 in layer 17 of the real 7B."""


def planted_norms(layers: int = 32, heads: int = 32) -> dict[tuple[str, int, int], float]:
    """A norm for every head's slice: numbers that bfloat16 has, the report's own in H27@L17."""
    norms = {
        (projection, layer, head): 2**number * (1 + (layer * heads + head) % 128 / 128)
        for number, projection in enumerate(RECORDED_NORMS, start=1)
        for layer in range(layers)
        for head in range(heads)
    }
    return norms | {(name, 17, 27): norm for name, norm in RECORDED_NORMS.items()}


def plant_norms(directory: Path, norms: Mapping[tuple[str, int, int], float]) -> None:
    """Makes slices of zeros have these norms: one number in each, which is then its norm.

    `norms`: by projection, layer and head. Where a slice begins follows from the header alone.
    """
    import numpy as np

    from olmo_explain.checkpoint import Checkpoint

    checkpoint, Dh = Checkpoint(str(directory)), 128
    by_shard: dict[str, list[tuple[int, float]]] = {}
    for (projection, layer, head), norm in norms.items():
        tensor = checkpoint.tensor(f"model.layers.{layer}.self_attn.{projection}.weight")
        inside = head * Dh + 5  # a row of q, k, v, a column of o: the sixth of the head's own
        row, col = (77, inside) if projection == "o_proj" else (inside, 77)
        offset = tensor.start + 2 * (row * tensor.shape[1] + col)
        by_shard.setdefault(tensor.shard, []).append((offset, norm))
    for shard, places in by_shard.items():
        with (directory / shard).open("r+b") as file:
            for offset, norm in places:
                bits = np.float32(norm).view(np.uint32)
                assert bits & 0xFFFF == 0, f"bfloat16 has no {norm}"
                file.seek(offset)
                file.write(int(bits >> 16).to_bytes(2, "little"))


def tiny_fields(**changes) -> dict:
    """The fields of a config.json of an OLMo 3 that fits in a test: 4 layers, 4 heads of 8."""
    return {
        "model_type": "olmo3",
        "vocab_size": 64,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
        "sliding_window": 16,
        "torch_dtype": "bfloat16",
        **changes,
    }


def random_weights(config: OlmoConfig, seed: int = 0, dtype=None) -> Iterator[tuple]:
    """(name, tensor) of every tensor of a config, as torch tensors of N(0, 0.02²)."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    for part in config.components:
        for name in part.names():
            values = 0.02 * torch.randn(part.shape, generator=generator)
            yield name, values.to(dtype or torch.bfloat16)


def write_random(directory: Path, *, shards: int = 1, dtype=None, **changes) -> dict:
    """A small random OLMo 3 on disk, by safetensors itself; returns its tensors."""
    from safetensors.torch import save_file

    fields = tiny_fields(**changes)
    tensors = dict(random_weights(OlmoConfig.from_dict(fields), dtype=dtype))
    (directory / "config.json").write_text(json.dumps(fields))
    if shards == 1:
        save_file(tensors, directory / "model.safetensors")
    else:
        write_shards(directory, tensors, shards)
    return tensors


def write_shards(directory: Path, tensors: Mapping, shards: int) -> None:
    """The tensors dealt out over shards, with their index."""
    from safetensors.torch import save_file

    weight_map = {}
    for number, part in enumerate(_parts(list(tensors.items()), shards), start=1):
        shard = f"model-{number:05}-of-{shards:05}.safetensors"
        weight_map |= dict.fromkeys(part, shard)
        save_file(part, directory / shard)
    _write_index(directory, weight_map)


def _parts(items: list, count: int) -> Iterator[dict]:
    each = -(-len(items) // count)
    return (dict(items[number * each : (number + 1) * each]) for number in range(count))


def _write_index(directory: Path, weight_map: Mapping[str, str]) -> None:
    index = {"metadata": {}, "weight_map": weight_map}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))


def _layer(name: str) -> int:
    """Embedding first, then layer by layer, norm and head last: as such files are published."""
    if name.startswith("model.embed_tokens"):
        return -1
    return int(name.split(".")[2]) if ".layers." in name else 1_000
