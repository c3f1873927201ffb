"""The pass by hand as a file: every value of it, to hold an engine against."""

import json
import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from itertools import chain

import torch
from jaxtyping import Int
from torch import Tensor

from olmo_explain.by_hand import STEPS, Value, Weights, check_weights, walk
from olmo_explain.checkpoint import Checkpoint, OlmoConfig, check_supported
from olmo_explain.undo import no_grad
from olmo_explain.waiting import progress

STORED = {
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.float32: "F32",
    torch.float64: "F64",
    torch.int64: "I64",
}


def golden_bytes(
    checkpoint: Checkpoint,
    config: OlmoConfig,
    ids: Int[Tensor, "batch pos"],
    dtype: torch.dtype,
    made_from: Mapping[str, str],
) -> Iterator[bytes]:
    """A safetensors file, piece by piece: `ids`, `logits` and `{layer}.{name}` of every value.

    One layer's weights and values are held at a time: the header can be written when the first
    layer's are there, since those of all others have the same shapes. `made_from` goes into the
    metadata, beside dtype and versions.
    """
    check_supported(config)
    check_weights(checkpoint, config)
    weights = Weights(checkpoint, dtype)
    with no_grad(), progress("Running the pass by hand", config.num_hidden_layers) as advance:
        values = walk(weights, config, ids)
        first = [Value(None, None, "ids", ids.long()), next(values)]
        first += [next(values) for _ in STEPS]
        yield _header(first, config, {**made_from, "dtype": str(dtype).removeprefix("torch.")})
        for value in chain(first, values):
            yield value.tensor.contiguous().view(torch.uint8).numpy().tobytes()
            if value.name == "resid_post":
                weights.release(f"model.layers.{value.layer}.")
                advance(1)
    checkpoint.check_unchanged()


def _header(first: list[Value], config: OlmoConfig, made_from: Mapping[str, str]) -> bytes:
    """The names, shapes and places of all values, from ids, embedding and the first layer's."""
    ids, embedding, *layer = first
    outside = [ids, embedding]
    tensors = [(value.name, value.tensor.dtype, value.tensor.shape) for value in outside]
    for number in range(config.num_hidden_layers):
        tensors += [(f"{number}.{it.name}", it.tensor.dtype, it.tensor.shape) for it in layer]
    dtype, shape = embedding.tensor.dtype, embedding.tensor.shape
    tensors.append(("final_norm", dtype, shape))
    tensors.append(("logits", dtype, torch.Size((*shape[:2], config.vocab_size))))
    packages = {name: version(name) for name in ("olmo-explain", "torch")}
    versions = {"python": platform.python_version(), **packages}
    header: dict[str, object] = {"__metadata__": {**made_from, "versions": json.dumps(versions)}}
    end = 0
    for name, stored, size in tensors:
        start, end = end, end + size.numel() * stored.itemsize
        header[name] = {"dtype": STORED[stored], "shape": list(size), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # so that numbers begin at a multiple of their size
    return len(text).to_bytes(8, "little") + text
