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

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from olmo_explain.errors import OutOfRange, UsageError
from olmo_explain.running.capturing import attention_of
from olmo_explain.undo import no_grad


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
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(vocab_size, (count, period), generator=generator).repeat(1, 2)


def attention_patterns(
    model: PreTrainedModel, ids: Int[Tensor, "batch pos"]
) -> Float[Tensor, "layers batch heads query key"]:
    """Every head's pattern: what share of its attention each query gives to each key.

    Raises UsageError when the model was not loaded with eager attention, as the faster
    implementations never form the pattern.
    """
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
    _check_period(period, ids.shape[1])
    return _mean_attention(model, ids, first_query=period, distance=period - 1)


def repetition_losses(model: PreTrainedModel, ids: Int[Tensor, "batch pos"], period: int) -> Losses:
    """Loss on the first `period` tokens, where chance is ln(vocab_size), and on those after.

    The very first token is not predicted and not counted. Raises OutOfRange as `induction_scores`.
    """
    _check_period(period, ids.shape[1])
    with no_grad():
        logits = model(ids, use_cache=False).logits[:, :-1].float()
    losses = F.cross_entropy(logits.mT, ids[:, 1:], reduction="none")  # (batch, pos - 1)
    return Losses(losses[:, : period - 1].mean().item(), losses[:, period - 1 :].mean().item())


def best_head(scores: Float[Tensor, "layers heads"]) -> ScoredHead:
    """The head with the highest score."""
    layer, head = divmod(int(scores.argmax()), scores.shape[1])
    return ScoredHead(layer, head, scores[layer, head].item())


def _check_period(period: int, length: int) -> None:
    if not 1 < period < length:
        raise OutOfRange(
            f"Nothing repeats after {period} tokens in sequences of {length}",
            f"Choose a period from 2 to {length - 1}",
        )


def _mean_attention(
    model: PreTrainedModel, ids: Int[Tensor, "batch pos"], first_query: int, distance: int
) -> Float[Tensor, "layers heads"]:
    """Mean attention, over queries from `first_query` on, to the key `distance` positions back."""
    patterns = attention_patterns(model, ids)
    queries = torch.arange(first_query, ids.shape[1])
    return patterns[..., queries, queries - distance].mean(dim=(1, 3))  # (layers, heads)
