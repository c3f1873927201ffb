"""What config.json says of RoPE, in any of the forms in which it has said it. No torch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from olmo_explain.checkpoint.fields import (
    LAYER_TYPES,
    ROPE_FIELDS,
    YARN_FIELDS,
    LayerType,
    read_fields,
    refused,
)

UNTRUNCATED = "true: releases of transformers differ in what they make of another in an OLMo 3"
BESIDE = "left out where there is rope_scaling, or have an object full_attention"
THETA = {"olmo2": 10_000.0, "olmo3": 500_000.0}  # transformers' own, where config.json has none


@dataclass(frozen=True)
class Rope:
    """How positions turn queries and keys in one type of layer.

    `rope_type` is "default" or "yarn"; the other fields are those of config.json, and None where
    the type has no use for them.
    """

    rope_type: str
    rope_theta: float
    factor: float | None = None
    original_max_position_embeddings: int | None = None
    beta_fast: float | None = None
    beta_slow: float | None = None
    attention_factor: float = 1.0
    truncate: bool = True

    @classmethod
    def from_dict(
        cls, said: Mapping[str, Any], theta: float, longest: int, name: str, inside: str
    ) -> "Rope":
        """Reads a `rope_scaling` or `rope_parameters` object, as transformers does.

        `theta` and `longest`: what it takes where the object has no rope_theta, and no
        original_max_position_embeddings.
        """
        if "rope_type" not in said and "type" in said:  # as it was called before 2024
            said = {**said, "rope_type": said["type"]}
        rope = read_fields(said, name, ROPE_FIELDS, inside)
        theta = float(rope["rope_theta"] or theta)
        if rope["rope_type"] == "default":
            return cls("default", theta)
        yarn = read_fields(said, name, YARN_FIELDS, inside)
        return cls(
            "yarn",
            theta,
            float(yarn["factor"]),
            yarn["original_max_position_embeddings"] or longest,
            float(yarn["beta_fast"] or YARN_FIELDS["beta_fast"].default),
            float(yarn["beta_slow"] or YARN_FIELDS["beta_slow"].default),
            _attention_factor(yarn),
            yarn["truncate"],
        )

    def to_dict(self) -> dict[str, Any]:
        """The object for config.json: the fields that its type has, and no other."""
        plain = {"rope_type": self.rope_type, "rope_theta": self.rope_theta}
        if self.rope_type == "default":
            return plain
        fields = {name: getattr(self, name) for name in YARN_FIELDS if hasattr(self, name)}
        if self.truncate:
            del fields["truncate"]
        return plain | fields


REGIMES = ("per-layer", "yarn-everywhere", "yarn-lost")
"""As OLMo 3 was trained; as transformers 5.0 to 5.12 ran it; as newer ones run what these saved."""


def ropes_under(regime: str, ropes: Mapping[LayerType, Rope]) -> Mapping[LayerType, Rope]:
    """What each layer type applies under one of the REGIMES, where `ropes` is as designed.

    >>> ropes_under("yarn-everywhere", read_config("tiny").rope)["sliding_attention"].rope_type
    'yarn'
    """
    if regime == "yarn-everywhere":
        return dict.fromkeys(ropes, ropes["full_attention"])
    if regime == "yarn-lost":
        return {kind: Rope("default", rope.rope_theta) for kind, rope in ropes.items()}
    return ropes


def read_ropes(fields: Mapping[str, Any], name: str) -> dict[LayerType, Rope]:
    """One Rope for each layer type, from any of the three ways config.json has said it.

    transformers 4: `rope_theta` and `rope_scaling`; 5.0–5.12: one flat `rope_parameters`;
    from 5.13 on: `rope_parameters` with an object for each layer type. Where two of them stand
    side by side, releases differ in which they read: it is a ConfigError if they do not agree.
    """
    is_olmo2 = fields["model_type"] == "olmo2"
    scaling, parameters = fields["rope_scaling"] or {}, fields["rope_parameters"] or {}
    by_type = _by_type("rope_scaling", scaling, name)
    by_type |= _by_type("rope_parameters", parameters, name)
    for inside, rope in by_type.items():
        if is_olmo2 or inside.startswith("rope_scaling"):
            raise refused(name, inside, rope, "left out: move what it holds one level up")
    both = None not in (fields["rope_scaling"], fields["rope_parameters"])
    if both and not is_olmo2 and not parameters.get("full_attention"):
        raise refused(name, "rope_parameters", parameters, BESIDE)
    if "rope_type" in parameters:
        # A flat object, to which transformers ≥ 5.13 added one for each layer type: it leaves the
        # YaRN that was meant where nothing reads it.
        by_type = {}
    key = "rope_scaling" if scaling else "rope_parameters"
    full, sliding = scaling or parameters, {}
    theta = fields["rope_theta"]
    if by_type:
        key = "rope_parameters.full_attention"
        full = by_type.get(key, {})
        _check_agreement(name, scaling, "rope_scaling.", full, f"{key}.")
        full, sliding = full | scaling, by_type.get("rope_parameters.sliding_attention", {})
    elif theta is not None:
        _check_agreement(name, {"rope_theta": theta}, "", full, f"{key}.")

    def read(said: Mapping[str, Any], inside: str) -> Rope:
        default = theta or THETA[fields["model_type"]]
        rope = Rope.from_dict(said, default, fields["max_position_embeddings"], name, f"{inside}.")
        if not (is_olmo2 or rope.truncate):
            raise refused(name, f"{inside}.truncate", False, UNTRUNCATED)
        return rope

    scaled = read(full, key)
    if is_olmo2:
        return {"full_attention": scaled}
    if not by_type:  # one θ for both
        theta = scaled.rope_theta
    elif parameters.get("truncate", True) is not True:
        raise refused(name, "rope_parameters.truncate", parameters["truncate"], UNTRUNCATED)
    return {
        "sliding_attention": read(sliding, "rope_parameters.sliding_attention"),
        "full_attention": scaled,
    }


def _by_type(key: str, said: Mapping[str, Any], name: str) -> dict[str, dict[str, Any]]:
    """The objects for layer types in an object of RoPE, by their path."""
    found = {f"{key}.{kind}": said[kind] for kind in LAYER_TYPES if kind in said}
    for path, rope in found.items():
        if not isinstance(rope, dict | None):
            raise refused(name, path, rope, "an object or null")
    return {path: rope or {} for path, rope in found.items()}


def _check_agreement(
    name: str, one: Mapping[str, Any], its: str, other: Mapping[str, Any], others: str
) -> None:
    """Releases of transformers differ in which of two places they read."""
    for field in one.keys() & other.keys():
        if one[field] != other[field]:
            raise refused(name, its + field, one[field], f"the same as {others}{field}")


def _attention_factor(yarn: Mapping[str, Any]) -> float:
    """By what cos and sin grow, as transformers takes it: said, or by YaRN's rule.

    The rule is 0.1·ln(factor) + 1. Where config.json gives `mscale` and `mscale_all_dim`, which are
    DeepSeek's names, it is the ratio of two such numbers.
    """
    if yarn["attention_factor"] is not None:
        return float(yarn["attention_factor"])
    scale, all_dim = yarn["mscale"], yarn["mscale_all_dim"]
    if scale and all_dim:
        return _grown(yarn["factor"], scale) / _grown(yarn["factor"], all_dim)
    return _grown(yarn["factor"], 1)


def _grown(factor: float, scale: float) -> float:
    return 0.1 * scale * math.log(factor) + 1.0 if factor > 1 else 1.0
