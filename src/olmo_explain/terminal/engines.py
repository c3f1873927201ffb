"""What `golden` writes and `diagnose` found, for people."""

from types import SimpleNamespace
from typing import Any

import torch
from rich.console import Console
from rich.text import Text

from olmo_explain.by_hand import FAULTS, STEPS, as_dtype
from olmo_explain.checkpoint import Checkpoint, FileMissing, ModelLike, Source, read_config, resolve
from olmo_explain.proof import Diagnosis, golden_bytes
from olmo_explain.running import SONNET, prompt_ids
from olmo_explain.terminal.options import check_readable
from olmo_explain.terminal.output import OK, PROBLEM, Document, grid
from olmo_explain.words import counted, percent, text

NEAREST = 5  # faults that are shown where none explains it
NEXT = (
    "(a) check the hand-over: shapes, whether ids are flat or nested, a BOS that was added;",
    "(b) try one token (golden --ids 5): wrong there, it is not RoPE, window or mask;",
    "(c) hand over values on the way (0.q, 0.k, …): the first wrong step is then named.",
)


def write_golden(
    document: Document,
    model: ModelLike,
    prompt: str | list[int] | None,
    length: int | None,
    dtype: str | None,
) -> dict[str, Any]:
    """Writes the file, and says what is in it."""
    source = resolve(model)
    config, checkpoint = read_config(source), Checkpoint(source)
    chosen, tokenizer = as_dtype(dtype or "float32"), _tokenizer(source)
    check_readable(prompt if isinstance(prompt, str) else None, tokenizer, instead="--ids 5,6,7")
    like = SimpleNamespace(config=config, device=torch.device("cpu"), dtype=chosen)
    ids = prompt_ids(like, tokenizer, prompt, length=length, default=SONNET)
    commit = getattr(source, "commit", None)
    made_from = {"model": source.name} | ({"commit": commit} if commit else {})
    document.write_parts(golden_bytes(checkpoint, config, ids, chosen, made_from))
    return {
        "output": str(document.path),
        "model": source.name,
        "commit": commit,
        "dtype": str(chosen).removeprefix("torch."),
        "ids": ids.tolist(),
        "values": len(STEPS) * config.num_hidden_layers + 3,
        "bytes": document.path.stat().st_size,
    }


def _tokenizer(source: Source) -> Any | None:
    """Reads a text as the model's own tokenizer does, without the model; None where there is none.

    A library of its own does so, which transformers is built on.
    """
    from tokenizers import Tokenizer

    try:
        read = Tokenizer.from_str(source.read("tokenizer.json").decode())
    except FileMissing:
        return None
    return lambda prompt: {"input_ids": read.encode(prompt).ids}


def print_golden(console: Console, written: dict[str, Any]) -> None:
    """What was written, and what to do with it."""
    positions = counted(len(written["ids"][0]), "position")
    console.print(
        OK,
        f"{written['output']}: {written['values']:,} values of {written['model']}, {positions}, "
        f"{written['dtype']}, {text(written['bytes'])} bytes.",
    )
    console.print("Run your engine on its ids, save ids and logits, and diagnose what it gave.")


def print_diagnosis(console: Console, found: Diagnosis) -> None:
    """The verdict first; then how near each fault comes, and what this prompt cannot show."""
    prompts, positions = found.shape_of_ids
    console.print(
        f"{found.form}; {counted(prompts, 'prompt')} of {counted(positions, 'token')}; compared in "
        f"{found.dtype}, {found.tolerance:.2g} allowed"
    )
    same = ""
    if found.same_token:
        count, of = found.same_token
        same = f"; the same token is the likeliest at {count:,} of {of:,} positions"
    distance = f"max |Δ| of {found.compared} {found.apart.most:.3g}{same}"
    if found.ok:
        console.print(OK, f"equal within the tolerance: {distance}")
    else:
        _print_fault(console, found, distance)
    _print_hidden(console, found)


def _print_fault(console: Console, found: Diagnosis, distance: str) -> None:
    console.print(PROBLEM, distance)
    if first := found.first_difference:
        where = first.name if first.layer is None else f"layer {first.layer}, {first.name}"
        if first.name != "logits":
            console.print(
                f"first difference: {where}, {first.max_abs_diff:.3g}; {first.tolerance:.2g} "
                "allowed"
            )
    if found.explained_to is None:
        _print_unknown(console, found)
        return
    for one in found.explanations:
        title = Text(one.name, "bold red")
        said = f"({one.detail}) " if one.detail else ""
        console.print(title, f"{said}explains {percent(found.explained_to, 2)} of it")
        for name in one.faults:
            fault = FAULTS[name]
            console.print(f"  {name}: {fault.says}.")
            console.print(f"  Look at {fault.look}.")
            if fault.source:
                console.print(f"  Seen in {fault.source}.")
    if len(found.explanations) > 1:
        console.print("This prompt cannot tell them apart; a longer one may.")


def _print_unknown(console: Console, found: Diagnosis) -> None:
    console.print(Text("unknown", "bold red"), "no known fault, nor two at once, explains it.")
    if found.rounded_like:
        console.print(
            f"It is as far as {found.rounded_like} rounds: if that is what the engine computed in, "
            f"give --dtype {found.rounded_like}."
        )
    if found.tried < found.pairs:
        console.print(
            f"Of {found.pairs:,} pairs of faults the {found.tried:,} most promising were tried."
        )
    _print_nearest(console, found)
    console.print("What to do next:")
    for step in NEXT:
        console.print(step)


def _print_nearest(console: Console, found: Diagnosis) -> None:
    """The faults that bring the reference nearer to the engine, each once, in its nearest form."""
    nearer = [one for one in found.singles if one.apart.most < found.apart.most]
    nearer.sort(key=lambda one: one.apart.most)
    names = list(dict.fromkeys(one.name for one in nearer))
    if not names:
        console.print("No known fault comes nearer to it than the right way does.")
        return
    console.print("The nearest, none of them near enough:")
    table = grid("", "fault", "max |Δ|", right=["max |Δ|"])
    for name in names[:NEAREST]:
        one = next(one for one in nearer if one.name == name)
        table.add_row(f"{name} ({one.detail})" if one.detail else name, f"{one.apart.most:.3g}")
    console.print(table)


def _print_hidden(console: Console, found: Diagnosis) -> None:
    """Faults that this prompt cannot show, by the length of prompt that tells them apart."""
    lengths: dict[int | None, list[str]] = {}
    for one in found.hidden:
        lengths.setdefault(one.positions, []).append(one.name)
    for length, names in lengths.items():
        remedy = (
            f"one of {length:,} tokens can: golden --prompt-length {length}"
            if length
            else "a longer one may"
            if found.dtype == "float32"
            else "in float32 it may"
        )
        console.print(
            f"This prompt cannot show, or tell apart from others, {', '.join(names)}; {remedy}."
        )
