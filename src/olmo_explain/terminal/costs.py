"""What `flops` looks like in a terminal. Exact digits are for --json."""

from rich.console import Console
from rich.table import Table

from olmo_explain.costs import CONVENTIONS, Against, Costs, Roofline, crossovers, total
from olmo_explain.terminal.output import grid
from olmo_explain.words import amount, counted, duration, quantity


def print_costs(console: Console, model: str, costs: Costs, machine: Roofline | None) -> None:
    """The operations of a layer, then what they make in the whole model, by convention."""
    config, whole = costs.config, total(costs.model().values())
    console.print(_operations(model, costs, machine))
    console.print(
        f"Whole model, {config.num_hidden_layers:,} layers: {quantity(whole.macs)} MACs = "
        f"{quantity(whole.matmul_flops)} FLOPs in matrix products, "
        f"{quantity(whole.flops - whole.matmul_flops)} in the rest; "
        f"{amount(whole.weight_bytes)} of weights"
    )
    console.print(_conventions(costs, whole.macs))
    console.print(_crossovers(costs))
    cache = {convention: amount(count) for convention, count in costs.kv_cache_bytes.items()}
    console.print(
        f"KV cache ({config.dtype}): {cache['capped']} with sliding layers capped at their window, "
        f"{cache['uncapped']} without; transformers keeps {cache['between_steps']} between steps, "
        "window − 1 positions"
    )
    if not costs.decode:
        console.print(
            f"Training on {costs.positions:,} tokens: 6·N·D = {quantity(costs.six_nd)} FLOPs; "
            f"three forward passes, the full square = {quantity(3 * whole.matmul_flops)}"
        )
    if costs.seq > config.max_position_embeddings:
        console.print(
            f"The model is made for up to {config.max_position_embeddings:,} positions "
            "(max_position_embeddings)."
        )
    if machine:
        console.print(
            f"This machine, {counted(machine.threads, 'thread')}, {machine.dtype}: "
            f"{machine.flops_per_second / 1e9:,.1f} GFLOP/s, "
            f"{machine.bytes_per_second / 1e9:,.1f} GB/s; below {machine.ridge:,.1f} FLOPs a byte "
            "an operation waits for memory"
        )


def _operations(model: str, costs: Costs, machine: Roofline | None) -> Table:
    length = costs.seq - costs.decode
    what = "one new position after" if costs.decode else "prefill of"
    columns = ["MACs", "FLOPs", "weights", "FLOPs/B"]
    if machine:  # a MAC is two FLOPs: its column makes room
        columns = [*columns[1:], "waits for", "at least"]
    title = (
        f"One layer and the head of {model}: {what} {length:,} positions, batch {costs.batch:,}, "
        "attention as a full square"
    )
    table = grid(title, "operation", *columns, right=columns)
    layer = list(costs.layer().values())
    for operation in (*layer, *costs.around().values()):
        cells = [
            quantity(operation.macs) if operation.macs else "",
            quantity(operation.flops) if operation.flops else "",
            amount(operation.weight_bytes) if operation.weight_bytes else "",
            f"{operation.intensity:,.2f}",
        ]
        if machine:
            place = machine.place(operation)
            cells = [*cells[1:], place.bound, duration(place.seconds)]
        table.add_row(
            operation.name,
            *cells,
            style="bold" if operation.macs else None,
            end_section=operation is layer[-1],
        )
    return table


def _conventions(costs: Costs, macs: int) -> Table:
    numbers = ("MACs", "FLOPs", "of all matrix products")
    title = "Attention (scores and apply) in the whole model"
    table = grid(title, "convention", *numbers, right=numbers)
    attention = costs.attention
    elsewhere = macs - attention["full"]
    for convention, count in attention.items():
        share = count / (elsewhere + count)
        name = CONVENTIONS[convention]
        table.add_row(name, quantity(count), quantity(2 * count), f"{share:.2%}")
    return table


def _crossovers(costs: Costs) -> Table:
    title = "Positions from which attention takes as many MACs as …"
    numbers = list(CONVENTIONS.values())
    table = grid(title, "… the projections of", "counting", *numbers, right=numbers)
    compared: dict[Against, str] = {"linear": "all seven", "attention_projections": "q, k, v, o"}
    for against, counting in compared.items():
        for place, crossings in crossovers(costs.config, against, decode=costs.decode).items():
            counts = (crossings[convention] for convention in CONVENTIONS)
            table.add_row(
                "the model" if place == "model" else f"a {place.split('_')[0]} layer",
                counting,
                *("never" if count is None else f"{count:,}" for count in counts),
                end_section=place == "model",
            )
    return table
