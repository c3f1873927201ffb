from .reference import (
    STEPS,
    Activations,
    Positions,
    embed,
    layer_by_hand,
    linear,
    lm_head,
    positions_by_hand,
    rms_norm,
    run_by_hand,
    silu,
    visible,
)
from .rope import cos_sin, frequencies, rotate, yarn_ramp
from .weights import Weights, check_has_weights, differ

__all__ = [
    "STEPS",
    "Activations",
    "Positions",
    "Weights",
    "check_has_weights",
    "cos_sin",
    "differ",
    "embed",
    "frequencies",
    "layer_by_hand",
    "linear",
    "lm_head",
    "positions_by_hand",
    "rms_norm",
    "rotate",
    "run_by_hand",
    "silu",
    "visible",
    "yarn_ramp",
]
