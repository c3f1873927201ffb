"""`golden` and `diagnose`: what an engine should compute, and what is wrong with one that does not.

Their printers are in `engines`, which needs torch.
"""

import typer

from olmo_explain.terminal.options import (
    EngineDtype,
    EngineFile,
    Golden,
    GoldenDtype,
    Ids,
    Json,
    Model,
    PromptLength,
    VerifyPrompt,
    at_most_one,
    parse_ids,
)
from olmo_explain.terminal.output import IMPORTING, Document, show
from olmo_explain.waiting import progress


def golden(
    model: Model,
    output: Golden,
    prompt: VerifyPrompt = None,
    ids: Ids = None,
    prompt_length: PromptLength = None,
    dtype: GoldenDtype = None,
    as_json: Json = False,
) -> None:
    """Every value of the pass by hand, written to a file to hold an engine against."""
    at_most_one(prompt=prompt, ids=ids, prompt_length=prompt_length)
    document, chosen = Document(output, (".safetensors",)), parse_ids(ids)
    with progress(IMPORTING):
        from olmo_explain.terminal.engines import print_golden, write_golden
    written = write_golden(document, model, chosen or prompt, prompt_length, dtype)
    show(as_json, lambda: written, lambda console: print_golden(console, written))


def diagnose(
    model: Model, file: EngineFile, dtype: EngineDtype = None, as_json: Json = False
) -> None:
    """What is wrong with an engine, from the logits that it gave: the fault by its name."""
    with progress(IMPORTING):
        from olmo_explain.proof import diagnose
        from olmo_explain.terminal.engines import print_diagnosis

    found = diagnose(model, file, dtype=dtype)
    show(as_json, found.to_dict, lambda console: print_diagnosis(console, found))
    if not found.ok:
        raise typer.Exit(1)
