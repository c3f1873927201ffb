"""What `weights` and `head` look like in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from olmo_explain.terminal.words import sizes

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float, UInt


def print_weights(
    console: Console,
    model: str,
    result: dict[str, Any],
    bits: UInt[np.ndarray, " first"],
    numbers: Float[np.ndarray, " first"],
) -> None:
    """Where the bytes are, how many were read, and the first numbers with their bits."""
    ranges = result["byte_ranges"]
    table = Table(title=f"{result['tensor']}, in {model}", show_header=False)
    table.add_row("file", result["shard"])
    table.add_row("whole tensor", f"{sizes(result['tensor_shape'])} {result['dtype']}")
    table.add_row("chosen", sizes(result["shape"]))
    for start, end in ranges[:1]:
        table.add_row("first bytes" if ranges[1:] else "bytes", f"{start:,} to {end - 1:,}")
    for start, end in ranges[1:][-1:]:
        table.add_row("last bytes", f"{start:,} to {end - 1:,}")
        table.add_row("ranges", f"{len(ranges):,} of {end - start:,} bytes, one a row")
    table.add_row("bytes needed", f"{result['bytes_needed']:,}")
    fetched, header = result["bytes_fetched"], result["header_bytes"]
    table.add_row("bytes read", f"{fetched:,}, and {header:,} of header")
    pairs = zip(bits, numbers, strict=True)
    first = "  ".join(f"0x{b:0{2 * bits.itemsize}X} = {number:.6g}" for b, number in pairs)
    table.add_row("first numbers", first)
    table.add_row("norm", f"{result['norm']:.6g}")
    console.print(table)


def print_tensors(console: Console, model: str, result: dict[str, Any]) -> None:
    """Every tensor: its name, shape and dtype, and the file that holds it."""
    tensors = result["tensors"]
    # What all of them share is said once.
    same = {key for key in ("dtype", "shard") if len({tensor[key] for tensor in tensors}) == 1}
    shared = "".join(f", {tensors[0][key]}" for key in ("dtype", "shard") if key in same)
    table = Table(title=f"{len(tensors):,} tensors of {model}{shared}")
    table.add_column("tensor", overflow="fold")
    table.add_column("shape", justify="right", no_wrap=True)
    told = [key for key in ("dtype", "shard") if key not in same]
    for key in told:
        table.add_column(key, overflow="fold")
    for tensor in tensors:
        table.add_row(tensor["name"], sizes(tensor["shape"]), *(tensor[key] for key in told))
    console.print(table)
    console.print(f"{result['header_bytes']:,} bytes of headers read, and no weights.")


def print_head(console: Console, model: str, result: dict[str, Any]) -> None:
    """The four slices of a head, with their norms."""
    kind = result["layer_type"].replace("_", " ")
    table = Table(title=f"Head {result['head']} of layer {result['layer']} ({kind}) of {model}")
    for name in ("projection", "slice", "shape", "norm", "× initial"):
        table.add_column(name, justify="left" if name in ("projection", "slice") else "right")
    for projection, part in result["slices"].items():
        axis = "rows" if "rows" in part else "cols"
        start, stop = part[axis]
        table.add_row(
            projection,
            f"{'rows' if axis == 'rows' else 'columns'} {start}:{stop}",
            sizes(part["shape"]),
            f"{part['norm']:.4f}",
            f"{part['norm'] / result['initial_norm']:.2f}",
        )
    console.print(table)
    console.print(
        f"It reads key-value head {result['kv_head']}. At initialisation a slice's norm is "
        f"{result['initial_norm']:.2f}."
    )


def print_norms(console: Console, model: str, result: dict[str, Any]) -> None:
    """A row for each layer: the least and the greatest norm of its heads."""
    norms = result["norms"]
    table = Table(title=f"Norms of every head's slices in {model}, least–most of a layer")
    for name in ("layer", "attention", *norms):
        left = name == "attention"
        table.add_column(name, justify="left" if left else "right", overflow="fold")
    for layer, kind in enumerate(result["layer_types"]):
        values = [heads[layer] for heads in norms.values()]
        table.add_row(
            str(layer),
            kind.removesuffix("_attention"),
            *(f"{min(row):.2f}–{max(row):.2f}" for row in values),
            style="bold" if kind == "full_attention" else None,
        )
    console.print(table)
    console.print(f"At initialisation a slice's norm is {result['initial_norm']:.2f}.")
