"""`olmo-explain COMMAND MODEL [--json]`: the package's answers in a terminal.

With --json, stdout holds one JSON object and nothing else; progress and warnings go to stderr.
Exit 0: fine. 1: a check failed. 2: bad input, or a result that nobody takes, said in one line on
stderr. 130: interrupted. 141: whoever read the result has enough.

Each command imports what it needs when it runs, so that `config` does not wait for torch.
"""

import logging
import os
import sys
import warnings
from dataclasses import asdict
from typing import Annotated, Any

import typer

from olmo_explain.checkpoint import read_config, resolve
from olmo_explain.doors import is_installed, saying_what_is_missing
from olmo_explain.errors import ExplainError, UsageError
from olmo_explain.parallel import leave_it_to_the_first, runner
from olmo_explain.settings import wrong_setting
from olmo_explain.terminal.comparing import diff, history
from olmo_explain.terminal.conformance import diagnose, golden
from olmo_explain.terminal.options import (
    REPORT_HELP,
    Batch,
    Cols,
    Dtype,
    Every,
    HeadNumber,
    Ids,
    Json,
    Layer,
    Model,
    Output,
    Positions,
    Prompt,
    PromptLength,
    Rows,
    Tp,
    VerifyPrompt,
    at_most_one,
    check_readable,
    parse_ids,
    parse_slice,
)
from olmo_explain.terminal.output import IMPORTING, Document, PlainRecord, show, tell, to_json
from olmo_explain.terminal.streams import Unwritten, catch_bus_error, take_over
from olmo_explain.waiting import progress
from olmo_explain.words import shortened

app = typer.Typer(
    help="How a PyTorch transformer reads its weights, on OLMo 3.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

QUIET = ("TRANSFORMERS_VERBOSITY", "HF_HUB_VERBOSITY")


def main() -> None:
    """The console script: runs a command, and turns bad input into one line and exit code 2."""
    warnings.showwarning = _warn  # type: ignore[assignment]  # it takes whatever it is given
    logging.setLogRecordFactory(PlainRecord)
    for name in QUIET:  # what they have to say we say, or it is nothing that a reader can act on
        os.environ.setdefault(name, "error")
    try:
        take_over()
        catch_bus_error()
        with saying_what_is_missing():
            code = app(prog_name="olmo-explain", standalone_mode=False)
        sys.stdout.flush()
    except ExplainError as error:
        _fail(str(error))
    except typer.Abort:
        sys.exit(130)
    except Unwritten as error:
        if error.is_broken_pipe:  # whoever read it has enough
            sys.exit(141)
        _fail(f"The result cannot be written: {error}. Check where it is sent to.")
    except MemoryError:
        _fail("This takes more memory than there is. Ask for less, or use a larger machine.")
    except Exception as error:
        # Typer's own usage errors come from its copy of click, whose name is private.
        format_message = getattr(error, "format_message", None)
        if format_message is None:
            if wrong := wrong_setting(error):
                _fail(str(wrong))
            raise
        leave_it_to_the_first()
        if not (said := shortened(format_message().rstrip("."))):  # help was shown instead
            sys.exit(2)
        stop = "" if said.endswith("?") else "."  # after: Did you mean 'head'?
        _fail(f"{said}{stop} Try: olmo-explain {_command()}--help")
    sys.exit(code or 0)


@app.callback(invoke_without_command=True)
def _options(
    show_version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    if show_version:
        from importlib.metadata import version

        print(version("olmo-explain"))
        raise typer.Exit()


@app.command()
def config(model: Model, as_json: Json = False) -> None:
    """Every shape, the parameters, the bytes and the KV cache, from config.json alone."""
    from olmo_explain.terminal.config import print_config

    source = resolve(model)
    read = read_config(source)
    show(as_json, read.to_dict, lambda console: print_config(console, source.name, read))


@app.command()
def trace(
    model: Model,
    prompt: Prompt = None,
    ids: Ids = None,
    prompt_length: PromptLength = None,
    ops: Annotated[bool, typer.Option("--ops", help="Every operator too.")] = False,
    every: Every = False,
    tp: Tp = False,
    as_json: Json = False,
) -> None:
    """Every module call of one forward pass, in order, and the weights it read."""
    with runner("trace", several=tp) as run:
        at_most_one(prompt=prompt, ids=ids, prompt_length=prompt_length)
        if ops and tp:
            raise UsageError("--ops does not see what several processes do", "Leave out one")
        chosen, source = parse_ids(ids), resolve(model)
        read_config(source)  # a wrong name is said before torch is loaded

        with progress(IMPORTING):
            from olmo_explain.parallel import SharedTrace
            from olmo_explain.running import prompt_ids
            from olmo_explain.terminal.parts import print_parts
            from olmo_explain.terminal.trace import print_operators, print_trace

        loaded, tokenizer = run.load(source)
        check_readable(prompt, tokenizer, instead="--ids 5,6,7 or --prompt-length 3")
        inputs = prompt_ids(loaded, tokenizer, chosen or prompt, length=prompt_length)
        with progress("Running the model"):
            ran = run.trace(loaded, inputs, source, ops=ops)

        def draw(console: Any) -> None:
            if isinstance(ran, SharedTrace):
                print_parts(console, ran)
            else:
                (print_operators if ops else print_trace)(console, ran, every)

        show(as_json, ran.to_dict, draw)
    if isinstance(ran, SharedTrace) and not ran.same_calls:
        raise typer.Exit(1)


@app.command()
def flops(
    model: Model,
    seq: Positions = 64,
    batch: Batch = 1,
    decode: Annotated[
        bool, typer.Option("--decode", help="One new position; the others are in the KV cache.")
    ] = False,
    roofline: Annotated[
        bool, typer.Option("--roofline", help="Measure this machine, place each operation on it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """MACs, FLOPs and bytes of every operation, and where attention overtakes, from config.json."""
    from olmo_explain.costs import count_costs, measure_roofline
    from olmo_explain.terminal.costs import print_costs

    source = resolve(model)
    costs = count_costs(read_config(source), seq, batch, decode=decode)
    machine = measure_roofline(costs.config.dtype) if roofline else None

    def data() -> dict[str, Any]:
        if machine is None:
            return costs.to_dict()
        operations = (costs.layer() | costs.around()).values()
        return costs.to_dict() | {"roofline": machine.to_dict(operations)}

    show(as_json, data, lambda console: print_costs(console, source.name, costs, machine))


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
    from olmo_explain.checkpoint import Checkpoint, frobenius
    from olmo_explain.terminal.weights import print_place, print_tensors

    chosen = {"rows": parse_slice("--rows", rows), "cols": parse_slice("--cols", cols)}
    checkpoint = Checkpoint(model)
    if tensor is None:
        if rows or cols:
            raise UsageError("--rows and --cols are those of one tensor", "Name it too")
        tensors = [checkpoint.tensor(name) for name in checkpoint.names]
        listed = {"tensors": list(map(asdict, tensors)), "header_bytes": checkpoint.header_bytes}
        show(as_json, lambda: listed, lambda console: print_tensors(console, checkpoint, tensors))
        return
    place = checkpoint.locate(tensor, **chosen)
    bits = checkpoint.read_bits(tensor, **chosen)
    norm = frobenius(bits, place.tensor.dtype)
    checkpoint.check_unchanged()
    read = {"bytes_fetched": checkpoint.bytes_fetched, "header_bytes": checkpoint.header_bytes}
    show(
        as_json,
        lambda: place.to_dict() | read | {"norm": norm},
        lambda console: print_place(console, checkpoint, place, bits, norm),
    )


@app.command()
def head(
    model: Model,
    layer: Layer = None,
    head: HeadNumber = None,
    svd: Annotated[
        bool, typer.Option("--svd", help="Singular values of its slices, of OV and of QK.")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="The norms of every head.")] = False,
    as_json: Json = False,
) -> None:
    """The rows and columns of one head, and their norms; --all: the norms of every head."""
    from olmo_explain.checkpoint import (
        Checkpoint,
        head_norms,
        head_spectra,
        initial_norm,
        read_head,
    )
    from olmo_explain.terminal.weights import print_head, print_norms, print_spectra

    if svd and every:
        raise UsageError("--svd is of one head", "Give --layer and --head, without --all")
    which = [number for number in (layer, head) if number is not None]
    if len(which) != (0 if every else 2):
        raise UsageError("Which head is not clear", "Give both --layer and --head, or --all")
    source = resolve(model)
    config = read_config(source)
    checkpoint, initial = Checkpoint(source), initial_norm(config)
    if every:
        norms = head_norms(checkpoint)
        show(
            as_json,
            lambda: {
                "model": source.name,
                "layer_types": config.layer_types,
                "initial_norm": initial,
                "norms": {name: values.tolist() for name, values in norms.items()},
            },
            lambda console: print_norms(console, source.name, config, norms, initial),
        )
        return
    spectra = head_spectra(checkpoint, *which) if svd else None
    read = spectra.head if spectra else read_head(checkpoint, *which)

    def draw(console: Any) -> None:
        print_head(console, source.name, read, initial)
        if spectra:
            print_spectra(console, spectra)

    about = {"model": source.name, "initial_norm": initial}
    show(as_json, lambda: (spectra or read).to_dict() | about, draw)


app.command()(diff)
app.command()(history)


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
    with runner("verify", several=tp) as run:
        from olmo_explain.checkpoint import Checkpoint

        at_most_one(prompt=prompt, ids=ids)
        chosen, source = parse_ids(ids), resolve(model)
        config, stored = read_config(source), Checkpoint(source)

        with progress(IMPORTING):
            from olmo_explain.running import SONNET, prompt_ids
            from olmo_explain.terminal.verification import print_verification

        loaded, tokenizer = run.load(source, dtype)
        check_readable(prompt, tokenizer, instead="--ids 5,6,7")
        inputs = prompt_ids(loaded, tokenizer, chosen or prompt, default=SONNET)
        checked = run.verify(loaded, inputs, stored, config)
        show(
            as_json,
            checked.to_dict,
            lambda console: print_verification(console, source.name, config, checked),
        )
    if not checked.ok:
        raise typer.Exit(1)


app.command()(golden)
app.command()(diagnose)


@app.command(help=REPORT_HELP)
def report(model: Model, output: Output = None, as_json: Json = False) -> None:
    document = Document(output, (".md", ".json")) if output else None
    source = resolve(model)
    read_config(source)  # a wrong name is said before torch is loaded

    with progress(IMPORTING):
        from olmo_explain.report import remeasure
        from olmo_explain.terminal.report import print_report

    measured = remeasure(source)
    if document:
        is_markdown = document.path.suffix == ".md"
        document.write(measured.to_markdown() if is_markdown else to_json(measured.to_dict()))
        tell(f"Written to {document.path}")
    show(as_json, measured.to_dict, lambda console: print_report(console, measured))
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
        from olmo_explain.installation import examine, readiness, run_checks
        from olmo_explain.terminal.doctor import print_doctor, print_preflight

        found = examine()
    if workshop:
        checks = run_checks()
        ready = readiness(found, checks)
        show(as_json, lambda: ready, lambda console: print_preflight(console, checks))
        ok = ready["ok"]
    else:
        show(as_json, found.to_dict, lambda console: print_doctor(console, found))
        ok = found.ok
    if not ok:
        raise typer.Exit(2 if workshop and not is_installed("torch") else 1)


# -- leaving -------------------------------------------------------------------------------------


def _warn(message: Warning | str, *_: Any) -> None:
    _say(str(message))


def _command() -> str:
    """The command that was asked for, if it is one."""
    known = {command.callback.__name__ for command in app.registered_commands if command.callback}
    return "".join(f"{word} " for word in sys.argv[1:2] if word in known)


def _fail(line: str) -> None:
    _say(" ".join(line.split()))
    sys.exit(2)


def _say(text: str) -> None:
    tell(f"olmo-explain: {text}")
