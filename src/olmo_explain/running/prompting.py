"""From what a reader asks for to the token ids that a model takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from olmo_explain.checkpoint import whole_number
from olmo_explain.errors import OutOfRange, UsageError

if TYPE_CHECKING:  # a command that only describes its options does not wait for torch
    from jaxtyping import Int
    from torch import Tensor
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Prompt:
    """What a model runs on where nobody says: a text, or `length` positions without a tokenizer."""

    text: str
    length: int


GREETING = Prompt("Hello world", 2)
"""The report's."""

LONGEST_TEXT = 10**6  # letters; a tokenizer would take its time over more

SONNET = Prompt(
    "Shall I compare thee to a summer's day? Thou art more lovely and more temperate: rough winds "
    "do shake the darling buds of May, and summer's lease hath all too short a date.",
    64,
)
"""Longer than the window of tiny, so that its sliding layers have something to hide."""


def prompt_ids(
    model: PreTrainedModel,
    tokenizer: Any | None,
    prompt: str | Sequence[int] | Tensor | None = None,
    *,
    length: int | None = None,
    default: Prompt = GREETING,
) -> Int[Tensor, "1 pos"]:
    """Token ids of one prompt: a text, token ids, only a `length`, or else the `default`.

    A length stands for the tokens 0, 1, 2, …; which ones does not matter on the meta device.
    Raises UsageError for a text where there is no tokenizer, OutOfRange for an unknown id and for
    more positions than the model is made for, or than there is memory for.

    >>> prompt_ids(*load("tiny"), "Hello world").shape
    torch.Size([1, 4])
    """
    import torch

    from olmo_explain.ids import as_ids, check_room

    longest = model.config.max_position_embeddings
    if prompt is None and length is None and tokenizer is not None:
        prompt = default.text
    if isinstance(prompt, str):
        if tokenizer is None:
            raise UsageError(
                "This model comes without a tokenizer, so a text cannot be read",
                "Give token ids in its place, as 5,6,7",
            )
        check_text("The prompt", prompt)
        if len(prompt) > LONGEST_TEXT:
            raise OutOfRange(
                f"A prompt of {len(prompt):,} letters is longer than any model takes",
                f"Give up to {LONGEST_TEXT:,}, and fewer than {longest:,} tokens",
            )
        prompt = tokenizer(prompt)["input_ids"]
    if prompt is None:
        most = min(default.length, longest)
        positions = most if length is None else whole_number("length", length)
        _check_length(positions, longest)
        prompt = torch.arange(positions) % model.config.vocab_size
    ids = as_ids(prompt, model.config.vocab_size, model.device)
    _check_length(ids.shape[1], longest)
    check_room(ids, model.config.num_attention_heads, model.dtype.itemsize)
    return ids


def check_text(what: str, text: str) -> None:
    """UsageError for bytes of no text, which come in a command's words and in names of files."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"{what} holds bytes that are no UTF-8, and libraries refuse them", "Write it in UTF-8"
        ) from None


def _check_length(positions: int, longest: int) -> None:
    if positions > longest:
        raise OutOfRange(
            f"A prompt of {positions:,} tokens is longer than the model takes",
            f"Give up to {longest:,}",
        )
