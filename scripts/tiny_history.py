"""How `tiny` came to do what it does: its heads and losses at moments of its training."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from tokenizers import Tokenizer
from torch import Tensor
from transformers import PreTrainedModel

from olmo_explain.running import FAR, NEAR, circuits

PERIOD, COUNT, SEED = 40, 16, 2027  # a period beyond the window; no row of the card's own check
OFTEN, SELDOM, EARLY = 25, 100, 1000  # steps between moments, before and after step EARLY
DIGITS = 3  # after the point: enough for a curve, and the file stays small

ANSWER = " France"
SENTENCES = {"near": NEAR, "far": FAR}  # which tiny should end with the answer


def is_moment(step: int) -> bool:
    """Whether the history looks at the model after this many steps.

    >>> [step for step in range(951, 1202) if is_moment(step)]
    [975, 1000, 1100, 1200]
    """
    return step % (OFTEN if step < EARLY else SELDOM) == 0


def sentence_shares(model: PreTrainedModel, tokenizer: Tokenizer) -> dict[str, float]:
    """The probability of ANSWER after each of the book's sentences."""
    (answer,) = tokenizer.encode(ANSWER).ids
    shares = {}
    for name, text in SENTENCES.items():
        with torch.no_grad():
            logits = model(torch.tensor([tokenizer.encode(text).ids]), use_cache=False).logits
        shares[name] = logits[0, -1].softmax(-1)[answer].item()
    return shares


def head_norms(model: PreTrainedModel) -> dict[str, Float[Tensor, "layers heads"]]:
    """The Frobenius norm of each head's rows of q, k, v and columns of o."""
    heads = model.config.num_attention_heads
    norms = {}
    for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
        weights = torch.stack([getattr(x.self_attn, name).weight for x in model.model.layers])
        rows = weights.mT if name == "o_proj" else weights
        norms[name] = rows.unflatten(1, (heads, -1)).detach().norm(dim=(2, 3))
    return norms


class History:
    """Columns that grow by one entry at each moment; a checkpoint of the run holds them."""

    def __init__(self) -> None:
        self.columns: dict[str, list[Any]] = {"steps": []}

    def look(
        self, step: int, model: PreTrainedModel, text_loss: float, tokenizer: Tokenizer
    ) -> str:
        """Adds the moment after `step`, and says it in one line."""
        model.set_attn_implementation("eager")
        ids = circuits.repeated_sequences(model.config.vocab_size, PERIOD, COUNT, SEED)
        previous = circuits.previous_token_scores(model, ids)
        induction = circuits.induction_scores(model, ids, PERIOD)
        first, second = circuits.repetition_losses(model, ids, PERIOD)
        shares = sentence_shares(model, tokenizer)
        model.set_attn_implementation("sdpa")
        self._add("steps", step)
        self._add("text_loss", text_loss)
        self._add("first_loss", first)
        self._add("second_loss", second)
        for name, share in shares.items():
            self._add(name, share)
        self._add("previous_token", previous)
        self._add("induction", induction)
        for name, norms in head_norms(model).items():
            self._add(name, norms)
        return (
            f"step {step} · text {text_loss:.2f} · repeats {first:.2f} → {second:.2f}"
            f" · previous token {previous.max():.2f} · induction {induction.max():.2f}"
            f" · near {shares['near']:.2f} · far {shares['far']:.2f}"
        )

    def write(self, path: Path, about: dict[str, Any]) -> None:
        """One JSON object, a line a column."""
        entries = {**about, "period": PERIOD, "sentences": SENTENCES, "answer": ANSWER}
        lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in entries.items()]
        compact = (",", ":")
        for key, value in self.columns.items():
            lines.append(f"{json.dumps(key)}: {json.dumps(value, separators=compact)}")
        path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")

    def _add(self, name: str, value: float | Tensor) -> None:
        entry = value.tolist() if isinstance(value, Tensor) else value
        self.columns.setdefault(name, []).append(_rounded(entry))


def _rounded(value: float | Sequence) -> Any:
    if isinstance(value, Sequence):
        return [_rounded(part) for part in value]
    return round(value, DIGITS)
