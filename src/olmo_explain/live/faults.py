"""The faults that a page can show: those that change the config, and those of one step.

Others need other weights, another order of a layer, or a mask that looks ahead, which a cache of
keys and values cannot have.
"""

from dataclasses import asdict, replace
from typing import Any

from olmo_explain.by_hand import FAULTS, Form, known_faults
from olmo_explain.checkpoint import REGIMES, OlmoConfig, ropes_under

OF_ONE_STEP = {"no-rope", "no-qk-norm", "no-score-scale"}
"""asked.js writes over what that step gives, before the next one reads it."""
UNSEEN = {"norm-eps"}
"""Moves probabilities by less than a figure shows."""


def shown_faults(config: OlmoConfig) -> dict[str, Form]:
    """By name, the first form of each. Two that are RoPE regimes are left to `rope`.

    >>> shown_faults(read_config("tiny"))["no-window"].config.sliding_window is None
    True
    """
    regimes = [replace(config, rope=dict(ropes_under(name, config.rope))) for name in REGIMES]
    first = {name: forms[0] for name, forms in known_faults(config).items()}
    return {
        name: form
        for name, form in first.items()
        if name in OF_ONE_STEP or (_is_of_config(form) and form.config not in regimes)
        if name not in UNSEEN
    }


def exported_faults(config: OlmoConfig) -> dict[str, dict[str, Any]]:
    """The same as a page reads them: the sentence of each, and the fields of config that change."""
    right = asdict(config)
    return {
        name: {
            "detail": form.detail,
            "says": FAULTS[name].says,
            "config": {
                field: value
                for field, value in asdict(form.config).items()
                if value != right[field]
            },
        }
        for name, form in shown_faults(config).items()
    }


def _is_of_config(form: Form) -> bool:
    return form.change is None and form.weight is None
