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
        (flipped, 0.0, "Not every bit is the real module’s: differs by the sign of a zero"),
        (not_a_number, None, "Differs from the real module’s by a NaN, an infinity"),
        (infinite, None, "Differs from the real module’s by a NaN, an infinity"),
        (half_more, 0.5, "Differs from the real module’s by up to 0.5"),
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
    proof = page.locator(".oe-steps-proof")
    expect(proof).to_contain_text(said)
    expect(proof).not_to_contain_text("✓")
    page.locator(".oe-layers input").first.check()
    expect(proof).to_have_text("✓ equal to the real module’s, bit for bit")


def test_every_value_of_every_layer_was_compared():
    explorer = oe.explore_steps("tiny")
    layers = len(explorer.layer_types)
    assert explorer.equal == [[True] * len(STEPS)] * layers
    assert explorer.differences == [[0.0] * len(STEPS)] * layers


def test_what_a_value_is_made_of_comes_before_it():
    names = list(STEPS)
    for at, about in enumerate(oe.explore_steps("tiny").steps):
        assert all(names.index(read) < at for read in about["reads"]), about["name"]
        assert about["reads"] or about["name"] in ("resid_pre", "cos", "sin", "mask")


def test_every_value_is_on_the_map_and_next_leads_through_all_of_them(page: Page, publish):
    page.goto(publish(oe.explore_steps("tiny")).as_uri())
    on_map = page.locator(".oe-steps-map input")
    expect(on_map).to_have_count(len(STEPS))
    forth = page.get_by_role("button", name="Next step")
    for name in list(STEPS)[1:]:
        forth.click()
        expect(page.get_by_role("radio", name=name, exact=True)).to_be_checked()
    expect(forth).to_have_attribute("aria-disabled", "true")
    page.get_by_role("button", name="Previous step").click()
    expect(page.get_by_role("radio", name="mlp_out", exact=True)).to_be_checked()
    page.locator(".oe-steps-about").get_by_role("button", name="down_proj").click()
    expect(page.get_by_role("radio", name="down_proj", exact=True)).to_be_checked()


def test_it_begins_with_the_word_that_stands_twice():
    explorer = oe.explore_steps("tiny", "to be, or not to be, that", step="pattern")
    tokens = explorer.tokens
    twice = [at for at, token in enumerate(tokens) if token in tokens[:at]]
    assert explorer.token == twice[-1]
    first = max(at for at in range(twice[-1]) if tokens[at] == tokens[twice[-1]])
    assert explorer.number == first + 1
    once = oe.explore_steps("tiny", "one word each")
    assert (once.token, once.number) == (len(once.tokens) - 1, 0)
