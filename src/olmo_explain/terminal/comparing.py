"""`diff` and `history`: what two checkpoints, and the revisions of one, have in common.

Their commands stand here with their printers, as no other command shares anything with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from olmo_explain.checkpoint import resolve
from olmo_explain.errors import UsageError
from olmo_explain.terminal.options import (
    MODEL_HELP,
    EveryNth,
    HeadNumber,
    Json,
    Layer,
    Projections,
    Repository,
    Revisions,
    parse_names,
)
from olmo_explain.terminal.output import grid, show, tell
from olmo_explain.words import amount, counted, shape

if TYPE_CHECKING:
    from olmo_explain.checkpoint import Diff, HeadDiff, HeadHistory, TensorDiff


def diff(
    a: Annotated[str, typer.Argument(metavar="A", help=MODEL_HELP, show_default=False)],
    b: Annotated[str, typer.Argument(metavar="B", help="The same.", show_default=False)],
    layer: Layer = None,
    head: HeadNumber = None,
    as_json: Json = False,
) -> None:
    """How two checkpoints differ: every tensor, or one head by its bytes."""
    from olmo_explain.checkpoint import Diff
    from olmo_explain.checkpoint import diff as compare

    if (layer is None) != (head is None):
        raise UsageError("Which head is not clear", "Give both --layer and --head, or neither")
    found = compare(a, b, layer, head)

    def draw(console: Console) -> None:
        if isinstance(found, Diff):
            _print_tensors(console, found)
        else:
            _print_slices(console, found)

    show(as_json, found.to_dict, draw)


def _print_tensors(console: Console, found: Diff) -> None:
    """The tensors that differ, and what cannot be compared."""
    apart = [tensor for tensor in found.tensors if tensor.equal != 1]
    if apart:
        _print_numbers(
            console,
            f"Where {found.b} differs from {found.a}",
            {tensor.name: tensor for tensor in apart},
        )
    alike = len(found.tensors) - len(apart)
    console.print(
        f"{counted(alike, 'tensor')} of {len(found.tensors):,} "
        f"{'has' if alike == 1 else 'have'} the same bits."
    )
    for names, model in ((found.only_in_a, found.a), (found.only_in_b, found.b)):
        if names:
            some = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
            console.print(f"Only in {model}: {counted(len(names), 'tensor')}, {some}")
    for name, why in found.skipped.items():
        console.print(f"Not compared: {name}, {why}")
    _print_bytes(console, found)


def _print_slices(console: Console, found: HeadDiff) -> None:
    title = f"Head {found.head} of layer {found.layer}: how {found.b} differs from {found.a}"
    _print_numbers(console, title, found.slices)
    _print_bytes(console, found)


def _print_numbers(console: Console, title: str, tensors: dict[str, TensorDiff]) -> None:
    numbers = ("shape", "same bits", "largest", "relative", "cosine")
    table = grid(title, "tensor", *numbers, right=numbers, fold=("tensor",))
    for name, tensor in tensors.items():
        dtypes = " and ".join(tensor.dtypes)
        table.add_row(
            name,
            shape(tensor.shape),
            dtypes if tensor.equal is None else _share(tensor.equal),
            f"{tensor.max_abs_diff:.4g}",
            f"{tensor.relative:.4g}",
            f"{tensor.cosine:.6f}",
        )
    console.print(table)


def _share(equal: float) -> str:
    """A share that is 100 % only where nothing differs."""
    if equal == 1:
        return "all"
    return f"{min(equal, 0.999999):.4%}".replace("%", " %")


def _print_bytes(console: Console, found: Diff | HeadDiff | HeadHistory) -> None:
    console.print(
        f"{found.bytes_fetched:,} bytes of weights read, and {found.header_bytes:,} of headers."
    )


def history(
    model: Repository,
    layer: Layer = None,
    head: HeadNumber = None,
    revisions: Revisions = None,
    every: EveryNth = 1,
    projections: Projections = "q,k,v",
    clear: Annotated[
        bool, typer.Option("--clear-cache", help="Delete what is kept of MODEL's heads.")
    ] = False,
    as_json: Json = False,
) -> None:
    """One head at many revisions of a repository on the hub, by its bytes.

    What is read of a commit is kept in the user's cache directory, and
    not read again.
    """
    from olmo_explain.checkpoint import HubSource, forget_heads, plan_history

    if clear:
        source = resolve(model)
        if not isinstance(source, HubSource):
            raise UsageError(f"Of {source.name} nothing is kept", "Name a repository on the hub")
        size = forget_heads(source.repository)
        said = f"Deleted: {amount(size)} of heads of {source.repository}"
        show(as_json, lambda: {"bytes_deleted": size}, lambda console: console.print(said))
        return
    if layer is None or head is None or revisions is None:
        raise UsageError(
            "Which head, and of which revisions, is not clear",
            "Give --layer, --head and --revisions",
        )
    names = [
        name if name.endswith("_proj") else f"{name}_proj"
        for name in parse_names("--projections", projections)
    ]
    plan = plan_history(model, layer, head, parse_names("--revisions", revisions), every, names)
    tell(
        f"{counted(len(plan.revisions), 'revision')}, of which "
        f"{counted(len(plan.to_read), 'commit')} not yet read: {amount(plan.bytes_to_read)} of "
        "weights, and headers"
    )
    found = plan.read()
    show(as_json, found.to_dict, lambda console: _print_history(console, found))


def _print_history(console: Console, found: HeadHistory) -> None:
    """A row for each revision: norms, and cosines to the first one's slices."""
    projections = list(found.revisions[0].norms)
    numbers = [*projections, *(f"cos {name}" for name in projections)]
    title = (
        f"Head {found.head} of layer {found.layer} of {found.model}: norms, cosines to the first"
    )
    table = grid(title, "revision", "commit", *numbers, right=numbers)
    for moment in found.revisions:
        table.add_row(
            moment.revision,
            moment.commit[:8],
            *(f"{moment.norms[name]:.4f}" for name in projections),
            *(f"{moment.cosine_to_first[name]:.4f}" for name in projections),
        )
    console.print(table)
    for revision, why in found.skipped.items():
        console.print(f"Skipped {revision}: {why}")
    _print_bytes(console, found)
