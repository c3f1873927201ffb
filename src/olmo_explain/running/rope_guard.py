"""Which RoPE an installed implementation really applies, measured from a running model.

OLMo 3 scales its full-attention layers with YaRN and leaves its sliding layers alone, and both turn
with the rope_theta of config.json. transformers 5.0 to 5.12 scaled them all; a model that one of
these saved loses YaRN altogether when a newer one loads it; and where config.json says rope_theta
outside rope_parameters, 5.13 and newer give it to full-attention layers only. None of them says a
word, so `oe.load`, `verify` and `doctor` ask this module.
"""

import json
import math
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from olmo_explain.by_hand import frequencies
from olmo_explain.checkpoint import (
    LayerType,
    OlmoConfig,
    Rope,
    check_config,
    config_of,
    preset,
)
from olmo_explain.errors import UsageError
from olmo_explain.running.hooks import check_olmo, hooked
from olmo_explain.undo import no_grad

Regime = Literal["per-layer", "yarn-everywhere", "yarn-lost", "theta-lost"]

REMEDIES: dict[str, str] = {
    "yarn-everywhere": (
        f"transformers {version('transformers')} stretches the RoPE of every layer with YaRN, but "
        "OLMo 3 does so in full-attention layers only: install transformers 5.13 or newer, or 4.57."
    ),
    "yarn-lost": (
        "No layer applies the YaRN that config.json asks for. transformers 5.13 and newer read it "
        "from rope_scaling with a rope_type, or from rope_parameters with an object for each layer "
        "type; not from the flat rope_parameters that 5.0 to 5.12 wrote, nor under the old key "
        "`type`. Put the rope fields of the published config.json back."
    ),
    "theta-lost": (
        "A layer type turns with another rope_theta than config.json says: where rope_theta stands "
        f"outside rope_parameters, transformers {version('transformers')} gives it to "
        "full-attention layers only. Write into config.json as rope_parameters what `olmo-explain "
        "config MODEL --json` prints as rope_parameters, or install transformers 4.57."
    ),
}
"""What is wrong and what to do, one line for each regime that is not right."""

ROUNDED = 0.01  # a share of an angle: rounding a frequency to bfloat16 moves it by less
NEAR = 0.05  # a share of log θ's unit: rounding to bfloat16 moves a measured θ by less
OLD_THETA = 10_000.0  # not the default of OLMo 3, so that it shows where it is lost


@dataclass(frozen=True)
class RopeMeasurement:
    """What each layer type applies; None where there is no such layer.

    `…_scaled`: with YaRN. `…_theta`: rope_theta as the angles tell it, to three digits; None also
    where a head has one pair, whose angle is the same for every θ, or where cos and sin are 0.
    `…_cos`: cos[0, 0], the amplitude: 1.0 by default, 1.2079 with the 7B's YaRN.
    """

    regime: Regime
    sliding_scaled: bool | None
    full_scaled: bool | None
    sliding_theta: float | None
    full_theta: float | None
    sliding_cos: float | None
    full_cos: float | None

    @property
    def ok(self) -> bool:
        return self.regime == "per-layer"

    @property
    def remedy(self) -> str | None:
        """What is wrong and what to do; None where nothing is."""
        return REMEDIES.get(self.regime)


def rope_regime(model: PreTrainedModel, config: OlmoConfig | None = None) -> Regime:
    """`per-layer` when each layer type gets the RoPE that its config says, else what went wrong.

    OLMo 2, and an OLMo 3 without YaRN, are `per-layer` too: nothing to scale, nothing scaled.

    >>> rope_regime(model)
    'per-layer'
    """
    return measure_rope(model, config).regime


def measure_rope(model: PreTrainedModel, config: OlmoConfig | None = None) -> RopeMeasurement:
    """Runs two tokens through the first layers and looks at the cos and sin that they are handed.

    Stops as soon as each layer type has been seen: after 3 of the 7B's 32 layers. A model on the
    meta device has no numbers, so a small one with the same RoPE is built and measured instead.
    `config`: what ought to be applied; when not given, what `config_of(model)` says.
    """
    own = check_olmo(model)
    config = own if config is None else check_config(config)
    if unknown := set(own.layer_types) - config.rope.keys():
        raise UsageError(
            f"This config says no RoPE for {min(unknown)}",
            "Give the model's own",
        )
    if any(parameter.is_meta for parameter in model.parameters()):
        model = _miniature(model.config.to_dict())
    applied = {
        kind: _measure(cos, sin, kind, config)
        for kind, (cos, sin) in _position_embeddings(model).items()
    }
    sliding = applied.get("sliding_attention", _Applied())
    full = applied.get("full_attention", _Applied())
    return RopeMeasurement(
        regime=_regime(applied, config),
        sliding_scaled=sliding.scaled,
        full_scaled=full.scaled,
        sliding_theta=sliding.theta,
        full_theta=full.theta,
        sliding_cos=sliding.amplitude,
        full_cos=full.amplitude,
    )


def installed_rope_regime() -> Regime:
    """What this installation makes of the published 7B config, on a model of two small layers.

    >>> installed_rope_regime()  # with transformers 5.24.0
    'per-layer'
    """
    return _regime_of(_published())


def old_config_rope_regime() -> Regime:
    """The same of a config in the old form, rope_theta outside rope_parameters, with another θ.

    >>> old_config_rope_regime()  # with transformers 5.24.0
    'theta-lost'
    """
    return _regime_of(_published() | {"rope_theta": OLD_THETA})


def _published() -> dict[str, Any]:
    return json.loads(preset("olmo3-7b").read("config.json"))


def _regime_of(fields: dict[str, Any]) -> Regime:
    return rope_regime(_miniature(fields), OlmoConfig.from_dict(fields))


# -- from cos and sin to what was applied ---------------------------------------------------------


@dataclass(frozen=True)
class _Applied:
    scaled: bool | None = None
    theta: float | None = None
    amplitude: float | None = None


class _AllSeen(Exception):
    """Ends a forward pass whose rest nobody needs."""


def _position_embeddings(model: PreTrainedModel) -> dict[LayerType, tuple[Tensor, Tensor]]:
    """cos and sin (pos, head_dim) that the first layer of each type is handed."""
    layer_types = config_of(model).layer_types
    handed: dict[LayerType, tuple[Tensor, Tensor]] = {}

    def look(kind: LayerType, args: tuple, kwargs: dict[str, Any]) -> None:
        cos, sin = kwargs["position_embeddings"]
        handed.setdefault(kind, (cos[0].float().cpu(), sin[0].float().cpu()))
        if len(handed) == len(set(layer_types)):
            raise _AllSeen

    with hooked() as hooks:
        for layer, kind in zip(model.model.layers, layer_types, strict=True):
            hooks.before(layer.self_attn, partial(look, kind))
        try:
            with no_grad():
                model(torch.zeros(1, 2, dtype=torch.long, device=model.device), use_cache=False)
        except _AllSeen:
            pass
    return handed


def _measure(
    cos: Float[Tensor, "pos head_dim"],
    sin: Float[Tensor, "pos head_dim"],
    kind: LayerType,
    config: OlmoConfig,
) -> _Applied:
    meant, amplitude = config.rope[kind], cos[0, 0].item()
    pairs = config.head_dim // 2
    if amplitude == 0:  # then angles tell nothing
        is_meant = meant.attention_factor == 0
        return _Applied(_scales(meant, config) if is_meant else True, None, amplitude)
    # In radians from one position to the next; by the amplitude, as it may be below zero.
    turned = torch.atan2(sin[1, :pairs] / amplitude, cos[1, :pairs] / amplitude)
    if _is_as_meant(turned, amplitude, meant):
        scaled, theta = _scales(meant, config), meant.rope_theta
    else:
        yarn, plain = _yarn(config), Rope("default", meant.rope_theta)
        yarn = yarn and replace(yarn, rope_theta=meant.rope_theta)
        if yarn is None:
            scaled = False
        elif _is_louder(yarn):
            scaled = abs(amplitude - yarn.attention_factor) < abs(amplitude - 1)
        else:  # then only the angles tell
            scaled = _fit(turned, yarn) < _fit(turned, plain)
        *_, theta = _fit(turned, yarn if yarn and scaled else plain)
    return _Applied(scaled, float(f"{theta:.3g}") if pairs > 1 else None, amplitude)


def _is_as_meant(turned: Float[Tensor, "pair"], amplitude: float, meant: Rope) -> bool:
    """Whether cos and sin are those of this RoPE, but for a rounding to bfloat16."""
    angles = frequencies(meant, 2 * len(turned)).double()  # some are tiny beside π
    apart = (turned - angles + math.pi).remainder(2 * math.pi) - math.pi
    is_as_loud = abs(amplitude - meant.attention_factor) <= ROUNDED * max(meant.attention_factor, 1)
    return is_as_loud and bool((apart.abs() <= ROUNDED * angles).all())


def _fit(turned: Float[Tensor, "pair"], rope: Rope) -> tuple[float, float, float]:
    """How far these angles are from those of a RoPE with the θ that suits them best, how far that
    θ is from the RoPE's own (in its logarithm), and that θ: what fits best compares as the least.

    Pair i of a plain RoPE turns by θ^(−i/pairs): so each pair but the first tells a θ. A head with
    one such pair fits any RoPE, with some θ; then the RoPE's own decides.
    """
    told = turned[1:].double() ** (-len(turned) / torch.arange(1, len(turned)))
    some = told[:: 1 + len(told) // 64].tolist()
    thetas = [rope.rope_theta, *(theta for theta in some if 1 < theta < math.inf)]

    def fit(theta: float) -> tuple[float, float, float]:
        meant = frequencies(replace(rope, rope_theta=theta), 2 * len(turned))
        distance = (turned / meant).log().abs().nan_to_num(math.inf).mean().item()
        return round(distance, 3), abs(math.log(theta / rope.rope_theta)), theta

    return min(map(fit, thetas))


def _yarn(config: OlmoConfig) -> Rope | None:
    """The YaRN that a config asks for; None where it changes nothing that could be measured."""
    return next((rope for rope in config.rope.values() if _scales(rope, config)), None)


def _scales(rope: Rope, config: OlmoConfig) -> bool:
    """Whether it is YaRN, and changes something."""
    if rope.rope_type != "yarn":
        return False
    plain = frequencies(Rope("default", rope.rope_theta), config.head_dim)
    return _is_louder(rope) or not torch.equal(plain, frequencies(rope, config.head_dim))


def _is_louder(rope: Rope) -> bool:
    return abs(rope.attention_factor - 1) > 0.02  # more than bfloat16 may round away


def _regime(applied: dict[LayerType, _Applied], config: OlmoConfig) -> Regime:
    meant = {kind: _scales(config.rope[kind], config) for kind in applied}
    if any(found.scaled and not meant[kind] for kind, found in applied.items()):
        return "yarn-everywhere"
    if any(meant[kind] and not found.scaled for kind, found in applied.items()):
        return "yarn-lost"
    thetas = ((found.theta, config.rope[kind].rope_theta) for kind, found in applied.items())
    return "theta-lost" if any(not _are_near(*pair) for pair in thetas) else "per-layer"


def _are_near(measured: float | None, meant: float) -> bool:
    return measured is None or abs(math.log(measured / meant)) < NEAR


def _miniature(fields: dict[str, Any]) -> PreTrainedModel:
    """A model with the same RoPE, one head, one layer of each type and random weights."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = OlmoConfig.from_dict(fields)
    layer_types = sorted(set(config.layer_types))
    small = {
        "vocab_size": 8,
        "hidden_size": 8,  # a head may be wider, and only its width matters
        "head_dim": config.head_dim,
        "intermediate_size": 8,
        "num_hidden_layers": len(layer_types),
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
        "layer_types": layer_types,
        **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id")),
    }
    if config.model_type == "olmo2":  # it knows none, but would count those that it is given
        small["layer_types"] = None
    with torch.random.fork_rng(devices=[]):  # the reader's seed stays as it was
        return AutoModelForCausalLM.from_config(AutoConfig.for_model(**(fields | small))).eval()
