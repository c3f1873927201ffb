"""What `flops` looks like in a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.table import Table

from olmo_explain.config import OlmoConfig
from olmo_explain.waiting import progress

CONVENTIONS = {
    "full": "full square",
    "causal": "causal",
    "windowed": "windowed by layer type",
}


def print_costs(console: Console, model: str, config: OlmoConfig, costs: dict[str, Any]) -> None:
    """The operations of a layer, then what they make in the whole model, by convention."""
    console.print(_operations(model, costs))
    whole = costs["model"]
    console.print(
        f"Whole model, {config.num_hidden_layers} layers: {whole['matmul_macs']:,} MACs = "
        f"{whole['matmul_flops']:,} FLOPs in matrix products, {whole['other_flops']:,} in the "
        f"rest; {whole['weight_bytes']:,} bytes of weights"
    )
    console.print(_conventions(costs))
    console.print(_crossovers(costs))
    kv, training = costs["kv_cache_bytes"], costs["training"]
    console.print(
        f"KV cache (bfloat16): {kv['capped']:,} bytes with sliding layers capped at their window, "
        f"{kv['uncapped']:,} without"
    )
    if costs["phase"] == "prefill":
        console.print(
            f"Training on {training['tokens']:,} tokens: 6·N·D = {training['six_nd']:,} FLOPs; "
            f"three forward passes, the full square = {training['three_forwards']:,}"
        )
    if roofline := costs.get("roofline"):
        console.print(
            f"This machine, {roofline['threads']} threads, {roofline['dtype']}: "
            f"{roofline['flops_per_second'] / 1e9:,.1f} GFLOP/s, "
            f"{roofline['bytes_per_second'] / 1e9:,.1f} GB/s; below {roofline['ridge']:,.1f} FLOPs "
            "a byte an operation waits for memory"
        )


def _operations(model: str, costs: dict[str, Any]) -> Table:
    what = "one new position after" if costs["phase"] == "decode" else "prefill of"
    length = costs["seq"] - 1 if costs["phase"] == "decode" else costs["seq"]
    table = Table(
        title=f"One layer and the head of {model}: {what} {length:,} positions, "
        f"batch {costs['batch']:,}, attention as a full square"
    )
    table.add_column("operation")
    for name in ("MACs", "FLOPs", "weight bytes", "FLOPs a byte"):
        table.add_column(name, justify="right")
    places = {place["name"]: place for place in costs.get("roofline", {}).get("operations", ())}
    if places:
        table.add_column("waits for")
        table.add_column("at least", justify="right")
    last_of_layer = costs["operations"][-4]["name"]
    for operation in costs["operations"]:
        place = places.get(operation["name"])
        table.add_row(
            operation["name"],
            _count(operation["macs"]),
            _count(operation["flops"]),
            _count(operation["weight_bytes"]),
            f"{operation['intensity']:,.2f}",
            *([place["bound"], f"{place['seconds'] * 1e3:,.3f} ms"] if place else ()),
            style="bold" if operation["macs"] else None,
            end_section=operation["name"] == last_of_layer,
        )
    return table


def _conventions(costs: dict[str, Any]) -> Table:
    table = Table(title="Attention (scores and apply) in the whole model, by convention")
    table.add_column("convention")
    for name in ("MACs", "FLOPs", "of all matrix products"):
        table.add_column(name, justify="right")
    elsewhere = costs["model"]["matmul_macs"] - costs["attention"]["full"]
    for convention, macs in costs["attention"].items():
        share = macs / (elsewhere + macs)
        table.add_row(CONVENTIONS[convention], f"{macs:,}", f"{2 * macs:,}", f"{share:.2%}")
    return table


def _crossovers(costs: dict[str, Any]) -> Table:
    table = Table(title="Positions from which attention takes as many MACs as …")
    table.add_column("… the projections of")
    table.add_column("counting")
    for name in CONVENTIONS.values():
        table.add_column(name, justify="right")
    counting = {
        "crossover_seq": "all seven Linear",
        "crossover_seq_attention_projections": "q, k, v, o",
    }
    for key, projections in counting.items():
        for place, crossings in costs[key].items():
            name = (
                "the model" if place == "model" else f"a {place.removesuffix('_attention')} layer"
            )
            numbers = (crossings[convention] for convention in CONVENTIONS)
            table.add_row(
                name,
                projections,
                *("never" if number is None else f"{number:,}" for number in numbers),
                end_section=place == "model",
            )
    return table


@contextmanager
def progress_bar(doing: str) -> Iterator[Any]:
    """A bar on stderr; gives a function that is told (done, of how many)."""
    before = 0
    with progress(doing, total=1) as advance:

        def told(done: int, of: int) -> None:
            nonlocal before
            advance(done - before, of)
            before = done

        yield told


def _count(number: int) -> str:
    return f"{number:,}" if number else ""
