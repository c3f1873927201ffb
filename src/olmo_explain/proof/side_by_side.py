"""Many passes by hand beside each other, each with another fault: every weight is read once.

The passes go through a layer one after the other, and only then to the next one. So of a model that
is larger than memory no more than a layer is held, and between layers each pass keeps its stream.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from jaxtyping import Int
from torch import Tensor

from olmo_explain.by_hand import Form, Value, Weights
from olmo_explain.checkpoint import Checkpoint, OlmoConfig
from olmo_explain.undo import no_grad
from olmo_explain.waiting import Advance

Receive = Callable[[int, Value], None]
"""Is told which of the passes a value is of, and the value."""

AT_ONCE = 2**30  # bytes that passes may keep between layers, all of them together
NUDGE = 2.0**-21  # a share; float32 rounds by up to 2⁻²⁴, and some ten roundings add up


def run_side_by_side(
    forms: Sequence[Form],
    weights: Mapping[str, Tensor] | Checkpoint,
    ids: Int[Tensor, "batch pos"],
    attention_mask: Int[Tensor, "batch pos"] | None,
    receive: Receive,
    advance: Advance,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Runs every form on the same ids; `advance` is told of each layer of each."""
    most = max(1, AT_ONCE // _kept_bytes(forms[0].config, ids))
    for first in range(0, len(forms), most):
        some = forms[first : first + most]
        kept = _Kept(Weights(weights, dtype))
        passes = [form.walk(kept, ids, attention_mask) for form in some]
        with no_grad():
            for layer in range(some[0].config.num_hidden_layers + 1):
                for number, values in enumerate(passes, first):
                    for value in _up_to(layer, values):
                        receive(number, value)
                    advance(1)
                kept.forget()


def nudged(config: OlmoConfig) -> Form:
    """The reference, its rope_theta and the weights of its norms moved by less than a millionth.

    What that changes is what float32 makes of another order of operations, or a little more.
    """
    ropes = {
        kind: replace(rope, rope_theta=rope.rope_theta * (1 + NUDGE))
        for kind, rope in config.rope.items()
    }

    def weight(weights: Mapping[str, Tensor], name: str) -> Tensor:
        it = weights[name]
        if not name.endswith("norm.weight"):
            return it
        signs = torch.ones_like(it)
        signs[::2] = -1
        return it * (1 + NUDGE * signs)

    return Form(replace(config, rope=ropes), weight=weight)


def _up_to(layer: int, values: Iterator[Value]) -> Iterator[Value]:
    """What a pass computes until it begins this layer: then of the layer before only x is left."""
    for value in values:
        yield value
        if value.name == "resid_pre" and value.layer == layer:
            return


def _kept_bytes(config: OlmoConfig, ids: Tensor) -> int:
    """Of one pass between layers: its stream, and a mask for each layer type."""
    batch, positions = ids.shape
    masks = len(set(config.layer_types)) * positions**2
    return 4 * batch * (masks + positions * config.hidden_size)


class _Kept(Mapping[str, Tensor]):
    """Weights, each read once until they are forgotten."""

    def __init__(self, weights: Mapping[str, Tensor]):
        self._weights = weights
        self._here: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._here:
            self._here[name] = self._weights[name]
        return self._here[name]

    def forget(self) -> None:
        self._here.clear()

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)
