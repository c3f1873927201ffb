"""What a forward pass costs, from config.json alone: MACs, FLOPs and bytes. No torch.

>>> costs = count_costs(read_config("olmo3-7b"), seq=64)
>>> costs.layer()["q_proj"].macs, costs.layer()["scores"].macs
(1073741824, 16777216)

A multiply-accumulate, one MAC, is two FLOPs. For which pairs of query and key attention is charged
is a convention, and a count that does not name it says little:

- `full`: every pair, the whole square. What eager attention computes, and FlopCounterMode counts.
- `causal`: a query and the keys up to its own position, in every layer.
- `windowed`: the same, and in sliding layers only within the window. What OLMo 3 has use for.

Axes: B batch, T positions, H heads, K key-value heads, Dh head_dim.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from typing import Any, Literal, get_args

from olmo_explain.checkpoint import (
    BYTES_PER_PARAMETER,
    LAYER_TYPES,
    Component,
    LayerType,
    OlmoConfig,
    check_config,
    check_supported,
    whole_number,
)
from olmo_explain.errors import UsageError

Convention = Literal["full", "causal", "windowed"]
Against = Literal["linear", "attention_projections"]

CONVENTIONS: dict[Convention, str] = {
    "full": "full square",
    "causal": "causal",
    "windowed": "windowed",
}
"""Each convention, and what to call it."""
ATTENTION = ("scores", "apply")
ATTENTION_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj")
LINEAR = (*ATTENTION_PROJECTIONS, "gate_proj", "up_proj", "down_proj")

# FLOPs of what is no matrix product, for each number that it gives. An exponential counts as one.
NORM = 4  # square it, add it to the sum, multiply by 1/rms, multiply by the weight
ROPE = 3  # x·cos + turned·sin
SOFTMAX = 7  # scale by 1/√Dh, add the mask; compare, subtract the largest, exp, add, divide
SILU = 4  # x / (1 + exp(−x)), then times up
ADD = 1

ENDLESS = 2**40  # positions; what has not overtaken by then never does


@dataclass(frozen=True)
class Operation:
    """One operation, or several together.

    `macs` are those of matrix products, `flops` two for each of them and all other arithmetic.
    `activation_bytes`: what it reads and writes beside weights, each number once; the KV cache is
    part of it.
    """

    name: str
    macs: int
    flops: int
    weight_bytes: int
    activation_bytes: int

    @property
    def matmul_flops(self) -> int:
        return 2 * self.macs

    @property
    def bytes(self) -> int:
        return self.weight_bytes + self.activation_bytes

    @property
    def intensity(self) -> float:
        """Arithmetic intensity: FLOPs for each byte moved."""
        return self.flops / self.bytes

    def times(self, count: int) -> "Operation":
        """The same operation so many times: in every layer of a type, say."""
        numbers = (self.macs, self.flops, self.weight_bytes, self.activation_bytes)
        return Operation(self.name, *(count * number for number in numbers))

    def to_dict(self) -> dict[str, Any]:
        """As one of `operations` in `olmo-explain flops --json`."""
        return asdict(self) | {"intensity": self.intensity}


def total(operations: Iterable[Operation], name: str = "total") -> Operation:
    """Several operations as one."""
    counts = [(o.macs, o.flops, o.weight_bytes, o.activation_bytes) for o in operations]
    return Operation(name, *map(sum, zip(*counts, strict=True)))


@dataclass(frozen=True)
class Costs:
    """The costs of one forward pass over `batch` sequences of `seq` positions.

    With `decode` it is a step of generation instead: one new position, the last of `seq`, whose
    earlier keys and values come from the KV cache.
    """

    config: OlmoConfig
    seq: int
    batch: int = 1
    decode: bool = False

    @property
    def positions(self) -> int:
        """How many positions go through every Linear."""
        return self.batch * (1 if self.decode else self.seq)

    def layer(
        self, layer_type: LayerType = "full_attention", convention: Convention = "full"
    ) -> dict[str, Operation]:
        """The operations of one layer, by name, in order."""
        return {operation.name: operation for operation in self._layer(layer_type, convention)}

    def around(self) -> dict[str, Operation]:
        """What stands before and after the layers: `embed_tokens`, `norm` and `lm_head`."""
        return {operation.name: operation for operation in self._around()}

    def model(self, convention: Convention = "full") -> dict[str, Operation]:
        """Every operation by name, all layers together."""
        by_type = [
            {
                name: operation.times(self.config.layer_types.count(kind))
                for name, operation in self.layer(kind, convention).items()
            }
            for kind in set(self.config.layer_types)
        ]
        layers = {name: total((layer[name] for layer in by_type), name) for name in by_type[0]}
        embed_tokens, norm, lm_head = self._around()
        return {"embed_tokens": embed_tokens, **layers, "norm": norm, "lm_head": lm_head}

    @property
    def attention(self) -> dict[Convention, int]:
        """MACs of scores and apply in the whole model, under each convention."""
        return {
            convention: sum(self.model(convention)[name].macs for name in ATTENTION)
            for convention in CONVENTIONS
        }

    @property
    def kv_cache_bytes(self) -> dict[str, int]:
        """Bytes of keys and values, by convention: sliding layers `capped` at their window, as the
        last query sees it; `uncapped`; or as transformers keeps them `between_steps`.
        """
        size = partial(self.config.kv_cache_bytes, self.seq, self.batch)
        return {
            "capped": size(),
            "uncapped": size(capped=False),
            "between_steps": size(between_steps=True),
        }

    @property
    def six_nd(self) -> int:
        """FLOPs of training by 6·N·D: N all parameters, the embedding's too, D all tokens."""
        return 6 * self.config.parameters * self.batch * self.seq

    def pairs(self, layer_type: LayerType, convention: Convention) -> int:
        """Pairs of query and key in one head and one sequence: the ones of its mask."""
        T, window = self.seq, self._window(layer_type, convention)
        if self.decode:  # the mask's last row
            return min(T, window)
        if convention == "full":
            return T * T
        full_rows = max(T - window, 0)  # each of `window` ones, below a triangle
        return triangle(T - full_rows) + full_rows * window

    def _window(self, layer_type: LayerType, convention: Convention) -> int:
        """The most keys that a query sees."""
        window = self.config.window_of(layer_type) if convention == "windowed" else None
        return self.seq if window is None else window

    def _layer(self, layer_type: LayerType, convention: Convention) -> Iterator[Operation]:
        config = self.config
        D, F, Dh = config.hidden_size, config.intermediate_size, config.head_dim
        q_size, kv_size = config.num_attention_heads * Dh, config.num_key_value_heads * Dh
        pairs = self.batch * config.num_attention_heads * self.pairs(layer_type, convention)
        q = self.positions * q_size
        read = min(self.seq, self._window(layer_type, convention)) if self.decode else self.seq
        keys = values = self.batch * read * kv_size
        for name in ("q_proj", "k_proj", "v_proj"):
            yield self._linear(name)
        yield self._elementwise("q_norm", q_size, NORM)
        yield self._elementwise("k_norm", kv_size, NORM)
        yield self._elementwise("rope", q_size + kv_size, ROPE)
        yield self._operation("scores", macs=pairs * Dh, numbers=q + keys + pairs)
        yield self._operation("softmax", flops=SOFTMAX * pairs, numbers=2 * pairs)
        yield self._operation("apply", macs=pairs * Dh, numbers=pairs + values + q)
        yield self._linear("o_proj")
        yield self._elementwise("post_attention_layernorm", D, NORM)
        yield self._elementwise("attention_residual", D, ADD, inputs=2)
        yield self._linear("gate_proj")
        yield self._linear("up_proj")
        yield self._elementwise("silu", F, SILU, inputs=2)
        yield self._linear("down_proj")
        yield self._elementwise("post_feedforward_layernorm", D, NORM)
        yield self._elementwise("mlp_residual", D, ADD, inputs=2)

    def _around(self) -> Iterator[Operation]:
        D, V = self.config.hidden_size, self.config.vocab_size
        # A lookup reads rows, no more than there are tokens; a table tied to lm_head is read there.
        rows = 0 if self.config.tie_word_embeddings else min(self.positions, V)
        yield self._operation("embed_tokens", weights=rows * D, numbers=self.positions * D)
        yield self._elementwise("norm", D, NORM)
        yield self._linear("lm_head")

    def _linear(self, name: str) -> Operation:
        outputs, inputs = self._weights[name].shape
        return self._operation(
            name,
            macs=self.positions * outputs * inputs,
            weights=outputs * inputs,
            numbers=self.positions * (inputs + outputs),
        )

    def _elementwise(self, name: str, size: int, flops: int, inputs: int = 1) -> Operation:
        """What treats each number alone: `flops` for each of `size` at every position."""
        count = self.positions * size
        weights = self._weights[name].parameters if name in self._weights else 0
        return self._operation(
            name, flops=flops * count, weights=weights, numbers=(inputs + 1) * count
        )

    def _operation(
        self, name: str, *, macs: int = 0, flops: int = 0, weights: int = 0, numbers: int
    ) -> Operation:
        size = BYTES_PER_PARAMETER[self.config.dtype]
        return Operation(name, macs, 2 * macs + flops, weights * size, numbers * size)

    @cached_property
    def _weights(self) -> dict[str, Component]:
        """The kinds of tensor by their module's own name: q_proj, norm, lm_head, …"""
        weights = {part.name.split(".")[-2]: part for part in self.config.components}
        return {"lm_head": weights["embed_tokens"], **weights}  # where the two are tied

    # -- as data ---------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """As `olmo-explain flops --json` prints it; operations and totals for the full square."""
        layer, model = self.layer(), total(self.model().values())
        return {
            "seq": self.seq,
            "batch": self.batch,
            "phase": "decode" if self.decode else "prefill",
            "operations": [o.to_dict() for o in (*layer.values(), *self.around().values())],
            "layer": _totals(total(layer.values())),
            "model": _totals(model),
            "attention": self.attention,
            "crossover_seq": crossovers(self.config, "linear", decode=self.decode),
            "crossover_seq_attention_projections": crossovers(
                self.config, "attention_projections", decode=self.decode
            ),
            "kv_cache_bytes": self.kv_cache_bytes,
            "training": {
                "tokens": self.batch * self.seq,
                "six_nd": self.six_nd,
                "three_forwards": 3 * model.matmul_flops,
            },
        }


def count_costs(config: OlmoConfig, seq: int, batch: int = 1, *, decode: bool = False) -> Costs:
    """What a forward pass over `batch` sequences of `seq` positions costs.

    `decode`: a step of generation instead, one new position with the others in the KV cache.
    Raises OutOfRange below one position or one sequence.

    >>> costs = count_costs(read_config("olmo3-7b"), seq=65_536)
    >>> {convention: f"{macs:.2e}" for convention, macs in costs.attention.items()}
    {'full': '1.13e+15', 'causal': '5.63e+14', 'windowed': '1.92e+14'}
    """
    config = check_config(config)
    seq, batch = whole_number("seq", seq), whole_number("batch", batch)
    check_supported(config)
    return Costs(config, seq, batch, decode)


# -- where attention overtakes --------------------------------------------------------------------


def crossover_seq(
    config: OlmoConfig,
    layer_type: LayerType | None = None,
    convention: Convention = "windowed",
    against: Against = "linear",
    *,
    decode: bool = False,
) -> int | None:
    """The shortest `seq` at which scores and apply take as many MACs as the projections, or None.

    `layer_type`: one layer of this type; all layers of the model when not given. `against`: all
    seven Linear modules of a layer, or only the four of attention. None: never, at any length.
    `lm_head` is left out, so that the number does not depend on how many layers share it.

    >>> seven = read_config("olmo3-7b")
    >>> crossover_seq(seven, "full_attention", "full"), crossover_seq(seven, "sliding_attention")
    (24704, None)
    """
    config = check_config(config)
    for name, given, known in (
        ("convention", convention, get_args(Convention)),
        ("against", against, get_args(Against)),
    ):
        if given not in known:
            raise UsageError(f"{name} is {given!r}", f"Choose {', '.join(known)}")
    if layer_type is not None and layer_type not in config.layer_types:
        raise UsageError(
            f"This model has no {layer_type} layer", f"Choose {', '.join(set(config.layer_types))}"
        )
    kinds = config.layer_types if layer_type is None else (layer_type,)
    projections = LINEAR if against == "linear" else ATTENTION_PROJECTIONS

    def overtaken(seq: int) -> bool:
        costs = Costs(config, seq, decode=decode)
        pairs = sum(kinds.count(kind) * costs.pairs(kind, convention) for kind in set(kinds))
        attention = 2 * config.num_attention_heads * config.head_dim * pairs
        parameters = sum(costs._weights[name].parameters for name in projections)
        return attention >= len(kinds) * parameters * costs.positions

    if not overtaken(ENDLESS):
        return None
    low, high = 0, ENDLESS  # attention's share never falls with the length
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if overtaken(middle) else (middle, high)
    return high


def crossovers(
    config: OlmoConfig, against: Against = "linear", *, decode: bool = False
) -> dict[str, dict[Convention, int | None]]:
    """`crossover_seq` for a layer of each type and for the model, under every convention."""
    places = {kind: kind for kind in LAYER_TYPES if kind in config.layer_types} | {"model": None}
    return {
        place: {
            convention: crossover_seq(config, kind, convention, against, decode=decode)
            for convention in CONVENTIONS
        }
        for place, kind in places.items()
    }


def triangle(n: int) -> int:
    """1 + 2 + … + n: the ones of a causal mask over n positions."""
    return n * (n + 1) // 2


def _totals(operation: Operation) -> dict[str, Any]:
    return {
        "matmul_macs": operation.macs,
        "matmul_flops": operation.matmul_flops,
        "other_flops": operation.flops - operation.matmul_flops,
        "weight_bytes": operation.weight_bytes,
        "activation_bytes": operation.activation_bytes,
        "intensity": operation.intensity,
    }
