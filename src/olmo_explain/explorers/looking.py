"""What a figure shows of one run, computed by PyTorch: live/look.js gathers the same in a page."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from olmo_explain.by_hand import Form, Weights, linear, lm_head, rms_norm
from olmo_explain.checkpoint import OlmoConfig, config_of, ropes_under
from olmo_explain.explorers.shared import pieces
from olmo_explain.live import shown_faults
from olmo_explain.running import contributions
from olmo_explain.undo import no_grad

CHOICES = 20  # the most likely next tokens, among which a reader may also draw
SHARE_SCALE = 65_535
LONGEST = 128  # tokens: of a longer text the last ones are read,
STRIDE = 32  # dropped so many at a time, so that a letter more does not move all the others


Patterns = Float[Tensor, "layers heads query key"]


@dataclass(frozen=True)
class Asked:
    """What a reader chose. `written`: ids behind those of the text. `at`: the position whose next
    token is asked for, None for the last. `score`: one of SCORES, None for none. `step`: the name
    of a value, of this layer or outside the layers; None for none. `off`: [layer, head] that write
    zeros. `fault`: the name of one, "" for none.
    """

    text: str = ""
    written: Sequence[int] = field(default_factory=list)
    at: int | None = None
    layer: int = 0
    score: str | None = None
    step: str | None = None
    off: Sequence[Sequence[int]] = field(default_factory=list)
    rope: str = "per-layer"
    fault: str = ""


@dataclass
class Seen:
    """What is kept of a run: streams at one position, and what the heads looked at and read."""

    streams: list[Float[Tensor, "hidden"]] = field(default_factory=list)
    patterns: list[Float[Tensor, "heads query key"]] = field(default_factory=list)
    written: list[Float[Tensor, "heads"]] = field(default_factory=list)
    value: Tensor | None = None


class Looking:
    """A model that answers what `Asked` asks for, as a dict whose arrays are bytes: float32, and
    uint16 in units of 1/SHARE_SCALE for what is attended to.
    """

    def __init__(self, model: nn.Module, tokenizer: Any | None):
        self.config = config_of(model)
        self.faults = shown_faults(self.config)
        self._weights = Weights(model.state_dict())
        self._tokenizer = tokenizer

    def __call__(self, asked: Asked) -> dict:
        whole = [*self._encode(asked.text), *asked.written]
        dropped = -(-max(len(whole) - LONGEST, 0) // STRIDE) * STRIDE
        ids = whole[dropped:]
        about = {
            "asked": asdict(asked),
            "ids": ids,
            "tokens": pieces(self._tokenizer, ids),
            "tail": self._tokenizer.decode(asked.written) if self._tokenizer else "",
            "dropped": dropped,
        }
        if not ids:
            return about | {"at": None}
        here = len(ids) - 1 if asked.at is None else min(asked.at, len(ids) - 1)
        with no_grad():
            seen = self._run(ids, here, asked)
            form = self._form(asked)
            shares = self._unembed(torch.stack(seen.streams), form.config).softmax(-1)  # (L + 1, V)
            changed = asked.off or asked.rope != "per-layer" or asked.fault
            intact = self._run(ids, here, Asked()) if changed else seen
            before = self._unembed(intact.streams[-1][None], self.config)[0].softmax(-1)  # (V,)
        best = shares[-1].topk(min(CHOICES, shares.shape[1])).indices
        guesses = shares.argmax(-1)
        first = int(before.argmax())
        patterns = torch.stack(seen.patterns)  # (L, H, T, T)
        return about | {
            "at": here,
            "next": {
                "ids": best.tolist(),
                "tokens": pieces(self._tokenizer, best.tolist()),
                "shares": _bytes(shares[-1, best]),
                "before": _bytes(before[best]),
            },
            "intact": {
                "token": pieces(self._tokenizer, [first])[0],
                "shares": _bytes(torch.stack([before[first], shares[-1, first]])),
            },
            "lens": {
                "tokens": pieces(self._tokenizer, guesses.tolist()),
                "shares": _bytes(shares.gather(1, guesses[:, None])),
            },
            "looks": _shares(patterns[:, :, here, : here + 1]),
            "pattern": _shares(patterns[asked.layer]),
            "scores": asked.score and _bytes(SCORES[asked.score](patterns, seen, ids)),
            "value": seen.value
            if seen.value is None
            else {"shape": list(seen.value.shape), "data": _bytes(seen.value)},
        }

    def _encode(self, text: str) -> list[int]:
        if not text:
            return []
        assert self._tokenizer is not None, "a text is asked for only where there is a tokenizer"
        return self._tokenizer(text)["input_ids"]

    def _form(self, asked: Asked) -> Form:
        """The pass by hand with the fault that was asked for, and then with the RoPE."""
        form = self.faults.get(asked.fault, Form(self.config))
        ropes = ropes_under(asked.rope, form.config.rope)
        return form._replace(config=replace(form.config, rope=ropes))

    def _run(self, ids: list[int], here: int, asked: Asked) -> Seen:
        """One pass by hand, in which heads that are off write zeros before o_proj reads them."""
        seen, z, stream = Seen(), torch.empty(0), torch.empty(0)
        for layer, _, name, value in self._form(asked).walk(self._weights, torch.tensor([ids])):
            if name == "resid_pre":
                seen.streams.append(value[0, here].float())
            elif name == "pattern":
                seen.patterns.append(value[0].float())
            elif name == "z":
                for head in (head for off, head in asked.off if off == layer):
                    value[:, :, head] = 0
                z = value
            elif name == "o_proj":
                seen.written.append(self._how_much(layer, z[:, here, None], value[:, here, None]))
            elif name == "resid_post":
                stream = value[0, here].float()
            if name == asked.step and layer in (asked.layer, None):
                seen.value = value[0].float()
        seen.streams.append(stream)
        return seen

    def _unembed(
        self, streams: Float[Tensor, "rows hidden"], config: OlmoConfig
    ) -> Float[Tensor, "rows vocab"]:
        norm = self._weights["model.norm.weight"]
        x = rms_norm(streams[None].to(norm.dtype), norm, config.rms_norm_eps)
        return linear(x, self._weights[lm_head(config)])[0].float()

    def _how_much(self, layer: int | None, z: Tensor, o_proj: Tensor) -> Float[Tensor, "heads"]:
        """How long a vector each head adds at one position, the norm's scale as it was."""
        o_weight, norm = (
            self._weights[f"model.layers.{layer}.{name}.weight"]
            for name in ("self_attn.o_proj", "post_attention_layernorm")
        )
        added = contributions(z, o_proj, o_weight, norm, self.config.rms_norm_eps)  # (1, 1, H, D)
        return added[0, 0].norm(dim=-1)


def _induction(patterns: Patterns, seen: Seen, ids: list[int]) -> Float[Tensor, "layers heads"]:
    tokens = torch.tensor(ids)
    earlier = (tokens[:, None] == tokens).tril(-1)  # (query, key): the same token, before
    followers = earlier.roll(1, dims=1)  # the last key is nobody's past
    repeated = earlier.any(-1)
    return (patterns[:, :, repeated] * followers[repeated]).sum(-1).mean(-1)


SCORES: dict[str, Callable[[Patterns, Seen, list[int]], Float[Tensor, "layers heads"]]] = {
    "induction": _induction,
    "previous": lambda patterns, *_: patterns[:, :, 1:].diagonal(dim1=-2, dim2=-1).mean(-1),
    "first": lambda patterns, *_: patterns[:, :, 1:, 0].mean(-1),
    "written": lambda patterns, seen, ids: torch.stack(seen.written),
}
"""What can be said of each head on a text. Three are means over the queries, NaN over none, of the
share that goes to tokens that followed the same token earlier, to the token before, and to the
first token of all; `written` is how long a vector a head adds at the chosen position."""


def _shares(shares: Tensor) -> bytes:
    """Attention travels as uint16, in steps of 0.000015: half of what float32 takes."""
    return np.rint(np.nan_to_num(shares.numpy()) * SHARE_SCALE).astype("<u2").tobytes()


def _bytes(values: Tensor) -> bytes:
    return values.float().contiguous().numpy().astype("<f4").tobytes()
