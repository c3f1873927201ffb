"""`olmo-explain COMMAND MODEL [--json]`: the package's answers in a terminal.

With --json, stdout holds one JSON object and nothing else; progress and warnings go to stderr.
Exit 0: fine. 1: a check failed. 2: bad input, said in one line on stderr.

Each command imports what it needs when it runs, so that `config` does not wait for torch.
"""

import errno
import json
import math
import os
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import version
from io import TextIOWrapper
from typing import Annotated, Any

import typer
from rich.console import Console

from olmo_explain.config import read_config
from olmo_explain.errors import ExplainError, UsageError
from olmo_explain.terminal.options import (
    Cols,
    Dtype,
    Ids,
    Json,
    Model,
    Prompt,
    PromptLength,
    Rows,
    at_most_one,
    parse_ids,
    parse_slice,
)

app = typer.Typer(
    help="How a PyTorch transformer reads its weights, on OLMo 3.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

DEFAULT_PROMPT = "Hello world"
DEFAULT_LENGTH = 2  # tokens, where there is no tokenizer to read the prompt

# Longer than the window of tiny, so that its sliding layers have something to hide.
VERIFY_PROMPT = (
    "Shall I compare thee to a summer's day? Thou art more lovely and more temperate: rough winds "
    "do shake the darling buds of May, and summer's lease hath all too short a date."
)
VERIFY_LENGTH = 64


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
    as_json: Json = False,
) -> None:
    """Every module call of one forward pass, in order, and the weights it read."""
    at_most_one(prompt=prompt, ids=ids, prompt_length=prompt_length)
    chosen = parse_ids(ids)
    read_config(model)  # a wrong name is said before torch is loaded

    from olmo_explain.models import load, prompt_ids
    from olmo_explain.sequence import sequence
    from olmo_explain.terminal.trace import print_operators, print_trace
    from olmo_explain.tracing import trace as trace_forward

    loaded, tokenizer = load(model)
    if tokenizer is None and prompt is None and chosen is None:
        prompt_length = prompt_length or DEFAULT_LENGTH
    inputs = prompt_ids(
        loaded,
        tokenizer,
        prompt=DEFAULT_PROMPT if prompt is None else prompt,
        ids=chosen,
        prompt_length=prompt_length,
    )
    ran = trace_forward(loaded, input_ids=inputs, ops=ops)
    if ops:
        steps = [vars(step) for step in sequence(ran.operators)]
        _show({**ran.to_dict(), "sequence": steps}, as_json, print_operators)
    else:
        _show(ran.to_dict(), as_json, print_trace)


@app.command()
def flops(
    model: Model,
    seq: Annotated[int, typer.Option(min=1, help="Positions.")] = 64,
    batch: Annotated[int, typer.Option(min=1, help="Sequences.")] = 1,
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
        with progress_bar("Measuring this machine") as progress:
            machine = measure_roofline(read.dtype, progress)
        result["roofline"] = machine.to_dict((costs.layer() | costs.around()).values())
    _show(result, as_json, lambda console, _: print_costs(console, model, read, result))


@app.command()
def weights(
    model: Model,
    tensor: Annotated[
        str, typer.Argument(metavar="TENSOR", help="As model.norm.weight.", show_default=False)
    ],
    rows: Rows = None,
    cols: Cols = None,
    as_json: Json = False,
) -> None:
    """Which bytes hold a tensor, or some of its rows and columns; reads those alone."""
    from olmo_explain.checkpoint import Checkpoint, widen
    from olmo_explain.heads import frobenius
    from olmo_explain.terminal.weights import print_weights

    chosen = {"rows": parse_slice("--rows", rows), "cols": parse_slice("--cols", cols)}
    checkpoint = Checkpoint(model)
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
    from olmo_explain.source import resolve
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
    prompt: Prompt = None,
    ids: Ids = None,
    as_json: Json = False,
) -> None:
    """Whether the implementation is right: every step of every layer against the reference."""
    from olmo_explain.checkpoint import Checkpoint
    from olmo_explain.source import resolve

    at_most_one(prompt=prompt, ids=ids)
    chosen, source = parse_ids(ids), resolve(model)
    config, stored = read_config(source), Checkpoint(source)

    from olmo_explain.models import load, prompt_ids
    from olmo_explain.terminal.verification import print_verification
    from olmo_explain.verification import verify as verify_model

    loaded, tokenizer = load(source, dtype)
    if tokenizer is None and prompt is None and chosen is None:
        chosen = range(min(VERIFY_LENGTH, config.vocab_size))
    text = VERIFY_PROMPT if prompt is None else prompt
    inputs = prompt_ids(loaded, tokenizer, prompt=text, ids=chosen)
    checked = verify_model(loaded, inputs, weights=stored, config=config).to_dict()
    _show(checked, as_json, lambda console, _: print_verification(console, model, config, checked))
    if not checked["ok"]:
        raise typer.Exit(1)


@app.command()
def doctor(as_json: Json = False) -> None:
    """This installation: versions, memory, disk, and which RoPE it really applies."""
    from olmo_explain.doctor import examine
    from olmo_explain.terminal.doctor import print_doctor

    findings = examine()
    _show(findings, as_json, print_doctor)
    if not findings["ok"]:
        raise typer.Exit(1)


# -- leaving -------------------------------------------------------------------------------------


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
        print(json.dumps(_without_nan(result), ensure_ascii=False, allow_nan=False))
    else:
        render(_Console(), result)


def _without_nan(value: Any) -> Any:
    """JSON has neither NaN nor infinity: null stands for them."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return value
