"""What a trained head does, measured on random tokens that repeat.

On such a sequence nothing but the sequence itself helps to predict the next token, so two heads
that work together show plainly: a *previous-token* head writes into each position what stood
before it, and an *induction* head, looking for the current token there, finds what followed last
time (Olsson et al., "In-context Learning and Induction Heads", 2022).

>>> model, _ = load("tiny", dtype="float32")
>>> ids = repeated_sequences(vocab_size=2048, period=40)
>>> best_head(induction_scores(model, ids, period=40))  # layer 7 is a full-attention layer
ScoredHead(layer=7, head=1, score=0.985...)

Works on every causal language model of transformers that was loaded with eager attention. A
sliding layer whose window is no longer than `period - 1` cannot reach that token: it scores 0.
"""

from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from olmo_explain.by_hand import check_has_weights
from olmo_explain.checkpoint import whole_number
from olmo_explain.errors import OutOfRange, UsageError
from olmo_explain.ids import as_ids, check_count, check_room
from olmo_explain.running.ablation import ablate_head
from olmo_explain.running.capturing import attention_of
from olmo_explain.undo import no_grad
from olmo_explain.words import quoted

A_LANGUAGE_MODEL = "Give a causal language model of transformers, as load(…) gives"


class ScoredHead(NamedTuple):
    """A head's place in the model, both numbers counted from 0, and its score."""

    layer: int
    head: int
    score: float


class Losses(NamedTuple):
    """Mean loss in nats a token, on tokens seen for the first time and on their repetition."""

    first: float
    second: float


def repeated_sequences(
    vocab_size: int, period: int, count: int = 32, seed: int = 0
) -> Int[Tensor, "count 2*period"]:
    """`count` sequences of `period` random tokens, each said twice. The same ones for a seed."""
    vocab_size, period = whole_number("vocab_size", vocab_size), whole_number("period", period)
    check_count(2 * period * whole_number("count", count))
    generator = torch.Generator().manual_seed(whole_number("seed", seed, least=-(2**63)))
    return torch.randint(vocab_size, (count, period), generator=generator).repeat(1, 2)


def attention_patterns(
    model: PreTrainedModel, ids: Int[Tensor, "batch pos"]
) -> Float[Tensor, "layers batch heads query key"]:
    """Every head's pattern: what share of its attention each query gives to each key.

    Raises UsageError when the model was not loaded with eager attention, as the faster
    implementations never form the pattern.
    """
    ids = _check_ids(model, ids)
    if (attention := attention_of(model)) != "eager":
        raise UsageError(
            f"{attention} attention returns no pattern",
            'Load the model with attention="eager", as oe.load does where nothing is said',
        )
    with no_grad():
        return torch.stack(model(ids, output_attentions=True, use_cache=False).attentions).float()


def previous_token_scores(
    model: PreTrainedModel, ids: Int[Tensor, "batch pos"]
) -> Float[Tensor, "layers heads"]:
    """Mean attention from a token to the one before it: 1 is a perfect previous-token head."""
    return _mean_attention(model, ids, first_query=1, distance=1)


def induction_scores(
    model: PreTrainedModel, ids: Int[Tensor, "batch pos"], period: int
) -> Float[Tensor, "layers heads"]:
    """Mean attention from a repeated token to the token after its previous occurrence.

    With tokens that repeat after `period` positions, that is `period - 1` positions back. Only
    queries from position `period` on count, the first that have a previous occurrence. Raises
    OutOfRange when there are none.
    """
    ids = _check_ids(model, ids)
    _check_period(period, ids.shape[1])
    return _mean_attention(model, ids, first_query=period, distance=period - 1)


def repetition_losses(model: PreTrainedModel, ids: Int[Tensor, "batch pos"], period: int) -> Losses:
    """Loss on the first `period` tokens, where chance is ln(vocab_size), and on those after.

    The very first token is not predicted and not counted. Raises OutOfRange as `induction_scores`.
    """
    ids = _check_ids(model, ids, kept=False)
    _check_period(period, ids.shape[1])
    with no_grad():
        output = model(ids, use_cache=False)
        if getattr(output, "logits", None) is None:
            raise UsageError(f"{type(model).__name__} gives no logits", A_LANGUAGE_MODEL)
        logits = output.logits[:, :-1].float()
    losses = F.cross_entropy(logits.mT, ids[:, 1:], reduction="none")  # (batch, pos - 1)
    return Losses(losses[:, : period - 1].mean().item(), losses[:, period - 1 :].mean().item())


def next_shares(
    model: PreTrainedModel, ids: Int[Tensor, "1 pos"], silent: Iterable[tuple[int, int]] = ()
) -> Float[Tensor, "vocab"]:
    """The probability of every token as the next one, while some heads write zeros.

    `silent`: (layer, head) of each, as `ablate_head` takes them.

    >>> france = tokenizer(" France").input_ids
    >>> next_shares(model, ids)[france], next_shares(model, ids, [(2, 0)])[france]
    (tensor([0.7325]), tensor([0.0260]))
    """
    ids = _check_ids(model, ids, kept=False)
    if len(ids) != 1:
        raise UsageError(f"{len(ids)} sequences have as many next tokens", "Give one sequence")
    with ExitStack() as silence, no_grad():
        for layer, head in silent:
            silence.enter_context(ablate_head(model, layer, head))
        return model(ids, use_cache=False).logits[0, -1].float().softmax(-1)


def best_head(scores: Float[Tensor, "layers heads"]) -> ScoredHead:
    """The head with the highest score."""
    if not isinstance(scores, Tensor) or scores.ndim != 2 or not scores.numel():
        raise UsageError(
            f"{quoted(scores)} holds no score for each layer and head", "Give what …_scores gave"
        )
    layer, head = divmod(int(scores.argmax()), scores.shape[1])
    return ScoredHead(layer, head, scores[layer, head].item())


def _check_ids(model: Any, ids: Any, *, kept: bool = True) -> Int[Tensor, "batch pos"]:
    """The ids as a tensor, where a language model can run on them; else an ExplainError.

    `kept`: whether the patterns of all layers are.
    """
    config: Any = getattr(model, "config", None)
    if hasattr(config, "get_text_config"):  # of a model that reads more than text
        config = config.get_text_config()
    if not isinstance(model, nn.Module) or getattr(config, "vocab_size", None) is None:
        what = quoted(model) if isinstance(model, str) else type(model).__name__
        raise UsageError(f"{what} is no loaded language model", A_LANGUAGE_MODEL)
    check_has_weights(model.parameters())
    some = next(model.parameters(), torch.empty(0))
    ids = as_ids(ids, config.vocab_size, some.device)
    heads, layers = config.num_attention_heads, config.num_hidden_layers if kept else 1
    check_room(ids, heads, some.itemsize, times=layers)
    return ids


def _check_period(period: int, length: int) -> None:
    if not 1 < whole_number("period", period, least=0) < length:
        raise OutOfRange(
            f"Nothing repeats after {quoted(period)} tokens in sequences of {length}",
            f"Choose a period from 2 to {length - 1}",
        )


def _mean_attention(
    model: PreTrainedModel, ids: Int[Tensor, "batch pos"], first_query: int, distance: int
) -> Float[Tensor, "layers heads"]:
    """Mean attention, over queries from `first_query` on, to the key `distance` positions back."""
    ids = _check_ids(model, ids)
    patterns = attention_patterns(model, ids)
    queries = torch.arange(first_query, ids.shape[1])
    return patterns[..., queries, queries - distance].mean(dim=(1, 3))  # (layers, heads)
