"""The fifteen steps of a layer as they really ran, recovered from the operators of a trace.

>>> ran = trace(model, ids, ops=True)
>>> [step.name for step in sequence(ran.operators) if step.layer == 0][:4]
['q_proj', 'q_norm', 'k_proj', 'k_norm']

The names are those of `reference.STEPS`. Its values that no operator of the layer computes do not
come up: what the layer is handed (`resid_pre`, `cos`, `sin`, `mask`), and a view (`v`).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from olmo_explain.by_hand import STEPS
from olmo_explain.running.operators import Operator

LAYER = re.compile(r"(?:^|\.)layers\.(?P<layer>\d+)(?:\.(?P<module>.+))?$")

MODULES = {
    "self_attn.q_proj": "q_proj",
    "self_attn.k_proj": "k_proj",
    "self_attn.v_proj": "v_proj",
    "self_attn.q_norm": "q_norm",
    "self_attn.k_norm": "k_norm",
    "self_attn.o_proj": "o_proj",
    "post_attention_layernorm": "attn_out",
    "mlp.gate_proj": "gate_proj",
    "mlp.up_proj": "up_proj",
    "mlp.act_fn": "silu",
    "mlp.down_proj": "down_proj",
    "post_feedforward_layernorm": "mlp_out",
}
"""Modules that compute one value each."""

BETWEEN = {
    "self_attn": (
        ("q", "add"),
        ("k", "add"),
        ("scores", "mul"),
        ("masked_scores", "add"),
        ("pattern", "_softmax"),
        ("z", "bmm"),
    ),
    None: (("resid_mid", "add"), ("resid_post", "add")),
    "mlp": (("intermediate", "mul"),),
}
"""What is computed in a module's own code, in order, and the operator that completes each value.
None: the layer's own."""

COPIES = {"cat", "clone", "copy_", "_to_copy", "index_copy_", "index", "repeat_interleave"}
FUSED = "scaled_dot_product"


@dataclass(frozen=True)
class Step:
    """One value of one layer; `operators` are the indices of those that computed it.

    `step` is its number among the fifteen.
    """

    layer: int
    step: int
    name: str
    operators: tuple[int, ...]


def sequence(operators: Iterable[Operator]) -> list[Step]:
    """Every step of every layer, in the order in which it ran. Views and copies are no steps.

    Knows the modules of OLMo 2 and 3 in transformers; an operator of any other module is left out.
    Eager attention shows scores, pattern and z apart; a fused one computes them in one operator,
    and only `z` comes out of it.
    """
    ahead: dict[tuple[int, str | None], list[tuple[str, str]]] = {}
    named = []
    for operator in operators:
        place = LAYER.search(operator.path)
        if place is None or operator.view or operator.name in COPIES:
            continue
        layer, module = int(place["layer"]), place["module"]
        if module in BETWEEN:
            values = ahead.setdefault((layer, module), list(BETWEEN[module]))
            name = _next(values, operator.name)
        else:
            name = MODULES.get(module)
        if name is not None:
            named.append((layer, name, operator.index))
    return [
        Step(layer, STEPS[name], name, tuple(index for *_, index in group))
        for (layer, name), group in groupby(named, key=lambda item: item[:2])
    ]


def _next(values: list[tuple[str, str]], operator: str) -> str | None:
    """The value that this operator works on; takes it off the list when it is complete."""
    if FUSED in operator:
        values.clear()
        return "z"
    if not values:
        return None
    name, last = values[0]
    if operator == last:
        del values[0]
    return name
