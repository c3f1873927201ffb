"""The fields of config.json, and everything that follows from them. No torch.

>>> config = read_config("olmo3-7b")
>>> config.parameters, config.bytes
(7298011136, 14596022272)
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from operator import index
from typing import Any

from olmo_explain.checkpoint.rope_fields import LayerType, Rope, read_ropes
from olmo_explain.checkpoint.source import ModelLike, resolve
from olmo_explain.errors import ConfigError, OutOfRange, UsageError

MODEL_TYPES = ("olmo2", "olmo3")
BYTES_PER_PARAMETER = {"bfloat16": 2, "float16": 2, "float32": 4, "float64": 8}

REQUIRED = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "max_position_embeddings",
)  # fmt: skip
SIZES = ("num_key_value_heads", "head_dim")
DEFAULTS = {  # transformers' own, where config.json has none or null
    "sliding_window": None,
    "rms_norm_eps": 1e-5,
    "initializer_range": 0.02,
    "hidden_act": "silu",
    "attention_bias": False,
    "tie_word_embeddings": False,
    "eos_token_id": None,
    "pad_token_id": None,
}
OPTIONAL = {  # the types that JSON may give them; null is as if they were not there
    "num_key_value_heads": int,
    "head_dim": int,
    "layer_types": list,
    "sliding_window": int,
    "rope_theta": int | float,
    "rope_scaling": dict,
    "rope_parameters": dict,
    "rms_norm_eps": int | float,
    "initializer_range": int | float,
    "hidden_act": str,
    "attention_bias": bool,
    "tie_word_embeddings": bool,
    "dtype": str,
    "torch_dtype": str,
}
ROPE_NOTE = "_rope_of_config_json"
AS_PUBLISHED = "Take config.json as it was published with the checkpoint"


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
    eos_token_id: int | None
    pad_token_id: int | None

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any], name: str = "config.json") -> "OlmoConfig":
        """Reads the object in a config.json, as transformers 4 or 5 wrote it.

        Raises ConfigError, naming the field, when it is not that of an OLMo 2 or OLMo 3.
        """
        model_type = fields.get("model_type")
        if model_type not in MODEL_TYPES:
            raise ConfigError(
                f"{name} describes model_type {model_type!r}, which is not read here",
                f"Choose a model of type {' or '.join(MODEL_TYPES)}: OLMo 2, OLMo 3",
            )
        if missing := [field for field in REQUIRED if type(fields.get(field)) is not int]:
            raise ConfigError(f"{name} has no whole number for {', '.join(missing)}", AS_PUBLISHED)
        for field, kind in OPTIONAL.items():
            value = fields.get(field)
            is_truth = isinstance(value, bool) and kind is not bool  # which Python takes for 0 or 1
            if is_truth or not isinstance(value, kind | None):
                raise ConfigError(f"{name} has {value!r} for {field}", AS_PUBLISHED)
        layers, heads = fields["num_hidden_layers"], fields["num_attention_heads"]
        layer_types = fields.get("layer_types") or _default_layer_types(model_type, layers)
        given = {field: fields[field] for field in DEFAULTS if fields.get(field) is not None}
        try:
            config = cls(
                model_type=model_type,
                num_key_value_heads=fields.get("num_key_value_heads") or heads,
                head_dim=fields.get("head_dim") or fields["hidden_size"] // heads,
                layer_types=tuple(layer_types),
                rope=read_ropes(fields),
                dtype=fields.get("dtype") or fields.get("torch_dtype") or "bfloat16",
                **{field: fields[field] for field in REQUIRED},
                **(DEFAULTS | given),
            )
        except (AttributeError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise ConfigError(
                f"{name} has rope or head fields that cannot be read ({error!r})", AS_PUBLISHED
            ) from error
        config._check(name)
        return config

    def _check(self, name: str) -> None:
        sizes = {field: getattr(self, field) for field in (*REQUIRED, *SIZES)}
        faults = {
            **{f"{size} for {field}, a size below 1": size < 1 for field, size in sizes.items()},
            f"{len(self.layer_types)} layer_types for {self.num_hidden_layers} layers": (
                len(self.layer_types) != self.num_hidden_layers
            ),
            "a layer type that is neither sliding_attention nor full_attention": (
                any(t not in ("sliding_attention", "full_attention") for t in self.layer_types)
            ),
            "sliding layers but no sliding_window of 1 or more": (
                "sliding_attention" in self.layer_types and (self.sliding_window or 0) < 1
            ),
            f"{self.num_attention_heads} heads that do not divide among "
            f"{self.num_key_value_heads} key-value heads": (
                self.num_attention_heads % max(self.num_key_value_heads, 1) != 0
            ),
            f"dtype {self.dtype!r}": self.dtype not in BYTES_PER_PARAMETER,
            f"{self.rms_norm_eps} for rms_norm_eps": not 0 < self.rms_norm_eps < math.inf,
        }
        for fault, found in faults.items():
            if found:
                raise ConfigError(f"{name} has {fault}", AS_PUBLISHED)

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

    def kv_cache_bytes(self, positions: int, batch: int = 1, *, capped: bool = True) -> int:
        """Bytes of keys and values kept for `positions` tokens, in the config's dtype.

        `capped`: a sliding layer keeps only its window. Otherwise every layer keeps every position,
        as a cache does that ignores layer types.
        """
        size = BYTES_PER_PARAMETER[self.dtype]
        per_layer = 2 * self.num_key_value_heads * self.head_dim * size
        windows = [self.window_of(kind) if capped else None for kind in self.layer_types]
        return batch * per_layer * sum(min(positions, window or positions) for window in windows)

    # -- as data ---------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """The fields and what follows from them, as `olmo-explain config --json` prints them."""
        longest = self.max_position_embeddings
        return {
            **asdict(self),
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
                },
            },
        }


def read_config(model: ModelLike) -> OlmoConfig:
    """The config of a MODEL: a preset, a directory, a hub id or a URL. Downloads config.json only.

    >>> read_config("olmo3-7b").parameters
    7298011136
    """
    source = resolve(model)
    name = f"{source.name}: config.json"
    try:
        fields = json.loads(source.read("config.json"))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{name} is not JSON ({error})", "Download it again") from error
    if not isinstance(fields, dict):
        raise ConfigError(f"{name} holds no JSON object", "Download it again")
    return OlmoConfig.from_dict(fields, name)


def config_of(model: Any) -> OlmoConfig:
    """What a loaded model of transformers was to be, as far as its `config` still tells.

    `oe.load` leaves a note of the RoPE that config.json asked for: some releases of transformers
    lose it on the way into `model.config`.
    """
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
    config = OlmoConfig.from_dict(fields, type(model).__name__)
    return replace(config, rope=getattr(model, ROPE_NOTE, config.rope))


def check_config(given: Any) -> OlmoConfig:
    """The config that was given; UsageError for a MODEL's name or a model, which are none."""
    if isinstance(given, OlmoConfig):
        return given
    what = repr(given) if isinstance(given, str) else f"A {type(given).__name__}"
    raise UsageError(f"{what:.60} is no config", "Give what read_config(MODEL) gives")


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
    except TypeError:
        raise UsageError(
            f"A {what} is a whole number, and {number!r} is none", "Count from 0"
        ) from None
    if not 0 <= number < count:
        raise OutOfRange(
            f"There is no {what} {number}",
            f"Choose a {what} from 0 to {count - 1} (counted from 0)",
        )
    return number
