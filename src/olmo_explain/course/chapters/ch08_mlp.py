"""Chapter 8: a neuron's slices, which branch is the gate, how low it goes, and signs."""

import math
from itertools import combinations
from typing import Any

from olmo_explain.course.bundled import tiny, tiny_values
from olmo_explain.course.exercise import Exercise, Wrong
from olmo_explain.running import NEAR

LAYER, NEURON = 3, 100
MATRICES = ("gate_proj", "up_proj", "down_proj")
GATE, UP = -1.0, 2.0


def _silu(x: float) -> float:
    return x / (1 + math.exp(-x))


def _weight(name: str) -> Any:
    model, _ = tiny()
    return model.model.layers[LAYER].mlp.get_submodule(name).weight.detach()


def _input() -> Any:
    """What the MLP of LAYER reads, (1, T, D)."""
    return tiny_values(NEAR)[LAYER, "resid_mid"]


def _mlp(x: Any, negated: tuple[str, ...] = ()) -> Any:
    from olmo_explain.by_hand import silu

    gate_proj, up_proj, down_proj = (
        -_weight(name) if name in negated else _weight(name) for name in MATRICES
    )
    return silu(x @ gate_proj.T) * (x @ up_proj.T) @ down_proj.T


def _signs_that_cancel() -> frozenset[str]:
    import torch

    before = _mlp(_input())
    pairs = combinations(MATRICES, 2)
    (found,) = (pair for pair in pairs if torch.allclose(_mlp(_input(), pair), before))
    return frozenset(found)


def _bottom() -> float:
    """Where SiLU is lowest: there its slope, σ(x) · (1 + x · (1 − σ(x))), is zero."""
    low, high = -2.0, -1.0
    while (middle := (low + high) / 2) not in (low, high):
        share = 1 / (1 + math.exp(-middle))
        low, high = (low, middle) if 1 + middle * (1 - share) > 0 else (middle, high)
    return low


EXERCISES = {
    "08.1": Exercise(
        question="what one neuron writes with, D numbers",
        right=lambda: _weight("down_proj")[:, NEURON],
        wrong={
            "That is a row: F numbers, with which one number of the output reads all neurons. "
            "Neurons are inputs of `down_proj`, and "
            "inputs are columns.": lambda: _weight("down_proj")[NEURON],
            "That is a row of `gate_proj`: the neuron reads with it. With which matrix does it "
            "write?": Wrong(
                lambda: _weight("gate_proj")[NEURON],
                also=lambda: [_weight("up_proj")[NEURON]],
            ),
        },
        hint="The matrix that goes back to D numbers has one row or one column a neuron: which?",
        shows="Two rows that read, one column that writes: a neuron is a slice of three matrices.",
    ),
    "08.2": Exercise(
        question="how active the neuron is",
        right=lambda: _silu(GATE) * UP,
        wrong={
            "You sent `up` through SiLU. It is the gate that goes through it; `up` is only "
            "multiplied.": lambda: _silu(UP) * GATE,
            "That gate is σ alone. SiLU is x · σ(x), so the "
            "gate's size and sign count too.": lambda: _silu(GATE) / GATE * UP,
            "That is ReLU: it shuts for every negative number. SiLU "
            "lets a little through.": lambda: max(0.0, GATE) * UP,
            "The gate still has to go through SiLU.": lambda: GATE * UP,
            "That is the opened gate. Multiply it with `up`.": lambda: _silu(GATE),
        },
        hint="SiLU(gate) · up, with SiLU(x) = x / (1 + e⁻ˣ).",
        shows="Below zero: both a gate and a product may be negative.",
        tolerance=5e-3,
    ),
    "08.3": Exercise(
        question="the lowest number that `silu` has",
        right=lambda: _silu(_bottom()),
        wrong={
            "That would be ReLU. Look at the left end of the range below the picture.": lambda: 0.0,
            "That is where the curve has its bottom, the gate. How low is SiLU there?": _bottom,
            "That is SiLU(−1). The bottom lies a little further to the left.": lambda: _silu(-1.0),
            "That is σ alone, which is never below zero. SiLU is x · σ(x).": lambda: (
                _silu(_bottom()) / _bottom()
            ),
        },
        hint="Open `silu` in layer 5, say, and read where its range begins.",
        shows="However far below zero a gate stands, no more than this comes through. The largest "
        "number has no such bound: upwards SiLU follows x.",
        tolerance=5e-3,
    ),
    "08.4": Exercise(
        question="the names of two matrices",
        right=_signs_that_cancel,
        wrong={
            "SiLU(−x) is not −SiLU(x), so the gate's sign does not "
            "cancel. Try a few numbers.": Wrong(
                lambda: frozenset({"gate_proj", "up_proj"}),
                also=lambda: [frozenset({"gate_proj", "down_proj"})],
            ),
            "Two of them, not three: an odd number of signs cannot cancel, and one of the three "
            "goes through SiLU first.": lambda: frozenset(MATRICES),
        },
        hint="Which two enter the result only as factors of one product?",
        shows="So the weights of a model are not unique: flip both signs, and nothing changes.",
    ),
}
