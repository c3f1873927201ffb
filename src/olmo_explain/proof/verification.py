"""Is an implementation right? The reference against what the model computed, step by step.

>>> checked = verify(model, torch.tensor([[5, 6]]))
>>> checked.ok, checked.first_difference
(True, None)
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any, Protocol

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformers import PreTrainedModel

from olmo_explain.by_hand import (
    STEPS,
    Positions,
    Weights,
    check_has_weights,
    check_weights,
    differ,
    embed,
    layer_by_hand,
    linear,
    lm_head,
    positions_by_hand,
    rms_norm,
)
from olmo_explain.checkpoint import Checkpoint, OlmoConfig, check_config, check_supported
from olmo_explain.ids import as_ids, as_mask, check_room
from olmo_explain.proof.diagnosis import cause_of
from olmo_explain.proof.naming import names_of_fault, said_of
from olmo_explain.running import (
    ONLY_EAGER,
    RopeMeasurement,
    attention_of,
    capture,
    check_olmo,
    check_one_dtype,
    measure_rope,
)
from olmo_explain.undo import no_grad
from olmo_explain.waiting import Advance, progress


@dataclass(frozen=True)
class StepResult:
    """One value compared. `layer` and `step` are None outside the layers.

    `equal`: the same dtype, shape and bits. `max_abs_diff`: the largest distance of two numbers,
    None where there is none to measure (other shapes, a missing value, an infinite distance).
    """

    layer: int | None
    step: int | None
    name: str
    equal: bool
    max_abs_diff: float | None
    tolerance: float
    ok: bool


@dataclass(frozen=True, repr=False)
class Verification:
    """What was compared, in order. `cause`: of the first difference, in words; `faults`: the known
    faults that it is, by the names of `olmo_explain.diagnose`, none where it is no known one.
    """

    dtype: str
    device: str
    attention: str
    rope: RopeMeasurement
    steps: list[StepResult]
    cause: str | None
    faults: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(
        default_factory=lambda: {name: version(name) for name in ("transformers", "torch")}
    )

    @property
    def ok(self) -> bool:
        """Every step within its tolerance, and each layer type's RoPE as its config says."""
        return self.rope.ok and self.first_difference is None

    @property
    def first_difference(self) -> StepResult | None:
        return next((step for step in self.steps if not step.ok), None)

    def to_dict(self) -> dict[str, Any]:
        """As `olmo-explain verify --json` prints it."""
        first = self.first_difference
        return {
            **self.versions,
            "dtype": self.dtype,
            "device": self.device,
            "attention": self.attention,
            "rope": asdict(self.rope),
            "steps": [asdict(step) for step in self.steps],
            "first_difference": first and asdict(first),
            "cause": self.cause,
            "diagnosis": " or ".join(self.faults) or None,
            "remedy": self.rope.remedy,
            "ok": self.ok,
        }

    def __repr__(self) -> str:
        equal = sum(step.equal for step in self.steps)
        text = f"{equal:,} of {len(self.steps):,} values equal, bit for bit; {self.dtype}"
        text += f", {self.attention} attention, RoPE {self.rope.regime}"
        if first := self.first_difference:
            text += f"; first difference: {place(first)}: {self.cause}"
        return text


class Parts(Protocol):
    """Several processes that run one model, each with a part of some weights and values.

    Which of them takes a sum's parts, and in which order they are added, changes how it is rounded:
    values are compared within a tolerance, not bit for bit.
    """

    def whole(self, name: str, value: Tensor) -> Tensor:
        """The value as one process would have computed it. Every process has to ask for it."""


def place(step: StepResult) -> str:
    """Where a step is, for people: `layer 3, step 5, q`."""
    return step.name if step.layer is None else f"layer {step.layer}, step {step.step}, {step.name}"


def verify(
    model: PreTrainedModel,
    ids: Int[Tensor, "batch pos"],
    attention_mask: Int[Tensor, "batch pos"] | None = None,
    *,
    weights: Mapping[str, Tensor] | Checkpoint | None = None,
    config: OlmoConfig | None = None,
    parts: Parts | None = None,
) -> Verification:
    """Compares every step of every layer with the reference, while the model runs once.

    It runs without a KV cache (`use_cache=False`), with which it may round otherwise.

    Each layer's reference starts from the model's own input to it, and that input is compared with
    what the layer before wrote: equality is proven for the whole, and a fault shows in its own
    layer only. One layer's values are kept at a time, and of a Checkpoint the system may drop each
    layer's weights when they have been compared. `ids`: a tensor, or a list of whole numbers.

    `weights` and `config` are what ought to have run: give the Checkpoint and `read_config(…)` to
    check that the model was loaded right as well; without them the model's own are believed.
    `parts`: where several processes run the model together; each compares what it has, and the
    cause of a difference is for their caller to find.
    Raises UsageError for a model on the meta device, which computes nothing.
    """
    config = check_olmo(model, None if config is None else check_config(config))
    check_has_weights(model.parameters())
    check_one_dtype(model)
    check_supported(config)
    weights = model.state_dict() if weights is None else weights
    check_weights(weights, config)
    ids = as_ids(ids, config.vocab_size, model.device)
    check_room(ids, config.num_attention_heads, model.dtype.itemsize, times=2)
    attention_mask = as_mask(attention_mask, ids)
    rope, attention = measure_rope(model, config), attention_of(model)
    with progress("Checking the layers", config.num_hidden_layers) as advance:
        comparison = _Comparison(model, weights, config, ids, attention_mask, parts, advance)
        with no_grad(), capture(model, comparison.receive):
            model(ids, attention_mask=attention_mask, use_cache=False)
    if isinstance(weights, Checkpoint):
        weights.check_unchanged()
    return Verification(
        dtype=str(model.dtype).removeprefix("torch."),
        device=model.device.type,
        attention=attention,
        rope=rope,
        steps=comparison.results,
        cause=comparison.cause,
        faults=comparison.faults,
    )


def tolerance(expected: Tensor, operations: int, largest_score: float = 1.0) -> float:
    """How far a value may be from the reference where only closeness can be asked for.

    Another attention function or device takes sums in another order, so each of the `operations`
    since the layer's input may round differently: by the dtype's eps, of numbers up to the largest
    in `expected`. Independent errors add up as the square root of their number. Softmax makes of an
    absolute error in the scores a relative one in the pattern, hence `largest_score`.

    >>> tolerance(torch.ones(1), operations=9)  # √9 · 2⁻²³
    3.5762786865234375e-07
    """
    largest = expected.abs().max().item() if expected.numel() else 0.0
    return torch.finfo(expected.dtype).eps * operations**0.5 * largest * max(largest_score, 1.0)


class _Comparison:
    def __init__(
        self,
        model: PreTrainedModel,
        weights: Mapping[str, Tensor] | Checkpoint,
        config: OlmoConfig,
        ids: Tensor,
        attention_mask: Tensor | None,
        parts: Parts | None = None,
        advance: Advance = lambda more: None,
    ):
        self.advance = advance
        self.model, self.config, self.parts = model, config, parts
        self.ids, self.attention_mask = ids, attention_mask
        self.weights = Weights(weights, model.dtype, model.device)
        self.eager = attention_of(model) == "eager"
        self.exact = self.eager and model.device.type == "cpu" and parts is None
        self.results: list[StepResult] = []
        self.cause: str | None = None
        self.faults: list[str] = []
        self._positions: dict[str, Positions] = {}
        self._theirs: dict[str, Tensor] = {}  # of the layer at work
        self._stream: Tensor  # what the part before it wrote

    def receive(self, layer: int | None, name: str, value: Tensor) -> None:
        """Takes what the model computed, and compares as soon as a layer is complete."""
        if self.parts:
            value = self.parts.whole(name, value)
        if layer is None:
            self._compare_outside(name, value)
            self._stream = value
            return
        self._theirs[name] = value
        if name == "resid_pre":
            self.weights.expect(f"model.layers.{layer + 1}.")  # while this layer computes
        if name == "resid_post":
            self._compare_layer(layer)
            self._stream, self._theirs = value, {}
            self.weights.release(f"model.layers.{layer}.")
            self.advance(1)

    def _compare_outside(self, name: str, theirs: Tensor) -> None:
        match name:
            case "embedding":
                ours, operations = embed(self.ids, self.weights["model.embed_tokens.weight"]), 0
            case "final_norm":
                norm = self.weights["model.norm.weight"]
                ours, operations = rms_norm(self._stream, norm, self.config.rms_norm_eps), 1
            case "logits":
                ours, operations = linear(self._stream, self.weights[lm_head(self.config)]), 1
        self._compare(None, name, ours, theirs, operations)

    def _compare_layer(self, layer: int) -> None:
        x, kind = self._theirs["resid_pre"], self.config.layer_types[layer]
        if kind not in self._positions:
            self._positions[kind] = positions_by_hand(self.config, kind, x, self.attention_mask)
        self._compare(layer, "resid_pre", self._stream, x, 0)
        steps = layer_by_hand(x, self.weights, self.config, layer, self._positions[kind])
        largest_score = 1.0
        for number, (name, ours) in enumerate(steps):
            if name == "scores" and not self.exact:
                largest_score = ours.abs().max().item()
            skipped = name in ONLY_EAGER and not self.eager
            if name != "resid_pre" and not skipped:
                self._compare(layer, name, ours, self._theirs.get(name), number, largest_score)

    def _compare(
        self,
        layer: int | None,
        name: str,
        ours: Tensor,
        theirs: Tensor | None,
        operations: int,
        largest_score: float = 1.0,
    ) -> None:
        if not self.eager and theirs is not None and self.attention_mask is not None:
            ours, theirs = _without_padding(name, ours, theirs, self.attention_mask.bool())
        equal = (
            theirs is not None
            and ours.shape == theirs.shape
            and ours.dtype == theirs.dtype
            and not differ(ours, theirs).any()
        )
        distance = 0.0 if equal else _distance(ours, theirs)
        allowed = 0.0 if self.exact else tolerance(ours, operations, largest_score)
        ok = equal or (distance is not None and distance <= allowed)
        step = StepResult(layer, STEPS.get(name), name, equal, distance, allowed, ok)
        self.results.append(step)
        # Of a model in parts the weights are not all here to look at.
        if not ok and self.cause is None and self.parts is None:
            self.cause = cause_of(layer, name, ours, theirs, self.model, self.weights, self.config)
            self._name_fault(layer, name, theirs)

    def _name_fault(self, layer: int | None, name: str, theirs: Tensor | None) -> None:
        """Says the cause in the words of the known fault that it is, where it is one."""
        if layer is None or theirs is None or name == "resid_pre":
            return
        config, mask = self.config, self.attention_mask
        self.faults = names_of_fault(layer, name, self._theirs, self.weights, config, mask)
        if self.faults and self.cause:
            self.cause = said_of(self.faults, self.cause)


def _without_padding(
    name: str, ours: Tensor, theirs: Tensor, real: Bool[Tensor, "batch pos"]
) -> tuple[Tensor, Tensor]:
    # A query that sees no key has no softmax: each attention function answers in its own way.
    if name in ("q", "k", "v", "cos", "sin") or ours.shape != theirs.shape:
        return ours, theirs
    return ours[real], theirs[real]


def _distance(ours: Tensor, theirs: Tensor | None) -> float | None:
    if theirs is None or ours.shape != theirs.shape:
        return None
    if not ours.numel():
        return 0.0
    distance = (ours.float() - theirs.float()).abs().max().item()
    return distance if distance < float("inf") else None  # not for NaN either
