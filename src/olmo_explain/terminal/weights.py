"""What `weights` and `head` look like in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from olmo_explain.checkpoint import (
    Checkpoint,
    Head,
    HeadSpectra,
    OlmoConfig,
    Place,
    StoredTensor,
    widen,
)
from olmo_explain.terminal.output import grid
from olmo_explain.words import counted, shape

if TYPE_CHECKING:
    from jaxtyping import Float, UInt


def print_place(
    console: Console, checkpoint: Checkpoint, place: Place, bits: UInt[np.ndarray, ...], norm: float
) -> None:
    """Where the bytes are, how many were read, and the first numbers with their bits."""
    ranges, tensor = place.byte_ranges, place.tensor
    title = f"{tensor.name}, in {checkpoint.source.name}"
    table = Table(box=SIMPLE, title=title, show_header=False)
    table.add_row("file", tensor.shard)
    table.add_row("whole tensor", f"{shape(tensor.shape)} {tensor.dtype}")
    table.add_row("chosen", shape(place.shape))
    for start, end in ranges[:1]:
        table.add_row("first bytes" if ranges[1:] else "bytes", f"{start:,} to {end - 1:,}")
    for start, end in ranges[1:][-1:]:
        table.add_row("last bytes", f"{start:,} to {end - 1:,}")
        table.add_row("ranges", f"{len(ranges):,} of {end - start:,} bytes, one for each row")
    table.add_row("bytes needed", f"{place.bytes_needed:,}")
    table.add_row(
        "bytes read", f"{checkpoint.bytes_fetched:,}, and {checkpoint.header_bytes:,} of header"
    )
    first = bits.reshape(-1)[:3]
    pairs = zip(first, widen(first, tensor.dtype), strict=True)
    numbers = (f"0x{b:0{2 * first.itemsize}X} = {number:.6g}" for b, number in pairs)
    table.add_row("first numbers", "  ".join(numbers))
    table.add_row("norm", f"{norm:.6g}")
    console.print(table)


def print_tensors(console: Console, checkpoint: Checkpoint, tensors: list[StoredTensor]) -> None:
    """Every tensor: its name, shape and dtype, and the file that holds it."""
    # What all of them share is said once.
    told = [key for key in ("dtype", "shard") if len({getattr(t, key) for t in tensors}) > 1]
    same = [key for key in ("dtype", "shard") if key not in told]
    shared = "".join(f", {getattr(tensors[0], key)}" for key in same if tensors)
    title = f"{counted(len(tensors), 'tensor')} of {checkpoint.source.name}{shared}"
    table = grid(title, "tensor", "shape", *told, right=("shape",), fold=("tensor", *told))
    for tensor in tensors:
        table.add_row(tensor.name, shape(tensor.shape), *(getattr(tensor, key) for key in told))
    console.print(table)
    console.print(f"{checkpoint.header_bytes:,} bytes of headers read, and no weights.")


def print_head(console: Console, model: str, head: Head, initial: float) -> None:
    """The four slices of a head, with their norms."""
    kind = head.layer_type.replace("_", " ")
    title = f"Head {head.head} of layer {head.layer} ({kind}) of {model}"
    numbers = ("shape", "norm", "× initial")
    table = grid(title, "projection", "slice", *numbers, right=numbers)
    for projection, part in head.slices.items():
        norm = head.norms[projection]
        table.add_row(
            projection,
            f"{('rows', 'columns')[part.axis]} {part.start}:{part.stop}",
            shape(part.shape),
            f"{norm:.4f}",
            f"{norm / initial:.2f}" if initial else "–",
        )
    console.print(table)
    console.print(
        f"It reads key-value head {head.kv_head}. At initialisation a slice's norm is "
        f"{initial:.2f}."
    )


def print_spectra(console: Console, found: HeadSpectra) -> None:
    """The singular values of its matrices, in short, and what OV and QK are."""
    numbers = ("rank", "largest", "median", "smallest", "effective rank")
    table = grid("Singular values", "matrix", *numbers, right=numbers)
    for name, values in found.spectra.items():
        some = (values[0], np.median(values), values[-1])
        table.add_row(
            name,
            str(np.count_nonzero(values)),
            *(f"{value:.4g}" for value in some),
            f"{found.effective_rank[name]:.1f}",
        )
    console.print(table)
    console.print(
        "ov is W_O·W_V. qk is W_Qᵀ·W_K with the gains of q_norm and k_norm between: what is "
        "compared in two tokens at one position, but for each token's 1/RMS, which is over all "
        "heads. At a distance RoPE turns it, and no one matrix says what is compared."
    )


def print_norms(
    console: Console,
    model: str,
    config: OlmoConfig,
    norms: dict[str, Float[np.ndarray, "layer head"]],
    initial: float,
) -> None:
    """A row for each layer: the least and the greatest norm of its heads."""
    title = f"Norms of every head's slices in {model}, least–most of a layer"
    table = grid(title, "layer", "attention", *norms, right=("layer", *norms), fold=norms)
    for layer, kind in enumerate(config.layer_types):
        values = [heads[layer] for heads in norms.values()]
        table.add_row(
            str(layer),
            kind.removesuffix("_attention"),
            *(f"{row.min():.2f}–{row.max():.2f}" for row in values),
            style="bold" if kind == "full_attention" else None,
        )
    console.print(table)
    console.print(f"At initialisation a slice's norm is {initial:.2f}.")
