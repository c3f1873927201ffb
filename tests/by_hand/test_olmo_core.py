"""Our forward pass against golden logits of OLMo-core, the code that AI2 trains OLMo with."""

from dataclasses import replace

import pytest
import torch
from scripts.olmo_core import STALE, Golden, bound, distance, read_golden

from olmo_explain.by_hand import Activations, run_by_hand
from olmo_explain.checkpoint import Checkpoint, OlmoConfig, read_config

CONFIG = read_config("tiny")
SLIDING, FULL = CONFIG.rope["sliding_attention"], CONFIG.rope["full_attention"]


@pytest.fixture(scope="module")
def golden() -> Golden:
    golden = read_golden()
    assert not golden.is_stale, STALE
    return golden


def by_hand(golden: Golden, config: OlmoConfig = CONFIG) -> list[Activations]:
    weights = Checkpoint("tiny")
    return [
        run_by_hand(weights, prompt, config=config, dtype=torch.float32)
        for prompt in golden.prompts
    ]


def test_the_prompts_reach_beyond_the_window(golden):
    lengths = {prompt.numel() for prompt in golden.prompts}
    assert (len(lengths), min(lengths), max(lengths)) == (10, 2, 200)
    assert {CONFIG.sliding_window, CONFIG.sliding_window + 1} <= lengths


def test_logits_are_those_of_olmo_core(golden):
    for values, authority in zip(by_hand(golden), golden.logits, strict=True):
        ours = values["logits"][0, -1]
        assert distance(ours, authority) <= bound(values)
        assert ours.argmax() == authority.argmax()


@pytest.mark.parametrize(
    "fault",
    [
        {"rope": {"sliding_attention": FULL, "full_attention": FULL}},
        {"rope": {"sliding_attention": SLIDING, "full_attention": SLIDING}},
        {"rope": CONFIG.rope | {"sliding_attention": replace(SLIDING, rope_theta=500_000)}},
        {"sliding_window": CONFIG.sliding_window - 1},
        {"sliding_window": CONFIG.sliding_window + 1},
    ],
    ids=["yarn everywhere", "yarn lost", "theta lost", "window - 1", "window + 1"],
)
def test_a_fault_lies_a_hundred_bounds_away(golden, fault):
    """The faults that other implementations had; the nearest, a window of 31, is 390 away."""
    faulty = by_hand(golden, replace(CONFIG, **fault))
    farthest = max(
        distance(values["logits"][0, -1], authority) / bound(values)
        for values, authority in zip(faulty, golden.logits, strict=True)
    )
    assert farthest > 100
