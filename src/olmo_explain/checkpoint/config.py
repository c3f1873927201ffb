"""The fields of config.json, and everything that follows from them. No torch.

>>> config = read_config("olmo3-7b")
>>> config.parameters, config.bytes
(7298011136, 14596022272)
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from dataclasses import fields as dataclass_fields
from operator import index
from typing import Any

from olmo_explain.checkpoint.fields import (
    BYTES_PER_PARAMETER,
    MODEL_TYPES,
    RELATIONS,
    LayerType,
    read_fields,
    refused,
    shown,
)
from olmo_explain.checkpoint.rope_fields import Rope, read_ropes
from olmo_explain.checkpoint.source import ModelLike, Source, resolve
from olmo_explain.errors import ConfigError, OutOfRange, UsageError
from olmo_explain.words import quoted

ROPE_NOTE = "_rope_of_config_json"
MEND = "Mend it there, or take it as it was published with the checkpoint"


@dataclass(frozen=True)
class Component:
    """One kind of tensor: `count` tensors of this `shape`, each of `parameters` numbers.

    `name` is the checkpoint's, with `{layer}` where the layer's number goes.
    """

    name: str
    shape: tuple[int, ...]
    count: int

    @property
    def parameters(self) -> int:
        return math.prod(self.shape)

    def names(self) -> list[str]:
        """The names as they stand in the checkpoint, one a layer."""
        return [self.name.format(layer=layer) for layer in range(self.count)]


@dataclass(frozen=True)
class OlmoConfig:
    """An OLMo 2 or OLMo 3 as its config.json describes it.

    Field names and meanings are those of config.json; sizes are counts of numbers, not bytes.
    `rope` says what each layer type applies *by design*: OLMo 3 scales only its full-attention
    layers with YaRN (Olmo 3 report, arXiv 2512.13961, §3.6.4). What an installed implementation
    really applies is for `olmo_explain.verify` to measure.
    """

    model_type: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    max_position_embeddings: int
    layer_types: tuple[LayerType, ...]
    sliding_window: int | None
    rope: Mapping[LayerType, Rope]
    rms_norm_eps: float
    initializer_range: float
    hidden_act: str
    attention_bias: bool
    tie_word_embeddings: bool
    dtype: str
    eos_token_id: int | list[int] | None
    pad_token_id: int | None

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any], name: str = "config.json") -> "OlmoConfig":
        """Reads the object in a config.json, as transformers 4 or 5 wrote it.

        Raises ConfigError, naming the field, when it is not that of an OLMo 2 or OLMo 3.
        """
        model_type = fields.get("model_type")
        if model_type not in MODEL_TYPES:
            raise ConfigError(
                f"{name} describes model_type {shown(model_type)}, which is not read here",
                f"Choose a model of type {' or '.join(MODEL_TYPES)}: OLMo 2, OLMo 3",
            )
        read = read_fields(fields, name)
        layers, heads = read["num_hidden_layers"], read["num_attention_heads"]
        kinds = read["layer_types"]
        if model_type == "olmo2" and "sliding_window" not in fields:
            read["sliding_window"] = None
        config = cls(
            **{
                field.name: read[field.name]
                for field in dataclass_fields(cls)
                if field.name in read
            }
            | {
                "num_key_value_heads": read["num_key_value_heads"] or heads,
                "head_dim": read["head_dim"] or read["hidden_size"] // heads,
                "layer_types": tuple(
                    _default_layer_types(model_type, layers) if kinds is None else kinds
                ),
                "dtype": read["dtype"] or read["torch_dtype"] or "bfloat16",
            },
            rope=read_ropes(read, name),
        )
        for field, must_be, holds in RELATIONS:
            if not holds(config):
                raise refused(name, field, getattr(config, field), must_be)
        return config

    # -- layers and heads ------------------------------------------------------------------------

    @property
    def full_attention_layers(self) -> list[int]:
        """Numbers of the layers that see every earlier position: 3, 7, …, 31 in the 7B."""
        return [i for i, kind in enumerate(self.layer_types) if kind == "full_attention"]

    def window_of(self, kind: LayerType) -> int | None:
        """How many positions a query of such a layer sees, its own included; None for all."""
        return self.sliding_window if kind == "sliding_attention" else None

    @property
    def queries_per_kv_head(self) -> int:
        """How many query heads share one key-value head: 1 in the 7B, 5 in the 32B."""
        return self.num_attention_heads // self.num_key_value_heads

    @property
    def rope_parameters(self) -> dict[str, Any]:
        """`rope` as transformers 5.13 and newer read it from config.json, and 5.0 an OLMo 2's."""
        if self.model_type == "olmo2":
            return self.rope["full_attention"].to_dict()
        return {kind: rope.to_dict() for kind, rope in self.rope.items()}

    def check_layer(self, layer: int) -> int:
        """The layer's number, or OutOfRange with the range that there is."""
        return _in_range("layer", layer, self.num_hidden_layers)

    def check_head(self, head: int) -> int:
        """The head's number, or OutOfRange with the range that there is."""
        return _in_range("head", head, self.num_attention_heads)

    # -- weights ---------------------------------------------------------------------------------

    @property
    def components(self) -> list[Component]:
        """Every kind of tensor in the checkpoint, in the order in which a forward pass meets it."""
        return list(self._components())

    def _components(self) -> Iterator[Component]:
        D, F, L = self.hidden_size, self.intermediate_size, self.num_hidden_layers
        q_size = self.num_attention_heads * self.head_dim
        kv_size = self.num_key_value_heads * self.head_dim
        attention = {
            "q_proj": (q_size, D),
            "k_proj": (kv_size, D),
            "v_proj": (kv_size, D),
            "o_proj": (D, q_size),
        }
        yield Component("model.embed_tokens.weight", (self.vocab_size, D), 1)
        layer = "model.layers.{layer}."
        for projection, shape in attention.items():
            yield Component(f"{layer}self_attn.{projection}.weight", shape, L)
            if self.attention_bias:
                yield Component(f"{layer}self_attn.{projection}.bias", shape[:1], L)
        yield Component(layer + "self_attn.q_norm.weight", (q_size,), L)
        yield Component(layer + "self_attn.k_norm.weight", (kv_size,), L)
        yield Component(layer + "post_attention_layernorm.weight", (D,), L)
        yield Component(layer + "mlp.gate_proj.weight", (F, D), L)
        yield Component(layer + "mlp.up_proj.weight", (F, D), L)
        yield Component(layer + "mlp.down_proj.weight", (D, F), L)
        yield Component(layer + "post_feedforward_layernorm.weight", (D,), L)
        yield Component("model.norm.weight", (D,), 1)
        if not self.tie_word_embeddings:
            yield Component("lm_head.weight", (self.vocab_size, D), 1)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every tensor, by its name in the checkpoint."""
        return {name: part.shape for part in self.components for name in part.names()}

    @property
    def parameters(self) -> int:
        """All parameters: 7,298,011,136 for the 7B."""
        return sum(component.parameters * component.count for component in self.components)

    @property
    def bytes(self) -> int:
        """Bytes of all weights in the checkpoint's dtype: 14,596,022,272 for the 7B in bfloat16."""
        return self.parameters * BYTES_PER_PARAMETER[self.dtype]

    # -- the KV cache ----------------------------------------------------------------------------

    def kv_cache_bytes(
        self, positions: int, batch: int = 1, *, capped: bool = True, between_steps: bool = False
    ) -> int:
        """Bytes of keys and values for `positions` tokens, in the config's dtype.

        `capped`: a sliding layer has only its window, those that the last query sees, its own
        position included. Otherwise every layer has every position, as in a cache that ignores
        layer types. `between_steps`: what transformers' DynamicCache keeps of a capped one until
        the next token comes, which brings its own key: window − 1 positions.
        """
        size = BYTES_PER_PARAMETER[self.dtype]
        per_layer = 2 * self.num_key_value_heads * self.head_dim * size
        windows = [self.window_of(kind) if capped else None for kind in self.layer_types]
        if between_steps:  # of a window of 1 it keeps all: its slice from −0 on is the whole
            windows = [window and window - 1 for window in windows]
        return batch * per_layer * sum(min(positions, window or positions) for window in windows)

    # -- as data ---------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """The fields and what follows from them, as `olmo-explain config --json` prints them."""
        longest = self.max_position_embeddings
        return {
            **asdict(self),
            "rope_parameters": self.rope_parameters,
            "full_attention_layers": self.full_attention_layers,
            "parameters": self.parameters,
            "bytes": self.bytes,
            "components": [
                asdict(component) | {"parameters": component.parameters}
                for component in self.components
            ],
            "kv_cache": {
                "per_token_bytes": self.kv_cache_bytes(1),
                "at_max_position": {
                    "capped": self.kv_cache_bytes(longest),
                    "uncapped": self.kv_cache_bytes(longest, capped=False),
                    "between_steps": self.kv_cache_bytes(longest, between_steps=True),
                },
            },
        }


def read_config(model: ModelLike) -> OlmoConfig:
    """The config of a MODEL: a preset, a directory, a hub id or a URL. Downloads config.json only.

    >>> read_config("olmo3-7b").parameters
    7298011136
    """
    source = resolve(model)
    return OlmoConfig.from_dict(read_json(source), f"{source.name}: config.json")


def read_json(source: Source) -> dict[str, Any]:
    """The object in config.json, every field of it, known here or not."""
    name = f"{source.name}: config.json"
    try:
        text = source.read("config.json").decode()
        if text.startswith("\ufeff"):
            raise ConfigError(
                f"{name} begins with a byte order mark, with which transformers does not read it",
                "Save it as UTF-8 without one",
            )
        fields = json.loads(text, parse_int=_whole)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{name} is not JSON ({error})", MEND) from error
    if not isinstance(fields, dict):
        raise ConfigError(f"{name} holds no JSON object", MEND)
    return fields


def _whole(digits: str) -> int | float:
    """Python makes no int of more than 4,300 digits, and no field holds one of a tenth of them."""
    return int(digits) if len(digits) < 400 else float(digits)


def config_of(model: Any) -> OlmoConfig:
    """What a loaded model of transformers was to be, as far as its `config` still tells.

    `oe.load` leaves a note of the RoPE that config.json asked for: some releases of transformers
    lose it on the way into `model.config`.
    """
    if not hasattr(getattr(model, "config", None), "to_dict"):
        raise UsageError(
            f"{type(model).__name__} is no OLMo of transformers", "Give what load(…) gives"
        )
    config = OlmoConfig.from_dict(model.config.to_dict(), type(model).__name__)
    return replace(config, rope=getattr(model, ROPE_NOTE, config.rope))


def check_config(given: Any) -> OlmoConfig:
    """The config that was given; UsageError for a MODEL's name or a model, which are none."""
    if isinstance(given, OlmoConfig):
        return given
    what = quoted(given) if isinstance(given, str) else f"A {type(given).__name__}"
    raise UsageError(f"{what} is no config", "Give what read_config(MODEL) gives")


def check_supported(config: OlmoConfig) -> None:
    """UsageError for what config.json allows, no published OLMo has, and nothing here computes."""
    if config.attention_bias:
        raise UsageError("attention_bias is true", "Choose a model without: no OLMo 2 or 3 has one")
    if config.hidden_act != "silu":
        raise UsageError(
            f"hidden_act is {config.hidden_act!r}", "Choose a model with 'silu', as every OLMo has"
        )


def note_rope(model: Any, config: OlmoConfig) -> None:
    """Leaves the note on a model that was just loaded."""
    setattr(model, ROPE_NOTE, config.rope)


def _default_layer_types(model_type: str, layers: int) -> list[LayerType]:
    if model_type == "olmo2":
        return ["full_attention"] * layers
    return ["full_attention" if i % 4 == 3 else "sliding_attention" for i in range(layers)]


def _in_range(what: str, number: int, count: int) -> int:
    try:
        number = index(number)
    except Exception:  # any object may be given, and its methods can raise anything
        raise UsageError(
            f"A {what} is a whole number, and {quoted(number)} is none", "Count from 0"
        ) from None
    if not 0 <= number < count:
        raise OutOfRange(
            f"There is no {what} {quoted(number)}",
            f"Choose a {what} from 0 to {count - 1} (counted from 0)",
        )
    return number


def whole_number(what: str, given: Any, least: float = 1, most: int = 2**63 - 1) -> int:
    """A whole number, of numpy or torch too; UsageError for anything else, OutOfRange beyond."""
    at_least = f", at least {least}" if least > -math.inf else ""
    wrong = UsageError(f"{what} is {quoted(given)}", f"Give a whole number{at_least}")
    if isinstance(given, bool):
        raise wrong
    try:
        number = index(given)
    except Exception:  # any object may be given, and its methods can raise anything
        raise wrong from None
    if number < least:
        raise OutOfRange(f"{what} is {quoted(number)}", f"Give at least {least}")
    if number > most:
        raise OutOfRange(f"{what} is {quoted(number)}", f"Give up to {most:,}")
    return number
