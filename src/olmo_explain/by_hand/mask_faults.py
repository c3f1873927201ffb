"""Known faults of the masks: which positions a query sees, and in which layers."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from torch import Tensor

from olmo_explain.by_hand.fault import Form, Steps, fault
from olmo_explain.by_hand.reference import Positions
from olmo_explain.checkpoint import OlmoConfig


def _with_window(config: OlmoConfig, change: int | None) -> Iterator[Form]:
    """Sliding layers whose window is another, or none."""
    window = config.window_of("sliding_attention")
    if "sliding_attention" in config.layer_types and window is not None:
        if change is None:
            yield Form(replace(config, sliding_window=None))
        elif window + change > 0:
            yield Form(replace(config, sliding_window=window + change))


def _filled(config: OlmoConfig) -> int:
    """As many positions as the window has: the last of them sees all of it."""
    return config.sliding_window or 1


def _overflown(config: OlmoConfig) -> int:
    """One position more than the window: its query does not see the first."""
    return _filled(config) + 1


def _told_apart(config: OlmoConfig) -> int:
    """One more again: a window that is one too long hides a position, and none hides nothing."""
    return _filled(config) + 2


@fault(
    "window-minus-one",
    "sliding_window",
    "sliding layers see one position too few: sliding_window counts the current token",
    "the window of sliding layers: sliding_window positions, the query's own among them",
    "vLLM with xformers or sdpa (vllm-project/vllm #4380, of Phi-3)",
    positions=_filled,
)
def window_minus_one(config: OlmoConfig) -> Iterator[Form]:
    return _with_window(config, -1)


@fault(
    "window-plus-one",
    "sliding_window",
    "sliding layers see one position too many: sliding_window counts the current token",
    "the window of sliding layers: flash attention takes how many positions lie to the left, which "
    "is sliding_window - 1",
    "transformers with flash attention (huggingface/transformers #39408, mended by #40163)",
    positions=_told_apart,
)
def window_plus_one(config: OlmoConfig) -> Iterator[Form]:
    return _with_window(config, 1)


@fault(
    "no-window",
    "sliding_window",
    "sliding layers see every earlier position, and not those within sliding_window alone",
    "whether layer_types and sliding_window reach the mask",
    positions=_told_apart,
)
def no_window(config: OlmoConfig) -> Iterator[Form]:
    return _with_window(config, None)


@fault(
    "window-everywhere",
    "the mask of full layers",
    "full-attention layers have the window of sliding ones",
    "whether each layer's mask follows its own entry in layer_types",
    positions=_overflown,
)
def window_everywhere(config: OlmoConfig) -> Iterator[Form]:
    def change(steps: Steps) -> None:
        own = steps.positions_by_hand

        def windowed(
            config: OlmoConfig, kind: Any, x: Tensor, attention_mask: Tensor | None = None
        ) -> Positions:
            cos, sin, _ = own(config, kind, x, attention_mask)
            return Positions(cos, sin, own(config, "sliding_attention", x, attention_mask).mask)

        steps.positions_by_hand = windowed  # type: ignore[attr-defined]

    kinds = {"sliding_attention", "full_attention"}
    if config.sliding_window is not None and set(config.layer_types) == kinds:
        yield Form(config, change)


@fault(
    "layer-types-shifted",
    "layer_types",
    "the full-attention layers are others than layer_types says",
    "how layers are counted: in the published models layers 3, 7, 11, …, from 0, see everything",
)
def layer_types_shifted(config: OlmoConfig) -> Iterator[Form]:
    kinds = config.layer_types
    for by, detail in ((1, "one layer earlier"), (-1, "one layer later")):
        if (shifted := kinds[by:] + kinds[:by]) != kinds:
            yield Form(replace(config, layer_types=shifted), detail=detail)


@fault(
    "no-causal-mask",
    "causality",
    "queries see positions after their own",
    "the causal part of the mask: a query sees itself and what stands before it",
)
def no_causal_mask(config: OlmoConfig) -> Iterator[Form]:
    def change(steps: Steps) -> None:
        own = steps.visible

        def both_ways(
            length: int, window: int | None = None, attention_mask: Tensor | None = None
        ) -> Tensor:
            seen = own(length, window)
            seen = seen | seen.mT
            return seen if attention_mask is None else seen & attention_mask[:, None, None].bool()

        steps.visible = both_ways  # type: ignore[attr-defined]

    yield Form(config, change)
