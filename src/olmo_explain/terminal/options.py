"""What the commands can be asked for: their shared options, and how values are read."""

from typing import Annotated, Any

import typer

from olmo_explain.errors import UsageError

MODEL_HELP = (
    "tiny | olmo3-7b | olmo3-32b | a directory | a hub id (owner/name, owner/name@revision) | a URL"
)
Model = Annotated[str, typer.Argument(metavar="MODEL", help=MODEL_HELP, show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")]
Prompt = Annotated[str | None, typer.Option(help="Text to run on, read by the model's tokenizer.")]
Ids = Annotated[str | None, typer.Option(help="Token ids to run on, as 5,6,7.")]
PromptLength = Annotated[
    int | None,
    typer.Option(min=1, help="How many tokens to run on, where their values don't matter."),
]
Rows = Annotated[str | None, typer.Option(metavar="a:b", help="Rows a to b-1; all if left out.")]
Cols = Annotated[str | None, typer.Option(metavar="a:b", help="Columns a to b-1.")]

Dtype = Annotated[
    str | None, typer.Option(help="float32, bfloat16 or float16; the checkpoint's if left out.")
]


def parse_ids(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(
            f"--ids {text!r} cannot be read", "Write whole numbers, as 5,6,7"
        ) from None


def parse_slice(option: str, text: str | None) -> slice | None:
    if text is None:
        return None
    match text.split(":"):
        case [start, stop] if all(not part or part.isdecimal() for part in (start, stop)):
            return slice(int(start) if start else None, int(stop) if stop else None)
    raise UsageError(f"{option} {text!r} cannot be read", "Write a:b, as 3456:3584")


def at_most_one(**options: Any) -> None:
    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value is not None]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} say the same thing twice", "Give one of them")
