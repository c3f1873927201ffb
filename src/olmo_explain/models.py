"""A MODEL name → a PyTorch model that runs, and its tokenizer.

Where the weights are at hand they are loaded; where only config.json is (a preset, a URL), the
model is built on PyTorch's meta device: every shape and every call, and no numbers.
"""

import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Int
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.utils import logging

from olmo_explain.checkpoint import Checkpoint
from olmo_explain.config import OlmoConfig, read_config
from olmo_explain.errors import CheckpointError, OutOfRange, UsageError
from olmo_explain.rope_guard import REMEDIES, rope_regime
from olmo_explain.source import HubSource, LocalSource, Source, resolve

WORTH_A_BAR = 2**30  # bytes of weights; fewer are loaded before a bar could be seen
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load(
    model: str | Source, dtype: torch.dtype | str | None = None, *, attention: str = "eager"
) -> tuple[PreTrainedModel, Any | None]:
    """The model in evaluation mode and its tokenizer, or None where there is no tokenizer.

    `dtype`: the checkpoint's own when not given. `attention`: transformers' name of the attention
    function; "eager" is the one that returns attention patterns. Warns, in one line, when the
    model applies another RoPE than its config.json asks for.

    >>> model, tokenizer = load("tiny")
    >>> model.lm_head.weight.shape
    torch.Size([2048, 128])
    """
    source = resolve(model) if isinstance(model, str) else model
    config = read_config(source)
    dtype = _dtype(dtype or config.dtype)
    if not _has_weights(source):
        return _guarded(_on_meta(source, dtype, attention), config), None
    if isinstance(source, LocalSource):
        _check_shapes(Checkpoint(source), config)
    where, options = _pretrained(source)
    try:
        with _quiet(isinstance(source, LocalSource) and config.bytes < WORTH_A_BAR):
            loaded = AutoModelForCausalLM.from_pretrained(
                where, dtype=dtype, attn_implementation=attention, **options
            )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(
            f"{source.name} cannot be loaded: {_first_line(error)}", "Download the checkpoint again"
        ) from error
    return _guarded(loaded, config), _tokenizer(source, where, options)


def prompt_ids(
    model: PreTrainedModel,
    tokenizer: Any | None,
    *,
    prompt: str | None = None,
    ids: Sequence[int] | None = None,
    prompt_length: int | None = None,
) -> Int[Tensor, "1 pos"]:
    """Token ids for one prompt, said in one of three ways: text, ids, or only a length.

    A length stands for that many different tokens; their values do not matter on the meta device.
    Raises UsageError when the model has no tokenizer for a text, OutOfRange for an unknown id.
    """
    if ids is None and prompt_length is None and tokenizer is None:
        raise UsageError(
            "This model comes without a tokenizer, so a prompt cannot be read",
            "Give token ids instead, or only a length (--ids 5,6,7 or --prompt-length 2)",
        )
    if ids is None and prompt_length is not None:
        ids = range(prompt_length)
    if ids is None:
        ids = tokenizer(prompt)["input_ids"]
    vocab_size = model.config.vocab_size
    if not ids:
        raise UsageError("The prompt holds no token", "Give at least one")
    if unknown := [i for i in ids if not 0 <= i < vocab_size]:
        raise OutOfRange(
            f"There is no token {unknown[0]}", f"Token ids go from 0 to {vocab_size - 1}"
        )
    return torch.tensor([list(ids)], device=model.device)


@contextmanager
def _quiet(quiet: bool) -> Iterator[None]:
    """No progress bar for what takes no time."""
    shown = logging.is_progress_bar_enabled()
    if quiet:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        if quiet and shown:
            logging.enable_progress_bar()


def _check_shapes(checkpoint: Checkpoint, config: OlmoConfig) -> None:
    """CheckpointError where config.json and the weights beside it do not belong together."""
    for part in config.components:
        for name in part.names():
            if (shape := checkpoint.tensor(name).shape) != part.shape:
                raise CheckpointError(
                    f"{checkpoint.source.name}: config.json asks for {name} of shape "
                    f"{list(part.shape)}, the file has {list(shape)}",
                    "Take config.json and weights from the same place",
                )


def _has_weights(source: Source) -> bool:
    if isinstance(source, LocalSource):
        return any(source.directory.glob("*.safetensors*"))
    return isinstance(source, HubSource)


def _pretrained(source: Source) -> tuple[str, dict[str, Any]]:
    """What `from_pretrained` wants to hear for this source."""
    if isinstance(source, HubSource):
        return source.repository, {"revision": source.revision}
    return str(source.directory), {"local_files_only": True}


def _on_meta(source: Source, dtype: torch.dtype, attention: str) -> PreTrainedModel:
    fields = json.loads(source.read("config.json"))
    config = AutoConfig.for_model(**fields)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=attention)
    return model


def _guarded(model: PreTrainedModel, config: OlmoConfig) -> PreTrainedModel:
    """In evaluation mode, its RoPE measured."""
    if remedy := REMEDIES.get(rope_regime(model.eval(), config)):
        warnings.warn(remedy, stacklevel=3)
    return model


def _tokenizer(source: Source, where: str, options: dict[str, Any]) -> Any | None:
    try:
        return AutoTokenizer.from_pretrained(where, **options)
    except Exception as error:  # the tokenizers library raises no narrower one
        if isinstance(source, LocalSource) and (source.directory / "tokenizer.json").is_file():
            raise CheckpointError(
                f"{source.name}: tokenizer.json cannot be read ({_first_line(error)})",
                "Download it again",
            ) from error
        return None  # a checkpoint may come without one


def _dtype(dtype: torch.dtype | str) -> torch.dtype:
    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype not in DTYPES:
        raise UsageError(f"Unknown dtype {dtype!r}", f"Choose {', '.join(DTYPES)}")
    return DTYPES[dtype]


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
