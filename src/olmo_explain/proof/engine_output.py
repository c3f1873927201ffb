"""What an engine gave, beside the pass by hand: in the form in which it came, and how far apart."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from olmo_explain.errors import UsageError
from olmo_explain.proof.explanation import Apart
from olmo_explain.words import shape

FAR_BELOW = -1e4  # what a mask adds: some write -1e9, some the lowest number, some infinity
HEADS_FIRST = {"v", "q", "k", "scores", "mask", "masked_scores", "pattern"}
MASKED = {"mask", "masked_scores"}
OF_NO_PROMPT = {"cos", "sin"}

Key = tuple[int | None, str]
LOGITS: Key = (None, "logits")


class Logits(NamedTuple):
    """Logits as they were given: (batch, positions, tokens), in float32.

    `positions`: which of the prompt's they belong to. `top_ids`: the tokens, where not all of the
    vocabulary is there. `are_log_probs`: each is the logarithm of a probability.
    """

    given: Float[Tensor, "batch pos tokens"]
    positions: Int[Tensor, "pos"]
    top_ids: Int[Tensor, "batch pos tokens"] | None
    are_log_probs: bool
    form: str

    def like_these(
        self, ours: Float[Tensor, "batch all_pos vocab"]
    ) -> Float[Tensor, "batch pos tokens"]:
        """Logits of the whole vocabulary at every position, in the form of the given ones."""
        ours = ours[:, self.positions].float()
        if self.are_log_probs:
            ours = ours.log_softmax(-1)
        return ours if self.top_ids is None else ours.gather(-1, self.top_ids)


@dataclass(frozen=True)
class EngineOutput:
    """What an engine gave, read and checked.

    `dtype`: what it computed in, as far as its numbers tell. `values`: all but the logits, float32.
    """

    ids: Int[Tensor, "batch pos"]
    attention_mask: Int[Tensor, "batch pos"] | None
    logits: Logits | None
    values: dict[Key, Tensor]
    dtype: torch.dtype

    @classmethod
    def of_logits(cls, ids: Tensor, dtype: torch.dtype, vocab_size: int) -> "EngineOutput":
        """A place for logits of these ids, which nobody has given."""
        given = torch.zeros(*ids.shape, vocab_size)
        every = torch.arange(ids.shape[1])
        return cls(ids, None, Logits(given, every, None, False, "logits"), {}, dtype)

    @property
    def keys(self) -> list[Key]:
        """Of all that was given, logits too."""
        return [*self.values, *([LOGITS] if self.logits else [])]

    def given(self, key: Key) -> Tensor:
        return self.logits.given if key == LOGITS and self.logits else self.values[key]

    def like_given(self, key: Key, ours: Tensor) -> Tensor:
        """A value of the pass by hand in the form in which the engine gave it, in float32."""
        if key == LOGITS and self.logits:
            return self.logits.like_these(ours)
        given, ours = self.values[key], ours.float()
        if key[1] in MASKED:
            ours = ours.clamp(min=FAR_BELOW)
        if ours.shape != given.shape and ours.shape != (1, *given.shape):
            layer, name = key
            raise UsageError(
                f"{name if layer is None else f'{layer}.{name}'} has shape {shape(given.shape)}, "
                f"and that of the pass by hand {shape(ours.shape)}",
                "Give it in that shape, or without the batch axis where that is 1",
            )
        return ours.reshape(given.shape)

    def apart(self, key: Key, ours: Tensor, other: Tensor | None = None) -> Apart:
        """How far a value in this form is from what was given, or another; padding left out."""
        distance = (ours - (self.given(key) if other is None else other)).abs()
        if self.attention_mask is not None:
            distance = distance[self._real(key, distance)]
        if not distance.numel():
            return Apart(0.0, 0.0)
        rms = torch.linalg.vector_norm(distance).item() / distance.numel() ** 0.5
        return Apart(distance.max().item(), rms)

    def farthest(self, key: Key, ours: Tensor) -> int:
        """The prompt of which a value is the farthest from what was given."""
        if self.given(key).shape[0] != len(self.ids):  # without a batch axis, or of no prompt
            return 0
        distance = (ours - self.given(key)).abs()
        return int(distance.flatten(1).amax(1).argmax())

    def only(self, prompt: int) -> "EngineOutput":
        """One prompt of these, and what was given of it."""
        if len(self.ids) == 1:
            return self
        one = slice(prompt, prompt + 1)
        logits = self.logits
        if logits is not None:
            top = None if logits.top_ids is None else logits.top_ids[one]
            logits = logits._replace(given=logits.given[one], top_ids=top)
        values = {
            key: value if key[1] in OF_NO_PROMPT else value[one]
            for key, value in self.values.items()
        }
        mask = None if self.attention_mask is None else self.attention_mask[one]
        return EngineOutput(self.ids[one], mask, logits, values, self.dtype)

    def first(self, count: int) -> "EngineOutput | None":
        """The first positions of every prompt, and their logits; None where none were given."""
        if self.logits is None or not (here := self.logits.positions < count).any():
            return None
        logits, top = self.logits, self.logits.top_ids
        logits = logits._replace(
            given=logits.given[:, here],
            positions=logits.positions[here],
            top_ids=None if top is None else top[:, here],
        )
        mask = None if self.attention_mask is None else self.attention_mask[:, :count]
        return EngineOutput(self.ids[:, :count], mask, logits, {}, self.dtype)

    def same_token(self, right: Mapping[Key, Tensor]) -> tuple[int, int] | None:
        """At how many positions the same token is the most likely, and of how many."""
        if self.logits is None:
            return None
        same = self.logits.given.argmax(-1) == right[LOGITS].argmax(-1)
        if self.attention_mask is not None:
            same = same[self.attention_mask.bool()[:, self.logits.positions]]
        return int(same.sum()), same.numel()

    def _real(self, key: Key, like: Tensor) -> Tensor:
        """Where a value belongs to a token and not to padding."""
        _, name = key
        real = self.attention_mask.bool()  # type: ignore[union-attr]
        if key == LOGITS and self.logits:
            return real[:, self.logits.positions, None].expand(like.shape)
        if name in OF_NO_PROMPT:
            return torch.ones_like(like, dtype=torch.bool)
        if like.shape[0] != len(real):  # without a batch axis
            return real.reshape(-1, *[1] * (like.ndim - 1)).expand(like.shape)
        if name in HEADS_FIRST:
            return real[:, None, :, None].expand(like.shape)
        return real.reshape(*real.shape, *[1] * (like.ndim - 2)).expand(like.shape)
