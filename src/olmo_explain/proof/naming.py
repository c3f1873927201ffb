"""Which known fault makes of a layer's input what a model made of it, at the first difference."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from olmo_explain.by_hand import FAULTS, Form, known_faults
from olmo_explain.checkpoint import OlmoConfig

LAST = "resid_post"
NEARER = 8.0
"""A fault explains a value that it is so many times nearer to than the right way is."""


def names_of_fault(
    layer: int,
    name: str,
    theirs: Mapping[str, Tensor],
    weights: Mapping[str, Tensor],
    config: OlmoConfig,
    attention_mask: Tensor | None = None,
) -> list[str]:
    """The faults that give this value of a layer from its input; several where they all do.

    `theirs`: what the model made in this layer. Of several faults those are named that give the
    layer's last value too. None that would have shown before, in a layer that was right: those
    change every layer, or every one of a type.
    """
    kinds = config.layer_types
    if kinds.index(kinds[layer]) < layer:
        return []
    before = [kinds.index(kind) for kind in set(kinds) if kinds.index(kind) < layer]
    given = (theirs["resid_pre"], weights, attention_mask)
    right = {number: _value(Form(config), number, LAST, *given) for number in before}
    far = {
        value: _apart(_value(Form(config), layer, value, *given), theirs[value])
        for value in (name, LAST)
    }
    found: dict[str, bool] = {}
    for fault, forms in known_faults(config, frozenset(weights)).items():
        for form in forms:
            is_near, is_near_at_last = (
                _apart(_value(form, layer, value, *given), theirs[value]) <= far[value] / NEARER
                for value in (name, LAST)
            )
            if is_near and all(
                torch.equal(_value(form, number, LAST, *given), value)
                for number, value in right.items()
            ):
                found[fault] = found.get(fault, False) or is_near_at_last
    return [fault for fault, at_last in found.items() if at_last or not any(found.values())]


def said_of(names: list[str], detail: str) -> str:
    """The sentence of each fault, under its name, and what was found here."""
    said = "; or ".join(f"{name}: {FAULTS[name].says}" for name in names)
    return f"{said} ({detail})"


def _value(
    form: Form,
    layer: int,
    name: str,
    x: Tensor,
    weights: Mapping[str, Tensor],
    attention_mask: Tensor | None,
) -> Tensor:
    """A value of a layer as this form makes it."""
    steps, config = form.steps(), form.config
    positions = steps.positions_by_hand(config, config.layer_types[layer], x, attention_mask)
    value = x
    for found, value in steps.layer_by_hand(x, form.weights(weights), config, layer, positions):
        if found == name:
            return value
    return value


def _apart(ours: Tensor, theirs: Tensor) -> float:
    """The root mean square of their distance; infinite where they cannot be compared."""
    if ours.shape != theirs.shape:
        return math.inf
    return (ours.double() - theirs.double()).square().mean().sqrt().item()
