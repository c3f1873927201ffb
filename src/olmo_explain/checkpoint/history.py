"""How a model came to do what it does: its losses and heads at moments of its training. No torch.

>>> history = training_history("tiny")
>>> history.steps[:3].tolist(), history.induction.shape[1:]
([0, 25, 50], (8, 4))

A second run of `tiny`'s training script wrote it down, in history.json; the weights beside it are
those of the first run. No other model that is known here has one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from olmo_explain.checkpoint.heads import PROJECTIONS
from olmo_explain.checkpoint.source import FileMissing, ModelLike, resolve
from olmo_explain.errors import CheckpointError

if TYPE_CHECKING:
    from jaxtyping import Float, Int

FILE = "history.json"
LOSSES = ("text_loss", "first_loss", "second_loss")
SHARES = ("near", "far")
SCORES = ("previous_token", "induction")


@dataclass(frozen=True)
class TrainingHistory:
    """One entry a moment, `steps` saying when that was.

    `text_loss`: nats a token on a text that the training has not seen. `first_loss` and
    `second_loss`: on random tokens, and on their repetition after `period` positions. `near` and
    `far`: the probability of `answer` after each of `sentences`. `previous_token` and `induction`:
    every head's scores on those tokens, as `running.circuits` defines them. `norms`: Frobenius
    norms of every head's slices, by projection.
    """

    steps: Int[np.ndarray, " moment"]
    text_loss: Float[np.ndarray, " moment"]
    first_loss: Float[np.ndarray, " moment"]
    second_loss: Float[np.ndarray, " moment"]
    near: Float[np.ndarray, " moment"]
    far: Float[np.ndarray, " moment"]
    previous_token: Float[np.ndarray, "moment layer head"]
    induction: Float[np.ndarray, "moment layer head"]
    norms: dict[str, Float[np.ndarray, "moment layer head"]]
    period: int
    sentences: dict[str, str]
    answer: str
    tokens_per_step: int


def training_history(model: ModelLike = "tiny") -> TrainingHistory:
    """What the training of a MODEL wrote down. FileMissing where it wrote nothing."""
    source = resolve(model)
    try:
        written = source.read(FILE)
    except FileMissing as missing:
        raise FileMissing(
            f"{source.name} has no {FILE}, which a training writes", "Choose tiny, which has one"
        ) from missing
    try:
        return _read(json.loads(written))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"{source.name}: {FILE} is not as scripts/train_tiny.py writes it ({error})",
            "Take the one that came with the model",
        ) from error


def _read(written: dict[str, Any]) -> TrainingHistory:
    steps = np.array(written["steps"], np.int64)
    curves = {name: np.array(written[name], float) for name in (*LOSSES, *SHARES)}
    by_head = {name: np.array(written[name], float) for name in (*SCORES, *PROJECTIONS)}
    for name, values in {**curves, **by_head}.items():
        axes = 3 if name in by_head else 1
        if values.ndim != axes or len(values) != len(steps):
            raise ValueError(f"{name} has shape {values.shape}, for {len(steps)} steps")
    return TrainingHistory(
        steps=steps,
        **curves,
        **{name: by_head[name] for name in SCORES},
        norms={name: by_head[name] for name in PROJECTIONS},
        period=int(written["period"]),
        sentences=dict(written["sentences"]),
        answer=str(written["answer"]),
        tokens_per_step=int(written["tokens_per_step"]),
    )
