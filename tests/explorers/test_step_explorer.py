"""What the step explorer says of a module that does not compute what the reference does."""

from collections.abc import Callable

import pytest
import torch
from playwright.sync_api import Page, expect
from torch import Tensor

import olmo_explain as oe
from olmo_explain import running
from olmo_explain.by_hand import STEPS

LAYER, STEP = 2, "q_proj"


def flipped(output: Tensor) -> Tensor:
    return torch.where(output == 0, -output, output)


def not_a_number(output: Tensor) -> Tensor:
    return torch.where(output == 0, torch.nan, output)


def infinite(output: Tensor) -> Tensor:
    return torch.where(output == 0, torch.inf, output)


def half_more(output: Tensor) -> Tensor:
    return torch.where(output == 0, 0.5, output)


@pytest.fixture
def plant(monkeypatch) -> Callable:
    """Makes a q_proj of tiny, one output of which is 0, answer something else in its place."""
    load = running.load

    def plant(change: Callable[[Tensor], Tensor]) -> None:
        def loaded(*args, **options):
            model, tokenizer = load(*args, **options)
            module = model.model.layers[LAYER].self_attn.q_proj
            with torch.no_grad():
                module.weight[0] = 0
            module.register_forward_hook(lambda _, inputs, output: change(output))
            return model, tokenizer

        monkeypatch.setattr(running, "load", loaded)

    return plant


@pytest.mark.parametrize(
    ("change", "distance", "said"),
    [
        (flipped, 0.0, "0, yet not every bit is equal: differs by the sign of a zero"),
        (not_a_number, None, "none to measure: differs by a NaN, an infinity"),
        (infinite, None, "none to measure: differs by a NaN, an infinity"),
        (half_more, 0.5, "differs by up to 0.5"),
    ],
)
def test_a_planted_difference_is_shown(page: Page, publish, plant, change, distance, said):
    plant(change)
    explorer = oe.explore_steps("tiny", layer=LAYER, step=STEP)
    assert explorer.equal[LAYER][explorer.at] is False
    assert explorer.differences[LAYER][explorer.at] == distance
    assert all(explorer.equal[LAYER][: explorer.at])  # what comes before it, as ever
    assert all(all(layer) for layer in explorer.equal[:LAYER])

    page.goto(publish(explorer).as_uri())
    row = page.get_by_role("row", name="max |Δ| to the real module")
    expect(row).to_contain_text(said)
    expect(row).not_to_contain_text("0: every bit is equal")
    page.get_by_label("Layer", exact=True).press("Home")
    expect(row).to_contain_text("0: every bit is equal")


def test_every_value_of_every_layer_was_compared():
    explorer = oe.explore_steps("tiny")
    layers = len(explorer.layer_types)
    assert explorer.equal == [[True] * len(STEPS)] * layers
    assert explorer.differences == [[0.0] * len(STEPS)] * layers
