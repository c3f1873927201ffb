"""Token ids as a model takes them, from what a reader may write."""

import math
import sys
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from olmo_explain.errors import OutOfRange, UsageError
from olmo_explain.machine import free_memory_bytes
from olmo_explain.words import amount, quoted

MOST = 2**23  # no model takes as many; each of a list is looked at, and takes 40 bytes
SELDOM_SHORT = 2**28  # bytes that nobody needs to look for


def as_ids(given: Any, vocab_size: int, device: torch.device | None = None) -> Int[Tensor, "b p"]:
    """Ids as a tensor (batch, pos): a tensor, an array, a list of whole numbers or of such lists.

    UsageError for text, for no token and for what holds no whole numbers; OutOfRange for an id that
    the vocabulary does not have.

    >>> as_ids([5, 6, 7], vocab_size=2048)
    tensor([[5, 6, 7]])
    """
    ids = given if isinstance(given, Tensor) else _from_lists(_listed(given))
    _check_plain("the token ids", ids, meta=device is not None and device.type == "meta")
    if ids.ndim == 1:
        ids = ids[None]
    if ids.ndim != 2:
        raise UsageError(f"Token ids have shape {list(ids.shape)}", "Give (batch, positions)")
    if ids.numel() == 0:
        raise UsageError("The prompt holds no token", "Give at least one")
    check_count(ids.numel())
    if ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool:
        name = str(ids.dtype).removeprefix("torch.")
        raise UsageError(f"Token ids are whole numbers, and these are {name}", "Give whole numbers")
    if ids.dtype not in (torch.int32, torch.int64):
        ids = ids.long()  # an embedding takes no other
    if not ids.is_meta:
        for found in (ids.min().item(), ids.max().item()):
            if not 0 <= found < vocab_size:
                raise OutOfRange(
                    f"There is no token {found}", f"Token ids go from 0 to {vocab_size - 1}"
                )
    return ids.to(device)


def check_room(ids: Int[Tensor, "b p"], heads: int, itemsize: int, times: int = 1) -> None:
    """OutOfRange where the attention scores of these ids would not fit into free memory.

    Eager attention forms them, masked and as a pattern, for every pair of positions in every head,
    and softmax in float32 beside them: 3 · `itemsize` + 4 bytes. `times`: how often they are kept.
    """
    batch, positions = ids.shape
    of_a_pair = times * batch * heads * (3 * itemsize + 4)
    needed = of_a_pair * positions**2
    if ids.device.type != "cpu" or needed < SELDOM_SHORT:
        return
    if needed > (free := free_memory_bytes()):
        raise OutOfRange(
            f"{positions:,} positions take {amount(needed)} of memory for their attention scores, "
            f"and {amount(free)} are free",
            f"Give up to {math.isqrt(free // of_a_pair):,}",
        )


def as_mask(given: Any, ids: Int[Tensor, "b p"]) -> Int[Tensor, "b p"] | None:
    """An attention mask for these ids, on their device: 1 for a token, 0 for padding.

    A tensor, a list of numbers or a list of such lists; None, where nothing is padded, stays None.
    UsageError where it holds anything else, or has another shape than the ids.

    >>> as_mask([1, 1, 0], as_ids([5, 6, 7], vocab_size=2048))
    tensor([[1, 1, 0]])
    """
    if given is None:
        return None
    remedy = "Give a 1 for each token and a 0 for each padding"
    if _is_list(given):
        check_count(_length(given))
    try:
        mask = torch.as_tensor(given)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        name = type(given).__name__
        raise UsageError(
            f"An attention_mask cannot be read from {name} {quoted(given)}", remedy
        ) from None
    _check_plain("the attention_mask", mask, meta=ids.is_meta)
    if mask.ndim == 1:
        mask = mask[None]
    if mask.shape != ids.shape:
        raise UsageError(
            f"The attention_mask has shape {list(mask.shape)}, the ids {list(ids.shape)}", remedy
        )
    if not mask.is_meta and not ((mask == 0) | (mask == 1)).all():
        raise UsageError("The attention_mask holds other numbers than 0 and 1", remedy)
    return mask.to(device=ids.device, dtype=torch.long)


def _listed(given: Any) -> Any:
    """An array as lists; anything else as it is."""
    if not hasattr(given, "tolist"):
        return given
    check_count(math.prod(getattr(given, "shape", ())))
    return given.tolist()


def check_count(count: int) -> None:
    """OutOfRange for more ids than any model takes."""
    if count > MOST:
        raise OutOfRange(f"{count:,} numbers are no prompt", f"Give up to {MOST:,}")


def _check_plain(what: str, tensor: Tensor, *, meta: bool) -> None:
    """UsageError for a tensor whose numbers cannot be looked at one by one."""
    if tensor.layout != torch.strided or tensor.is_nested or tensor.is_quantized:
        kind = "quantized" if tensor.is_quantized else "sparse or nested"
        raise UsageError(f"A {kind} tensor holds {what}", "Give a dense one, of whole numbers")
    if tensor.is_meta and not meta:
        raise UsageError(
            f"A tensor on the meta device, without numbers, holds {what}", "Give numbers"
        )


def _from_lists(given: Any) -> Tensor:
    if isinstance(given, str):
        raise UsageError(
            f"{quoted(given)} is text, and a model reads token ids",
            'Give those of its tokenizer: tokenizer(text)["input_ids"]',
        )
    if _is_list(given):
        check_count(_length(given))
    rows = given if _is_list(given) and any(map(_is_list, given)) else [given]
    check_count(sum(_length(row) for row in rows if _is_list(row)))
    if not all(_is_list(row) and all(type(number) is int for number in row) for row in rows):
        raise UsageError(
            f"Token ids cannot be read from {type(given).__name__} {quoted(given)}",
            "Give a list of whole numbers, as [5, 6, 7]",
        )
    if len({len(row) for row in rows}) > 1:
        raise UsageError(
            "The prompts are not equally long",
            "Pad them, and give an attention_mask with 1 for a token and 0 for padding",
        )
    for number in (number for row in rows for number in row):
        if not -(2**63) <= number < 2**63:
            digits = int(math.log10(2) * number.bit_length()) + 1
            raise OutOfRange(
                f"There is no token whose id has {digits:,} digits", "No vocabulary is that large"
            )
    return torch.tensor([list(row) for row in rows], dtype=torch.long)


def _length(listed: Sequence) -> int:
    try:
        return len(listed)
    except OverflowError:  # a range may be longer than Python can say
        return sys.maxsize


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))
