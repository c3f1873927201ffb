"""Which RoPE an installed implementation really applies, measured from a running model.

OLMo 3 scales its full-attention layers with YaRN and leaves its sliding layers alone. transformers
5.0 to 5.12 scaled them all, and a model that one of these saved loses YaRN altogether when a newer
one loads it. Neither says a word, so `oe.load`, `verify` and `doctor` ask this module.
"""

import json
from dataclasses import dataclass
from importlib.metadata import version
from threading import RLock, get_ident
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from olmo_explain.config import LayerType, OlmoConfig, Rope
from olmo_explain.errors import UsageError
from olmo_explain.rope import frequencies
from olmo_explain.source import preset

Regime = Literal["per-layer", "yarn-everywhere", "yarn-lost"]

REMEDIES: dict[str, str] = {
    "yarn-everywhere": (
        f"transformers {version('transformers')} stretches the RoPE of every layer with YaRN, but "
        "OLMo 3 does so in full-attention layers only: install transformers 5.13 or newer, or 4.57."
    ),
    "yarn-lost": (
        "No layer applies the YaRN that config.json asks for: transformers 5.0 to 5.12 wrote "
        "rope_parameters in a form that newer releases do not read. Put the rope fields of the "
        "published config.json back."
    ),
}
"""What is wrong and what to do, one line for each regime that is not right."""


@dataclass(frozen=True)
class RopeMeasurement:
    """What each layer type applies. `scaled`: with YaRN; None where there is no such layer.

    `sliding_cos` and `full_cos` are cos[0, 0], the amplitude: 1.0 by default, 1.2079 with the
    7B's YaRN.
    """

    regime: Regime
    sliding_scaled: bool | None
    full_scaled: bool | None
    sliding_cos: float | None
    full_cos: float | None

    @property
    def ok(self) -> bool:
        return self.regime == "per-layer"

    def to_dict(self) -> dict[str, Any]:
        """As `rope` in `olmo-explain verify --json`."""
        return {
            "regime": self.regime,
            "sliding_scaled": self.sliding_scaled,
            "full_scaled": self.full_scaled,
        }


def rope_regime(model: nn.Module, config: OlmoConfig | None = None) -> Regime:
    """`per-layer` when each layer type is scaled as its config says, else what went wrong.

    OLMo 2, and an OLMo 3 without YaRN, are `per-layer` too: nothing to scale, nothing scaled.

    >>> rope_regime(model)
    'per-layer'
    """
    return measure_rope(model, config).regime


def measure_rope(model: nn.Module, config: OlmoConfig | None = None) -> RopeMeasurement:
    """Runs two tokens through the first layers and looks at the cos and sin that they are handed.

    Stops as soon as each layer type has been seen: after 3 of the 7B's 32 layers. A model on the
    meta device has no numbers, so a small one with the same RoPE is built and measured instead.
    `config`: what ought to be applied, the model's own when not given.
    """
    config = config or config_of(model)
    if any(parameter.is_meta for parameter in model.parameters()):
        model = _miniature(model.config.to_dict())
    handed = _position_embeddings(model)
    scaled = {kind: _is_scaled(*handed[kind], config) for kind in handed}
    sliding, full = scaled.get("sliding_attention"), scaled.get("full_attention")
    return RopeMeasurement(
        regime=_regime(scaled, config),
        sliding_scaled=sliding,
        full_scaled=full,
        sliding_cos=_amplitude(handed, "sliding_attention"),
        full_cos=_amplitude(handed, "full_attention"),
    )


def installed_rope_regime() -> Regime:
    """What this installation makes of the published 7B config, on a model of two small layers.

    >>> installed_rope_regime()  # with transformers 5.24.0
    'per-layer'
    """
    fields = json.loads(preset("olmo3-7b").read("config.json"))
    return rope_regime(_miniature(fields), OlmoConfig.from_dict(fields))


def config_of(model: nn.Module) -> OlmoConfig:
    """What a loaded model's config.json said, as far as its `config` still tells."""
    if not hasattr(getattr(model, "config", None), "to_dict"):
        raise UsageError(
            f"{type(model).__name__} is no OLMo of transformers", "Give what load(…) gives"
        )
    fields = model.config.to_dict()
    ropes = fields.get("rope_parameters") or {}
    if "rope_type" in ropes:
        # A flat object, to which transformers ≥ 5.13 added one for each layer type: it leaves the
        # YaRN that was meant where nothing reads it.
        flat = {key: value for key, value in ropes.items() if not isinstance(value, dict)}
        fields["rope_parameters"] = flat
    return OlmoConfig.from_dict(fields, type(model).__name__)


ONE_AT_A_TIME = RLock()
"""Held by a thread that has put hooks on a model, or changed what it calls, until all is undone."""


class _AllSeen(Exception):
    """Ends a forward pass whose rest nobody needs."""


def _position_embeddings(model: nn.Module) -> dict[LayerType, tuple[Tensor, Tensor]]:
    """cos and sin (pos, head_dim) that the first layer of each type is handed."""
    layer_types = config_of(model).layer_types
    handed: dict[LayerType, tuple[Tensor, Tensor]] = {}
    handles, thread = [], get_ident()

    def watch(kind: LayerType) -> Any:
        def hook(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
            if get_ident() != thread:
                return
            cos, sin = kwargs["position_embeddings"]
            handed.setdefault(kind, (cos[0].float().cpu(), sin[0].float().cpu()))
            if len(handed) == len(set(layer_types)):
                raise _AllSeen

        return hook

    with ONE_AT_A_TIME:
        try:
            for layer, kind in zip(model.model.layers, layer_types, strict=True):
                attention, hook = layer.self_attn, watch(kind)
                handles.append(attention.register_forward_pre_hook(hook, with_kwargs=True))
            with torch.no_grad():
                model(torch.zeros(1, 2, dtype=torch.long, device=model.device), use_cache=False)
        except _AllSeen:
            pass
        finally:
            for handle in handles:
                handle.remove()
    return handed


def _is_scaled(
    cos: Float[Tensor, "pos head_dim"], sin: Float[Tensor, "pos head_dim"], config: OlmoConfig
) -> bool:
    """Whether YaRN was applied: by the amplitude, or by the angles where YaRN leaves it at 1."""
    yarn = _yarn(config)
    if yarn is None:
        return False
    if _is_louder(yarn):
        amplitude = cos[0, 0].item()
        return abs(amplitude - yarn.attention_factor) < abs(amplitude - 1)
    pairs = config.head_dim // 2
    turned = torch.atan2(sin[1, :pairs], cos[1, :pairs])  # radians from one position to the next
    plain, scaled = _frequencies(yarn, config)
    return bool((turned / scaled - 1).abs().sum() < (turned / plain - 1).abs().sum())


def _yarn(config: OlmoConfig) -> Rope | None:
    """The YaRN that a config asks for. One that changes nothing is none: it can't be measured."""
    for rope in config.rope.values():
        if rope.rope_type == "yarn":
            plain, scaled = _frequencies(rope, config)
            return rope if _is_louder(rope) or not torch.equal(plain, scaled) else None
    return None


def _is_louder(rope: Rope) -> bool:
    return abs(rope.attention_factor - 1) > 0.02  # more than bfloat16 may round away


def _frequencies(yarn: Rope, config: OlmoConfig) -> tuple[Tensor, Tensor]:
    """Without and with YaRN."""
    plain = frequencies(Rope("default", yarn.rope_theta), config.head_dim)
    return plain, frequencies(yarn, config.head_dim)


def _regime(scaled: dict[LayerType, bool], config: OlmoConfig) -> Regime:
    yarn = _yarn(config)
    meant = {kind: config.rope[kind] == yarn for kind in scaled}
    if scaled == meant:
        return "per-layer"
    too_much = any(scaled[kind] and not meant[kind] for kind in scaled)
    return "yarn-everywhere" if too_much else "yarn-lost"


def _amplitude(handed: dict[LayerType, tuple[Tensor, Tensor]], kind: LayerType) -> float | None:
    return handed[kind][0][0, 0].item() if kind in handed else None


def _miniature(fields: dict[str, Any]) -> nn.Module:
    """A model with the same RoPE, one head, one layer of each type and random weights."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = OlmoConfig.from_dict(fields)
    layer_types = sorted(set(config.layer_types))
    small = {
        "vocab_size": 8,
        "hidden_size": config.head_dim,
        "head_dim": config.head_dim,
        "intermediate_size": 8,
        "num_hidden_layers": len(layer_types),
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
        "layer_types": layer_types,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
    }
    if config.model_type == "olmo2":
        del small["layer_types"]
    with torch.random.fork_rng(devices=[]):  # the reader's seed stays as it was
        return AutoModelForCausalLM.from_config(AutoConfig.for_model(**(fields | small))).eval()
