"""What config.json says of RoPE, in any of the forms in which it has said it. No torch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from olmo_explain.errors import ConfigError

LayerType = Literal["sliding_attention", "full_attention"]

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

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any], rope_theta: float) -> "Rope":
        """Reads a `rope_scaling` or `rope_parameters` object; YaRN's defaults as in its paper."""
        rope_type = fields.get("rope_type", fields.get("type", "default"))
        theta = float(fields.get("rope_theta", rope_theta))
        if not 0 < theta < math.inf:
            raise ConfigError(f"config.json has {theta} for rope_theta", "It is a number above 0")
        if rope_type == "default":
            return cls("default", theta)
        if rope_type != "yarn":
            raise ConfigError(
                f"rope_type {rope_type!r} is not one that OLMo uses",
                "Expected 'default' or 'yarn' in config.json",
            )
        factor = float(fields["factor"])
        original = int(fields["original_max_position_embeddings"])
        fast, slow = float(fields.get("beta_fast") or 32), float(fields.get("beta_slow") or 1)
        if min(factor, original, fast, slow) <= 0:
            raise ValueError("YaRN with a number that is not above 0")
        return cls("yarn", theta, factor, original, fast, slow, _attention_factor(fields, factor))


def read_ropes(fields: Mapping[str, Any]) -> dict[LayerType, Rope]:
    """One Rope for each layer type, from any of the three ways config.json has said it.

    transformers 4: `rope_theta` and `rope_scaling`; 5.0–5.12: one flat `rope_parameters`;
    from 5.13 on: `rope_parameters` with an object for each layer type.
    """
    nested = fields.get("rope_parameters") or {}
    flat = fields.get("rope_scaling") or ({} if "full_attention" in nested else nested)
    said = (fields.get("rope_theta"), flat.get("rope_theta"), THETA[fields["model_type"]])
    theta = next(theta for theta in said if theta is not None)
    full = nested.get("full_attention") or flat
    sliding = nested.get("sliding_attention") or {}
    if fields["model_type"] == "olmo2":
        return {"full_attention": Rope.from_dict(full, theta)}
    return {
        "sliding_attention": Rope.from_dict(sliding, theta),
        "full_attention": Rope.from_dict(full, theta),
    }


def _attention_factor(fields: Mapping[str, Any], factor: float) -> float:
    """By what cos and sin grow, as transformers takes it: said, or by YaRN's rule.

    The rule is 0.1·ln(factor) + 1. Where config.json gives `mscale` and `mscale_all_dim`, which are
    DeepSeek's names, it is the ratio of two such numbers.
    """
    said = fields.get("attention_factor")
    if said is not None:
        return float(said)
    scale, all_dim = fields.get("mscale"), fields.get("mscale_all_dim")
    if scale and all_dim:
        return _grown(factor, float(scale)) / _grown(factor, float(all_dim))
    return _grown(factor, 1.0)


def _grown(factor: float, scale: float) -> float:
    return 0.1 * scale * math.log(factor) + 1.0 if factor > 1 else 1.0
