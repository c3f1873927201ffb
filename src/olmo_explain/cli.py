"""`olmo-explain COMMAND MODEL [--json]`: the package's answers in a terminal.

With --json, stdout holds one JSON object and nothing else; progress and warnings go to stderr.
Exit 0: fine. 1: a check failed. 2: bad input, said in one line on stderr.

Each command imports what it needs when it runs, so that `config` does not wait for torch.
"""

import errno
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from io import TextIOWrapper
from typing import Annotated, Any

import typer
from rich.console import Console

from olmo_explain.config import read_config
from olmo_explain.errors import ExplainError, UsageError
from olmo_explain.source import resolve
from olmo_explain.terminal.options import (
    DEFAULT_LENGTH,
    DEFAULT_PROMPT,
    MOST,
    REPORT_HELP,
    VERIFY_LENGTH,
    VERIFY_PROMPT,
    Cols,
    Dtype,
    Ids,
    Json,
    Model,
    Output,
    Prompt,
    PromptLength,
    Rows,
    Tp,
    VerifyPrompt,
    at_most_one,
    parse_ids,
    parse_slice,
)
from olmo_explain.terminal.output import check_output, to_json, write_whole
from olmo_explain.waiting import progress

app = typer.Typer(
    help="How a PyTorch transformer reads its weights, on OLMo 3.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

IMPORTING = "Loading PyTorch and transformers"


def main() -> None:
    """The console script: runs a command, and turns bad input into one line and exit code 2."""
    warnings.showwarning = _warn
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal may know neither × nor │
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()
    except ExplainError as error:
        _fail(str(error))
    except typer.Abort:
        sys.exit(130)
    except BrokenPipeError:
        _leave_pipe()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        _fail(f"The result cannot be written: {error.strerror}. Check where it is sent to.")
    except Exception as error:
        if not _is_usage_error(error):
            raise
        _leave_it_to_the_first()
        said = error.format_message().rstrip(".")  # empty where help was shown instead
        _fail(f"{said}. Try: olmo-explain --help") if said else sys.exit(2)
    sys.exit(code or 0)


@app.callback(invoke_without_command=True)
def _options(
    show_version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    if show_version:
        print(version("olmo-explain"))
        raise typer.Exit()


@app.command()
def config(model: Model, as_json: Json = False) -> None:
    """Every shape, the parameters, the bytes and the KV cache, from config.json alone."""
    from olmo_explain.terminal.config import print_config

    read = read_config(model)
    _show(read.to_dict(), as_json, lambda console, _: print_config(console, model, read))


@app.command()
def trace(
    model: Model,
    prompt: Prompt = None,
    ids: Ids = None,
    prompt_length: PromptLength = None,
    ops: Annotated[bool, typer.Option("--ops", help="Every operator too.")] = False,
    tp: Tp = False,
    as_json: Json = False,
) -> None:
    """Every module call of one forward pass, in order, and the weights it read."""
    with _processes("trace", tp) as group:
        at_most_one(prompt=prompt, ids=ids, prompt_length=prompt_length)
        if ops and tp:
            raise UsageError("--ops does not see what several processes do", "Leave out one")
        chosen, source = parse_ids(ids), resolve(model)
        read_config(source)  # a wrong name is said before torch is loaded

        with progress(IMPORTING):
            from olmo_explain.models import load, prompt_ids
            from olmo_explain.sequence import sequence
            from olmo_explain.terminal.parts import print_parts
            from olmo_explain.terminal.trace import print_operators, print_trace
            from olmo_explain.tracing import trace as trace_forward

        loaded, tokenizer = (group.load if group else load)(source)
        if tokenizer is None and prompt is None and chosen is None:
            prompt_length = prompt_length or DEFAULT_LENGTH
        inputs = prompt_ids(
            loaded,
            tokenizer,
            prompt=DEFAULT_PROMPT if prompt is None else prompt,
            ids=chosen,
            prompt_length=prompt_length,
        )
        with progress("Running the model"):
            if group:
                result = group.trace(loaded, inputs, source)
            else:
                ran = trace_forward(loaded, input_ids=inputs, ops=ops)
        if group:
            _show(result, as_json, print_parts)
        elif ops:
            steps = [vars(step) for step in sequence(ran.operators)]
            _show({**ran.to_dict(), "sequence": steps}, as_json, print_operators)
        else:
            _show(ran.to_dict(), as_json, print_trace)
    if group and not result["tensor_parallel"]["same_calls"]:
        raise typer.Exit(1)


@app.command()
def flops(
    model: Model,
    seq: Annotated[int, typer.Option(min=1, max=MOST, help="Positions.")] = 64,
    batch: Annotated[int, typer.Option(min=1, max=MOST, help="Sequences.")] = 1,
    decode: Annotated[
        bool, typer.Option("--decode", help="One new position; the others are in the KV cache.")
    ] = False,
    roofline: Annotated[
        bool, typer.Option("--roofline", help="Measure this machine, place each operation on it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """MACs, FLOPs and bytes of every operation, and where attention overtakes, from config.json."""
    from olmo_explain.costs import count_costs
    from olmo_explain.roofline import measure_roofline
    from olmo_explain.terminal.costs import print_costs, progress_bar

    read = read_config(model)
    costs = count_costs(read, seq, batch, decode=decode)
    result = costs.to_dict()
    if roofline:
        with progress_bar("Measuring this machine") as told:
            machine = measure_roofline(read.dtype, told)
        result["roofline"] = machine.to_dict((costs.layer() | costs.around()).values())
    _show(result, as_json, lambda console, _: print_costs(console, model, read, result))


@app.command()
def weights(
    model: Model,
    tensor: Annotated[
        str | None,
        typer.Argument(
            metavar="[TENSOR]", help="As model.norm.weight; lists them all if left out."
        ),
    ] = None,
    rows: Rows = None,
    cols: Cols = None,
    as_json: Json = False,
) -> None:
    """Which bytes hold a tensor, or some of its rows and columns; which tensors there are."""
    from olmo_explain.checkpoint import Checkpoint, widen
    from olmo_explain.heads import frobenius
    from olmo_explain.terminal.weights import print_tensors, print_weights

    chosen = {"rows": parse_slice("--rows", rows), "cols": parse_slice("--cols", cols)}
    checkpoint = Checkpoint(model)
    if tensor is None:
        if rows or cols:
            raise UsageError("--rows and --cols are those of one tensor", "Name it too")
        tensors = [vars(checkpoint.tensor(name)) for name in checkpoint.names]
        result = {"tensors": tensors, "header_bytes": checkpoint.header_bytes}
        _show(result, as_json, lambda console, _: print_tensors(console, model, result))
        return
    place = checkpoint.locate(tensor, **chosen)
    bits = checkpoint.read_bits(tensor, **chosen)
    result = {
        **place.to_dict(),
        "bytes_fetched": checkpoint.bytes_fetched,
        "header_bytes": checkpoint.header_bytes,
        "norm": frobenius(bits, place.tensor.dtype),
    }
    first = bits.reshape(-1)[:3]
    numbers = widen(first, place.tensor.dtype)
    _show(result, as_json, lambda console, _: print_weights(console, model, result, first, numbers))


@app.command()
def head(
    model: Model,
    layer: Annotated[int | None, typer.Option(help="The layer's number, from 0.")] = None,
    head: Annotated[int | None, typer.Option(help="The head's number, from 0.")] = None,
    every: Annotated[bool, typer.Option("--all", help="The norms of every head.")] = False,
    as_json: Json = False,
) -> None:
    """The rows and columns of one head, and their norms; --all: the norms of every head."""
    from olmo_explain.checkpoint import Checkpoint
    from olmo_explain.heads import head_norms, initial_norm, read_head
    from olmo_explain.terminal.weights import print_head, print_norms

    if every != (layer is None and head is None) or (layer is None) != (head is None):
        raise UsageError("Which head is not clear", "Give both --layer and --head, or --all")
    source = resolve(model)
    config = read_config(source)
    checkpoint, initial = Checkpoint(source), initial_norm(config)
    if every:
        norms = {name: values.tolist() for name, values in head_norms(checkpoint).items()}
        result = {"layer_types": config.layer_types, "initial_norm": initial, "norms": norms}
        _show(result, as_json, lambda console, _: print_norms(console, model, result))
    else:
        result = {**read_head(checkpoint, layer, head).to_dict(), "initial_norm": initial}
        _show(result, as_json, lambda console, _: print_head(console, model, result))


@app.command()
def verify(
    model: Model,
    dtype: Dtype = None,
    prompt: VerifyPrompt = None,
    ids: Ids = None,
    tp: Tp = False,
    as_json: Json = False,
) -> None:
    """Whether the implementation is right: every step of every layer against the reference."""
    with _processes("verify", tp) as group:
        from olmo_explain.checkpoint import Checkpoint

        at_most_one(prompt=prompt, ids=ids)
        chosen, source = parse_ids(ids), resolve(model)
        config, stored = read_config(source), Checkpoint(source)

        with progress(IMPORTING):
            from olmo_explain.models import load, prompt_ids
            from olmo_explain.terminal.verification import print_verification
            from olmo_explain.verification import verify as verify_model

        loaded, tokenizer = (group.load if group else load)(source, dtype)
        if tokenizer is None and prompt is None and chosen is None:
            chosen = range(min(VERIFY_LENGTH, config.vocab_size))
        text = VERIFY_PROMPT if prompt is None else prompt
        inputs = prompt_ids(loaded, tokenizer, prompt=text, ids=chosen)
        if group:
            checked = group.verify(loaded, inputs, stored, config)
        else:
            checked = verify_model(loaded, inputs, weights=stored, config=config).to_dict()
        _show(
            checked, as_json, lambda console, _: print_verification(console, model, config, checked)
        )
    if not checked["ok"]:
        raise typer.Exit(1)


@app.command(help=REPORT_HELP)
def report(model: Model, output: Output = None, as_json: Json = False) -> None:

    check_output(output, (".md", ".json"))
    source = resolve(model)
    read_config(source)  # a wrong name is said before torch is loaded

    from olmo_explain.report import remeasure
    from olmo_explain.terminal.report import print_report

    measured = remeasure(source)
    if output:
        document = measured.to_markdown() if output.suffix == ".md" else to_json(measured.to_dict())
        write_whole(output, document)
        print(f"Written to {output}", file=sys.stderr)
    _show(measured.to_dict(), as_json, lambda console, _: print_report(console, measured))
    if not measured.ok:
        raise typer.Exit(1)


@app.command()
def doctor(
    workshop: Annotated[
        bool, typer.Option("--workshop", help="Is this laptop ready for a workshop?")
    ] = False,
    as_json: Json = False,
) -> None:
    """This installation: versions, memory, disk, and which RoPE it really applies."""
    with progress("Looking at this installation"):
        from olmo_explain.doctor import examine
        from olmo_explain.terminal.doctor import print_doctor, print_preflight

        findings, show = examine(), print_doctor
    if workshop:
        from olmo_explain.preflight import ready, run_checks
        from olmo_explain.terminal.costs import progress_bar

        with progress_bar("Looking at this installation") as told:
            findings, show = ready(findings, run_checks(told)), print_preflight
    _show(findings, as_json, show)
    if not findings["ok"]:
        raise typer.Exit(1)


@contextmanager
def _processes(command: str, several: bool) -> Iterator[Any | None]:
    """What several processes do together, for as long as it lasts; None where there is only one."""
    if not several:
        count = os.environ.get("WORLD_SIZE", "1")
        if _started_by_torchrun() and count != "1":
            _leave_it_to_the_first()
            raise UsageError(
                f"torchrun started {count} processes, and each would run the whole model",
                "Add --tp, or leave out torchrun",
            )
        yield None
        return
    from olmo_explain.processes import together
    from olmo_explain.tensor_parallel import TensorParallel

    with together(command) as group:
        yield TensorParallel(group)


# -- leaving -------------------------------------------------------------------------------------


def _started_by_torchrun() -> bool:
    # Launchers of every kind set RANK and WORLD_SIZE.
    return "TORCHELASTIC_RUN_ID" in os.environ


def _leave_it_to_the_first() -> None:
    """Where torchrun started several, what is wrong is said by the first: the others end here."""
    if _started_by_torchrun() and os.environ.get("RANK", "0") != "0":
        from olmo_explain.processes import leave

        leave(2)


def _is_usage_error(error: Exception) -> bool:
    # Typer's own usage errors come from its copy of click, whose name is private.
    return hasattr(error, "format_message")


def _warn(message: Warning | str, *_: Any) -> None:
    print(f"olmo-explain: {message}", file=sys.stderr)


def _leave_pipe() -> None:
    """Whoever read our output has enough; 141 is what a shell calls that."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(141)


class _Console(Console):
    """Takes text as it is: a name may hold brackets, which rich would read as markup."""

    def __init__(self) -> None:
        super().__init__(markup=False)

    def on_broken_pipe(self) -> None:
        _leave_pipe()


def _fail(line: str) -> None:
    print(f"olmo-explain: {' '.join(line.split())}", file=sys.stderr)
    sys.exit(2)


# -- showing results ------------------------------------------------------------------------------


def _show(
    result: dict[str, Any], as_json: bool, render: Callable[[Console, dict[str, Any]], None]
) -> None:
    if as_json:
        print(to_json(result))
    else:
        render(_Console(), result)
