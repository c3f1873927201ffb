"""config.json as data: which fields are read, what each may hold, and what it means. No torch.

From these tables come reading, errors, and the table of fields in the book. What transformers
reads for an OLMo is here and means here what it means there, or it is held to the value that
changes nothing.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from olmo_explain.errors import ConfigError
from olmo_explain.words import quoted

if TYPE_CHECKING:
    from olmo_explain.checkpoint.config import OlmoConfig

LayerType = Literal["sliding_attention", "full_attention"]
LAYER_TYPES: tuple[LayerType, ...] = get_args(LayerType)
MODEL_TYPES = ("olmo2", "olmo3")
BYTES_PER_PARAMETER = {"bfloat16": 2, "float16": 2, "float32": 4, "float64": 8}
ACTIVATIONS = (  # those that every release of transformers has, and that have no weights
    "silu", "swish", "gelu", "gelu_10", "gelu_accurate", "gelu_fast", "gelu_new", "gelu_python",
    "gelu_pytorch_tanh", "laplace", "leaky_relu", "linear", "mish", "quick_gelu", "relu", "relu2",
    "relu6", "sigmoid", "tanh",
)  # fmt: skip

REQUIRED = object()
AS_PUBLISHED = "Take config.json as it was published with the checkpoint"

# Well beyond any model, and so that every command answers in seconds and in less than a gigabyte.
MOST_LAYERS = 512
MOST_HEADS = 2**14
WIDEST_HEAD = 2**16
WIDEST = 2**20
MOST_TOKENS = 2**24
LONGEST = 2**23
LARGEST = 2**31 - 1


class Kind(NamedTuple):
    """What a field may hold: in words that follow "It must be", and as a test."""

    words: str
    admits: Callable[[Any], bool]


def whole(low: int, high: int, *, even: bool = False) -> Kind:
    """A whole number; True and False, which Python takes for 1 and 0, are none."""
    return Kind(
        f"{'an even' if even else 'a whole'} number from {low:,} to {high:,}",
        lambda value: type(value) is int and low <= value <= high and not (even and value % 2),
    )


def number(low: float, high: float, *, above: bool = False, point: bool = False) -> Kind:
    """A number. `above`: more than `low`. `point`: as transformers 5 wants it, 1.0 and not 1."""
    kinds = (float,) if point else (int, float)
    start = f"above {low:,}, at most {high:,}" if above else f"from {low:,} to {high:,}"
    return Kind(
        f"a number {start}{', written with a decimal point (as 0.0)' if point else ''}",
        lambda value: (
            type(value) in kinds and low <= value <= high and not (above and value == low)
        ),
    )


def one_of(*values: Any) -> Kind:
    """One of these, and no other that equals it: True is not 1, but 0.0 is 0."""
    *most, last = (json.dumps(value) for value in values)
    return Kind(
        f"{', '.join(most)} or {last}" if most else last,
        lambda value: any(
            value == it and isinstance(value, bool) == isinstance(it, bool) for it in values
        ),
    )


def either(*kinds: Kind) -> Kind:
    return Kind(
        " or ".join(kind.words for kind in kinds),
        lambda value: any(kind.admits(value) for kind in kinds),
    )


def list_of(kind: Kind, words: str) -> Kind:
    return Kind(
        words, lambda value: isinstance(value, list | tuple) and all(map(kind.admits, value))
    )


ALL_OF_IT = one_of(1.0)
TRUTH = Kind("true or false", lambda value: isinstance(value, bool))
OBJECT = Kind("an object", lambda value: isinstance(value, dict))
NEVER = Kind("", lambda value: False)
TOKEN = whole(-LARGEST, LARGEST)


@dataclass(frozen=True)
class Field:
    """One field: what it may hold and what it means.

    `default`: what transformers takes where config.json does not have it, None where that depends
    on other fields. `null`: whether it may be null.
    """

    kind: Kind
    means: str
    default: Any = REQUIRED
    null: bool = False
    hint: str = ""

    def admits(self, value: Any) -> bool:
        return self.kind.admits(value) or (self.null and value is None)

    @property
    def must_be(self) -> str:
        """In words that follow "It must be"."""
        ways = [self.kind.words, "null" * self.null, "left out" * (self.default is not REQUIRED)]
        *most, last = filter(None, ways)
        return (f"{', '.join(most)} or {last}" if most else last) + self.hint


FIELDS: dict[str, Field] = {
    "model_type": Field(one_of(*MODEL_TYPES), "the architecture"),
    "vocab_size": Field(whole(1, MOST_TOKENS), "V: tokens in the vocabulary"),
    "hidden_size": Field(whole(1, WIDEST), "D: width of the residual stream"),
    "intermediate_size": Field(whole(1, 16 * WIDEST), "F: width inside the MLP"),
    "num_hidden_layers": Field(whole(1, MOST_LAYERS), "L: layers"),
    "num_attention_heads": Field(whole(1, MOST_HEADS), "H: query heads"),
    "num_key_value_heads": Field(
        whole(1, MOST_HEADS), "K: key-value heads; as many as query heads", None, null=True
    ),
    "head_dim": Field(
        whole(2, WIDEST_HEAD, even=True),
        "Dh: width of one head; hidden_size // num_attention_heads",
        None,
    ),
    "max_position_embeddings": Field(
        whole(1, LONGEST),
        "positions in the longest text",
        hint="; OLMo-core writes -1 where it was told no length",
    ),
    "layer_types": Field(
        list_of(one_of(*LAYER_TYPES), f"a list of {' and '.join(LAYER_TYPES)}"),
        "which layers see only a window; in OLMo 3 all but every fourth",
        None,
        null=True,
    ),
    "sliding_window": Field(
        whole(1, LARGEST),
        "positions that a query of a sliding layer sees, its own included; OLMo 2 has none",
        4_096,
        null=True,
    ),
    "rope_theta": Field(
        number(1, 10**15, above=True), "θ of RoPE; 10,000 in OLMo 2, 500,000 in OLMo 3", None
    ),
    "rope_scaling": Field(OBJECT, "YaRN, as transformers 4 writes it", None, null=True),
    "rope_parameters": Field(
        OBJECT, "RoPE, as transformers 5 writes it; one object a layer type", None, null=True
    ),
    "rms_norm_eps": Field(number(0, 1, point=True), "what RMSNorm adds to the mean square", 1e-5),
    "initializer_range": Field(
        number(0, 1_000, point=True), "standard deviation of a weight before training", 0.02
    ),
    "hidden_act": Field(one_of(*ACTIVATIONS), "the activation of the MLP", "silu"),
    "attention_bias": Field(TRUTH, "whether q_proj, k_proj, v_proj and o_proj add a bias", False),
    "attention_dropout": Field(number(0, 1), "for training; nothing is dropped here", 0.0),
    "tie_word_embeddings": Field(TRUTH, "whether lm_head is embed_tokens", False),
    "dtype": Field(one_of(*BYTES_PER_PARAMETER), "of the weights", None, null=True),
    "torch_dtype": Field(
        one_of(*BYTES_PER_PARAMETER), "the same, as older releases write it", None, null=True
    ),
    "use_cache": Field(TRUTH, "whether a forward pass answers with its KV cache", True),
    "output_attentions": Field(TRUTH, "whether it answers with its patterns", False, null=True),
    "output_hidden_states": Field(TRUTH, "whether with its residual stream", False, null=True),
    "bos_token_id": Field(TOKEN, "id of the token that begins a text", None, null=True),
    "eos_token_id": Field(
        either(TOKEN, list_of(TOKEN, "a list of such")),
        "id of what ends a text",
        50_279,
        null=True,
    ),
    "pad_token_id": Field(TOKEN, "id of what fills up a shorter text", 1, null=True),
    # What an OLMo of transformers would read, and could not run with, or not in every release.
    "partial_rotary_factor": Field(ALL_OF_IT, "every pair of a head turns", None, null=True),
    "original_max_position_embeddings": Field(NEVER, "stands with YaRN's own fields", None),
    "quantization_config": Field(
        NEVER,
        "quantized weights are not read here",
        None,
        null=True,
        hint=", as in a checkpoint that is not quantized: take that one, no other is read here",
    ),
    "per_layer_config": Field(NEVER, "layers differ in their type only", None),
    "return_dict": Field(one_of(True), "answers have names", True),
}
"""Every field that is read, in the order of the book's table."""

ROPE_FIELDS: dict[str, Field] = {
    "rope_type": Field(one_of("default", "yarn"), "plain RoPE, or YaRN", "default"),
    "rope_theta": Field(FIELDS["rope_theta"].kind, "θ, where it stands here", None),
    "partial_rotary_factor": Field(ALL_OF_IT, "every pair of a head turns", None),
}
"""What is read of an object of RoPE, whatever its type."""

_TURNS = either(one_of(0), number(0.001, 10**6))  # 0, like null, is the default
_SCALE = number(0, 1_000)

YARN_FIELDS: dict[str, Field] = {
    "factor": Field(number(0.001, 10**6), "how many times slower slow pairs turn"),
    "original_max_position_embeddings": Field(
        whole(1, LONGEST), "positions before YaRN; max_position_embeddings", None
    ),
    "attention_factor": Field(
        number(0, 10**6), "by what cos and sin grow; 0.1 · ln(factor) + 1", None, null=True
    ),
    "beta_fast": Field(_TURNS, "a pair of more turns keeps its frequency", 32, null=True),
    "beta_slow": Field(_TURNS, "a pair of fewer turns is slowed by the whole factor", 1, null=True),
    "mscale": Field(
        _SCALE, "with mscale_all_dim: another rule for attention_factor", None, null=True
    ),
    "mscale_all_dim": Field(
        _SCALE, "with mscale: another rule for attention_factor", None, null=True
    ),
    "truncate": Field(
        TRUTH, "whether the ramp begins and ends at whole pairs; always in OLMo 3", True
    ),
}
"""What is read beside it of an object of rope_type yarn."""


class Relation(NamedTuple):
    """What a field must be to others, in words that follow "It must be", and as a test."""

    field: str
    must_be: str
    holds: Callable[["OlmoConfig"], bool]


def _slides(config: "OlmoConfig") -> bool:
    return "sliding_attention" in config.layer_types


RELATIONS = (
    Relation(
        "num_key_value_heads",
        "a divisor of num_attention_heads",
        lambda config: config.num_attention_heads % config.num_key_value_heads == 0,
    ),
    Relation(
        "head_dim",
        "even and above 0; where it is left out, it is hidden_size // num_attention_heads",
        lambda config: config.head_dim > 0 and config.head_dim % 2 == 0,
    ),
    Relation(
        "layer_types",
        "one type for each of num_hidden_layers",
        lambda config: len(config.layer_types) == config.num_hidden_layers,
    ),
    Relation(
        "layer_types",
        "full_attention throughout in an OLMo 2",
        lambda config: config.model_type == "olmo3" or not _slides(config),
    ),
    Relation(
        "sliding_window",
        "null or left out in an OLMo 2",
        lambda config: config.model_type == "olmo3" or config.sliding_window is None,
    ),
    Relation(
        "sliding_window",
        "a number where layers slide",
        lambda config: config.sliding_window is not None or not _slides(config),
    ),
    Relation(
        "pad_token_id",
        "null or an id below vocab_size",
        lambda config: (
            (pad := config.pad_token_id) is None or -config.vocab_size <= pad < config.vocab_size
        ),
    ),
)


def read_fields(
    said: Mapping[str, Any], name: str, fields: Mapping[str, Field] = FIELDS, inside: str = ""
) -> dict[str, Any]:
    """The values of these fields, their defaults where they are not said.

    `name`: of what they are read from. `inside`: the object that they stand in, as "rope_scaling.".
    Raises ConfigError, which names the field and says what it must be.
    """
    read = {}
    for field, about in fields.items():
        if field not in said:
            if about.default is REQUIRED:
                raise ConfigError(f"{name} has no {inside}{field}", f"It must be {about.must_be}")
            read[field] = about.default
        elif about.admits(said[field]):
            read[field] = said[field]
        else:
            raise refused(name, inside + field, said[field], about.must_be)
    return read


def shown(value: Any) -> str:
    """A value as JSON writes it, its beginning where it is long."""
    # An int of more than 4,300 digits has no text, and one of 400 is no help.
    if isinstance(value, int) and abs(value) >= 10**30:
        return f"a number of {int(math.log10(abs(value))) + 1:,} digits"
    try:
        text = json.dumps(value)
    except RecursionError:
        return "too deep a nest"
    except (TypeError, ValueError):  # a config that was not read from a file
        text = quoted(value)
    if len(text) > 60 and isinstance(value, list | tuple):
        return f"a list of {len(value):,}"
    return text if len(text) <= 60 else f"{text[:60]} …"


def refused(name: str, field: str, value: Any, must_be: str) -> ConfigError:
    """The error for a field that holds what it may not."""
    return ConfigError(f"{name} has {shown(value)} for {field}", f"It must be {must_be}")


def field_table() -> Iterator[tuple[str, str, str, str, str]]:
    """For the book: the object that a field stands in, its name, what it may hold, its default,
    and what it means.
    """
    objects = (("config.json", FIELDS), ("RoPE", ROPE_FIELDS), ("YaRN", YARN_FIELDS))
    for where, fields in objects:
        for name, about in fields.items():
            may_hold = [(about.kind.words or "nothing") + " or null" * about.null]
            if fields is FIELDS:
                may_hold += [it.must_be for it in RELATIONS if it.field == name]
            default = "required" if about.default is REQUIRED else json.dumps(about.default)
            default = "" if about.default is None else default
            yield where, name, "; ".join(may_hold), default, about.means
