"""Chapter 8: a neuron's slices, which branch is the gate, positions, sizes and signs."""

import math
from itertools import combinations
from typing import Any

from olmo_explain.checkpoint import OlmoConfig, read_config
from olmo_explain.course.answers import same
from olmo_explain.course.bundled import tiny, tiny_values
from olmo_explain.course.exercise import Exercise, Wrong

PROMPT, LAYER, NEURON, CHANGED = "To be, or not to be", 3, 100, 2
MATRICES = ("gate_proj", "up_proj", "down_proj")
GATE, UP = -1.0, 2.0


def _silu(x: float) -> float:
    return x / (1 + math.exp(-x))


def _weight(name: str) -> Any:
    model, _ = tiny()
    return model.model.layers[LAYER].mlp.get_submodule(name).weight.detach()


def _input() -> Any:
    """What the MLP of LAYER reads, (1, T, D)."""
    return tiny_values(PROMPT)[LAYER, "resid_mid"]


def _mlp(x: Any, negated: tuple[str, ...] = ()) -> Any:
    from olmo_explain.by_hand import silu

    gate_proj, up_proj, down_proj = (
        -_weight(name) if name in negated else _weight(name) for name in MATRICES
    )
    return silu(x @ gate_proj.T) * (x @ up_proj.T) @ down_proj.T


def _positions_changed() -> int:
    changed = _input().clone()
    changed[:, CHANGED] += 1
    difference = (_mlp(changed) - _mlp(_input())).abs().amax((0, 2))
    return int((difference > 1e-4).sum())


def _signs_that_cancel() -> frozenset[str]:
    import torch

    before = _mlp(_input())
    pairs = combinations(MATRICES, 2)
    (found,) = (pair for pair in pairs if torch.allclose(_mlp(_input(), pair), before))
    return frozenset(found)


def _share(config: OlmoConfig, matrices: int = 3, of: int | None = None) -> float:
    size = config.hidden_size * config.intermediate_size * config.num_hidden_layers
    return matrices * size / (of or config.parameters)


def _in_layers(config: OlmoConfig) -> int:
    layers = (part for part in config.components if ".layers." in part.name)
    return sum(part.parameters * part.count for part in layers)


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
                also=lambda answer: same(_weight("up_proj")[NEURON], answer),
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
        question="at how many positions the MLP's output changes",
        right=_positions_changed,
        wrong={
            "Later positions would change if this were attention. Does any line of the MLP let "
            "one position see another?": Wrong(
                lambda: _input().shape[1] - CHANGED,
                also=lambda count: same(_input().shape[1] - CHANGED - 1, count),
            ),
            "All of them? The three products multiply numbers of one position with weights, never "
            "with another position.": lambda: _input().shape[1],
            "That is the number of the position that was changed. At how many is the output "
            "another one?": lambda: CHANGED,
            "Its own position's output is computed from it, so that one changes.": lambda: 0,
        },
        hint="Add one to `x` at that position, run `mlp` on both, and count where they differ.",
        shows="Positions meet in attention only. The next layer's attention is where the others "
        "hear of it.",
    ),
    "08.4": Exercise(
        question="MLPs' share of all parameters of the 32B",
        right=lambda: _share(read_config("olmo3-32b")),
        wrong={
            "You counted two matrices. A gated MLP has three: gate, up and down.": lambda: _share(
                read_config("olmo3-32b"), matrices=2
            ),
            "That is the share of the layers. The embedding and "
            "`lm_head` are parameters too.": lambda: _share(
                read_config("olmo3-32b"), of=_in_layers(read_config("olmo3-32b"))
            ),
            "That is the 7B's. Take `hidden_size`, `intermediate_size` and the parameters of the "
            "32B.": lambda: _share(read_config("olmo3-7b")),
            "That is one layer's MLP. There is one in each layer.": lambda: (
                _share(read_config("olmo3-32b")) / read_config("olmo3-32b").num_hidden_layers
            ),
        },
        hint="Three matrices of D · F numbers in each of L layers, over `config.parameters`.",
        shows="Far more than in the 7B: few key-value heads make attention small, and F is large.",
        tolerance=6e-3,
    ),
    "08.5": Exercise(
        question="the names of two matrices",
        right=_signs_that_cancel,
        wrong={
            "SiLU(−x) is not −SiLU(x), so the gate's sign does not "
            "cancel. Try a few numbers.": Wrong(
                lambda: frozenset({"gate_proj", "up_proj"}),
                also=lambda names: "gate_proj" in names and len(names) == 2,
            ),
            "Two of them, not three: an odd number of signs cannot cancel, and one of the three "
            "goes through SiLU first.": lambda: frozenset(MATRICES),
        },
        hint="Which two enter the result only as factors of one product?",
        shows="So the weights of a model are not unique: flip both signs, and nothing changes.",
    ),
}
