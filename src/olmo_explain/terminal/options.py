"""What the commands can be asked for: their shared options, and how values are read."""

import re
import reprlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from olmo_explain.errors import UsageError
from olmo_explain.parallel import leave_it_to_the_first
from olmo_explain.running import GREETING, SONNET


def whole(option: str, least: int = 0, most: int | None = None) -> Any:
    """Reads the whole number of an option, and says in our words what is none."""

    def read(text: str) -> int:
        wrong = UsageError(
            f"{option} {reprlib.repr(str(text))} cannot be read",
            f"Write a whole number, {f'{least:,} to {most:,}' if most else f'{least} or more'}",
        )
        try:
            number = int(text)
            if number >= least and (most is None or number <= most):
                return number
        except ValueError:  # also for thousands of digits
            pass
        leave_it_to_the_first()
        raise wrong

    return {"parser": read, "metavar": "N"}


MOST = 10**12  # positions or sequences; more are a slip of the keyboard
MODEL_HELP = (
    "tiny | olmo3-7b | olmo3-32b | a directory | a hub id (owner/name, owner/name@revision) | a URL"
)
Model = Annotated[str, typer.Argument(metavar="MODEL", help=MODEL_HELP, show_default=False)]
Repository = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="A repository on the hub (owner/name).", show_default=False
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")]

PROMPT_HELP = (
    "Text to run on, read by the model's tokenizer. If left out: {default.text} (of a model "
    "without a tokenizer, {default.length} positions)."
)
Prompt = Annotated[str | None, typer.Option(help=PROMPT_HELP.format(default=GREETING))]
VerifyPrompt = Annotated[str | None, typer.Option(help=PROMPT_HELP.format(default=SONNET))]
Ids = Annotated[str | None, typer.Option(help="Token ids to run on, as 5,6,7.")]
PromptLength = Annotated[
    int | None,
    typer.Option(
        **whole("--prompt-length", 1),
        help="How many tokens to run on, where their values don't matter.",
    ),
]
Rows = Annotated[str | None, typer.Option(metavar="a:b", help="Rows a to b-1; all if left out.")]
Cols = Annotated[str | None, typer.Option(metavar="a:b", help="Columns a to b-1.")]

Every = Annotated[
    bool, typer.Option("--all", help="A row for each call, also of layers that ran alike.")
]
Tp = Annotated[
    bool, typer.Option("--tp", help="Share the model out over the processes that torchrun started.")
]
Dtype = Annotated[
    str | None, typer.Option(help="float32, bfloat16 or float16; the checkpoint's if left out.")
]


def _path(option: str, endings: str) -> Callable[[Any], Path]:
    def named(text: Any) -> Path:
        if str(text):
            return Path(text)
        leave_it_to_the_first()
        raise UsageError(f"{option} names no file", f"Name one that ends in {endings}")

    return named


Output = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        help="Write the whole report to a file that ends in .md or .json.",
        parser=_path("--output", ".md or .json"),
    ),
]

Golden = Annotated[
    Path,
    typer.Option(
        "--output",
        metavar="PATH",
        help="The file to write, .safetensors.",
        parser=_path("--output", ".safetensors"),
    ),
]
GoldenDtype = Annotated[
    str | None, typer.Option("--dtype", help="float32, bfloat16 or float16; float32 if left out.")
]
EngineFile = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="What an engine gave, with ids and logits: .safetensors, .npz or .json.",
        parser=_path("FILE", ".safetensors, .npz or .json"),
        show_default=False,
    ),
]
EngineDtype = Annotated[
    str | None,
    typer.Option(
        "--dtype",
        help="What the engine computed in: float32, bfloat16 or float16; as its logits tell if "
        "left out.",
    ),
]

REPORT_HELP = """Every claim of the report that this book began with, measured.

Claims about the 7B's sizes are checked on MODEL where it has the 7B's
shape, else on olmo3-7b. How weights are read, and in which order, is
proven on MODEL where its weights are on this machine and fit into memory,
else on tiny. Of weights that lie elsewhere one head is read, H27@L17.

Exit 1: a step differs from the reference, the RoPE is not OLMo 3's, or
weights refute a norm that was recorded. That other claims are corrected is
the result, not a failure.
"""


Layer = Annotated[int | None, typer.Option(**whole("--layer"), help="The layer's number, from 0.")]
HeadNumber = Annotated[
    int | None, typer.Option(**whole("--head"), help="The head's number, from 0.")
]
Revisions = Annotated[
    str | None,
    typer.Option(
        metavar="a,b,c", help="Branches, tags or commits; patterns too, such as 'stage1-step*'."
    ),
]
EveryNth = Annotated[
    int, typer.Option(**whole("--every", 1, 10**6), help="Of all these only every n-th.")
]
Projections = Annotated[
    str,
    typer.Option(
        metavar="q,k,v,o", help="Which of the head's slices; for o all of o_proj travels."
    ),
]
Positions = Annotated[int, typer.Option(**whole("--seq", 1, MOST), help="Positions.")]
Batch = Annotated[int, typer.Option(**whole("--batch", 1, MOST), help="Sequences.")]


def parse_ids(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(
            f"--ids {reprlib.repr(text)} cannot be read", "Write whole numbers, as 5,6,7"
        ) from None


def parse_names(option: str, text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise UsageError(f"{option} {reprlib.repr(text)} cannot be read", "Write names, as a,b,c")
    return names


def parse_slice(option: str, text: str | None) -> slice | None:
    if text is None:
        return None
    match text.split(":"):
        case [start, stop] if all(re.fullmatch(r"[0-9]{,18}", part) for part in (start, stop)):
            return slice(int(start) if start else None, int(stop) if stop else None)
    raise UsageError(f"{option} {reprlib.repr(text)} cannot be read", "Write a:b, as 3456:3584")


def check_readable(prompt: str | None, tokenizer: Any | None, instead: str) -> None:
    """UsageError for a text where there is no tokenizer: `instead` names the options to use."""
    if prompt is not None and tokenizer is None:
        raise UsageError(
            "This model comes without a tokenizer, so a text cannot be read", f"Give {instead}"
        )


def at_most_one(**options: Any) -> None:
    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value is not None]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} say the same thing twice", "Give one of them")
