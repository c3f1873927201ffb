"""The head explorer: what its page shows with heads on and off, and where a head lies."""

import re
from contextlib import ExitStack

import numpy as np
import pytest
import torch
import traitlets
from playwright.sync_api import Locator, Page, expect
from support.checkpoints import write_random

import olmo_explain as oe
from olmo_explain.checkpoint import PROJECTIONS, read_head
from olmo_explain.explorers.looking import SCORES, Seen
from olmo_explain.running import FAR, NEAR, attention_patterns, prompt_ids

LAYER, HEAD = 7, 0  # of tiny: it copies what followed before


@pytest.fixture(scope="module")
def explorer():
    return oe.explore_heads("tiny", layer=LAYER, head=HEAD)


def shares(tiny, text: str, off=()) -> torch.Tensor:
    """What the real module expects behind each token: (T, V)."""
    model, ids = tiny[0], prompt_ids(*tiny, text)
    with torch.no_grad(), ExitStack() as silence:
        for layer, head in off:
            silence.enter_context(oe.ablate_head(model, layer, head))
        return model(ids, use_cache=False).logits[0].softmax(-1)


def bars(page: Page) -> dict[str, float]:
    rows = page.locator(".oe-bars li:not(.oe-empty)")
    return {
        row.locator("code").inner_text(): float(row.locator(".oe-share").inner_text().rstrip("%"))
        for row in rows.all()
    }


def flip(page: Page) -> Locator:
    return page.locator(".oe-heads-next .oe-primary")


def check_bars(page: Page, tiny, expected: torch.Tensor) -> None:
    best = expected.topk(5)
    names = [tiny[1].decode(at).replace(" ", "␣").replace("\n", "↵") for at in best.indices]
    for at, name in enumerate(names):
        expect(page.locator(".oe-bars code").nth(at)).to_have_text(name)
    shown = bars(page)
    assert list(shown)[:5] == names
    for name, share in zip(names, best.values.tolist(), strict=True):
        assert shown[name] == pytest.approx(100 * share, abs=0.06)


# -- on and off -----------------------------------------------------------------------------------


def test_at_rest_a_page_shows_what_python_saved_and_loads_no_model(opened, explorer, tiny, asked):
    page = opened(explorer)
    check_bars(page, tiny, shares(tiny, NEAR)[-1])
    for query in (3, 0):
        page.locator(".oe-chips input").nth(query).check()
        expect(page.locator(".oe-title")).to_contain_text("after")
        check_bars(page, tiny, shares(tiny, NEAR)[query])
    assert asked == []


def test_a_head_that_is_off_changes_the_bars_as_ablate_head_says(opened, explorer, tiny):
    page = opened(explorer)
    before, now = (shares(tiny, NEAR, off)[-1] for off in ([], [(LAYER, HEAD)]))
    word = int(before.argmax())
    expect(flip(page)).to_have_text(f"Switch head {LAYER}.{HEAD} off")
    flip(page).click()
    expect(flip(page)).to_have_text(f"Switch head {LAYER}.{HEAD} on")
    said = page.locator(".oe-readout")
    one, other = (f"{100 * each[word]:.1f}%" for each in (before, now))
    expect(said).to_contain_text(f"goes from {one} to {other}")
    expect(said).to_contain_text("It still looks, but nothing of it is passed on.")
    check_bars(page, tiny, now)
    tile = page.get_by_role("radio", name=f"Layer {LAYER}, head {HEAD}, off", exact=True)
    expect(tile).to_be_checked()
    tick = page.locator(".oe-bars li").first.locator("b")
    assert float(re.search(r"([\d.]+)%", tick.get_attribute("style"))[1]) == pytest.approx(
        100 * before[int(now.argmax())].item(), abs=0.01
    )
    flip(page).click()
    check_bars(page, tiny, before)


def test_a_head_below_changes_the_patterns_above_it(opened, tiny):
    page = opened(oe.explore_heads("tiny", FAR, layer=2, head=0))
    layer, last = 7, len(tiny[1](FAR)["input_ids"]) - 1
    flip(page).click()
    with oe.ablate_head(tiny[0], 2, 0):
        pattern = attention_patterns(tiny[0], prompt_ids(*tiny, FAR))[layer, 0, HEAD, last]
    expect(flip(page)).to_have_text("Switch head 2.0 on")
    page.get_by_role("radio", name=f"Layer {layer}, head {HEAD}", exact=True).check()
    expect(page.locator(".oe-readout")).to_contain_text(f" {100 * pattern.max():.1f}%")


def test_python_switches_heads_off(tiny):
    explorer = oe.explore_heads("tiny")
    before = explorer.patterns
    explorer.off = [[2, 0], [LAYER, HEAD]]
    assert explorer.off_shown == explorer.off
    now = np.frombuffer(explorer.next_shares, "<f4").reshape(len(explorer.ids), -1, 2)
    whole, left = shares(tiny, NEAR), shares(tiny, NEAR, explorer.off)
    best = left.topk(6).values
    assert now[:, :6, 1] == pytest.approx(best.numpy(), abs=1e-6)
    assert now[:, 6, 0] == pytest.approx(whole.max(-1).values.numpy(), abs=1e-6)
    with oe.ablate_head(tiny[0], 2, 0), oe.ablate_head(tiny[0], LAYER, HEAD):
        patterns = attention_patterns(tiny[0], prompt_ids(*tiny, NEAR))[:, 0]
    found = np.frombuffer(explorer.patterns, "<u2") / 65_535
    assert found == pytest.approx(patterns.numpy().ravel(), abs=1e-5)
    for name, scores in zip(("induction", "previous"), _scores(explorer), strict=True):
        expected = SCORES[name](patterns, Seen(), explorer.ids).numpy().ravel()
        assert scores == pytest.approx(expected, abs=1e-6)
    explorer.text = "To be, or not to be"
    assert len(explorer.next_tokens) == len(explorer.tokens)
    explorer.text, explorer.off = NEAR, []
    assert explorer.patterns == before


def _scores(explorer) -> np.ndarray:
    return np.frombuffer(explorer.scores, "<f4").reshape(2, -1)


@pytest.mark.parametrize("off", [[[8, 0]], [[0, 4]], [[0]], [[0, 1, 2]], [[0, -1]]])
def test_heads_that_the_model_does_not_have_are_refused(off):
    explorer = oe.explore_heads("tiny", "To be")
    before = explorer.patterns
    with pytest.raises(traitlets.TraitError) as raised:
        explorer.off = off
    assert "\n" not in str(raised.value)
    assert (explorer.off, explorer.patterns) == ([], before)


def test_token_ids_and_no_prompt_can_be_switched_too():
    explorer = oe.explore_heads("tiny", [5, 6, 7])
    before = explorer.next_shares
    explorer.off = [[0, 0]]
    assert explorer.next_shares != before
    norms = oe.explore_heads("tiny", None)
    norms.off = [[0, 0]]
    assert norms.next_tokens == [] and norms.colour == "norm"


def test_a_page_that_has_no_such_model_says_so_and_takes_it_back(opened, tmp_path):
    write_random(tmp_path)
    page = opened(oe.explore_heads(tmp_path, [1, 2, 3]))
    flip(page).click()
    expect(page.locator(".oe-heads-next")).to_contain_text("open the notebook in JupyterLab")
    expect(flip(page)).to_have_text(re.compile("off$"))


# -- the row to begin with ------------------------------------------------------------------------


def test_it_begins_with_a_token_for_which_the_head_finds_something(tiny):
    text = f"{NEAR} and now"
    explorer = oe.explore_heads("tiny", text, layer=LAYER, head=HEAD)
    ids = prompt_ids(*tiny, text)
    pattern = attention_patterns(tiny[0], ids)[LAYER, 0, HEAD]
    ids = ids[0].tolist()
    found = [
        sum(pattern[q, k + 1].item() for k in range(q) if ids[k] == ids[q]) for q in range(len(ids))
    ]
    assert max(found) > 0.5 and found[-1] == 0
    assert explorer.query == int(np.argmax(found))
    once = oe.explore_heads("tiny", "one word each")
    assert once.query == len(once.tokens) - 1


# -- where it lies --------------------------------------------------------------------------------


def test_slices_norms_and_pieces_are_those_of_the_checkpoint(opened, tmp_path):
    write_random(tmp_path, num_key_value_heads=2)
    page = opened(oe.explore_heads(tmp_path, [1, 2, 3], layer=1, head=3), live=False)
    head, checkpoint = read_head(tmp_path, 1, 3), oe.Checkpoint(tmp_path)
    for name, part in head.slices.items():
        card = page.locator(".oe-slice", has=page.get_by_text(name, exact=True))
        place = checkpoint.locate(part.tensor, **part.chosen())
        many = len(place.byte_ranges)
        expect(card.locator("dt").first).to_have_text(("Rows", "Columns")[part.axis])
        expect(card.locator("dd")).to_have_text(
            [
                f"{part.start} to {part.stop - 1}",
                f"{head.norms[name]:.4f}",
                f"{many:,} × {place.bytes_needed // many:,} B",
            ]
        )
    expect(page.locator(".oe-slices")).to_contain_text("2 heads share the rows")


def test_the_pictures_of_the_matrices_are_means_of_the_weights(explorer):
    weights = np.frombuffer(explorer.weights, "u1").reshape(len(PROJECTIONS), -1, 32, 32)
    strongest = np.frombuffer(explorer.strongest, "<f4").reshape(len(PROJECTIONS), -1)
    checkpoint = oe.Checkpoint("tiny")
    for at, name in enumerate(PROJECTIONS):
        weight = np.abs(checkpoint.read(f"model.layers.5.self_attn.{name}.weight"))
        means = weight.reshape(32, 4, 32, 4).mean((1, 3))
        drawn = weights[at, 5] / 255 * strongest[at, 5]
        assert drawn == pytest.approx(means, abs=float(means.max()) / 400)


def test_without_a_prompt_it_is_norms_and_frames_alone(opened):
    page = opened(oe.explore_heads("tiny", None, layer=2, head=1), live=False)
    norms = oe.head_norms("tiny")
    tile = page.get_by_role("radio", name=f"Layer 2, head 1: {norms['q_proj'][2, 1]:.2f}")
    expect(tile).to_be_checked()
    page.get_by_role("radio", name="v_proj").check()
    expect(
        page.get_by_role("radio", name=f"Layer 2, head 1: {norms['v_proj'][2, 1]:.2f}")
    ).to_be_checked()
    expect(page.locator(".oe-heads")).to_contain_text("Give a prompt to see")
    expect(page.locator(".oe-slice .oe-frame")).to_have_count(4)
    expect(page.locator(".oe-slices")).to_contain_text("no weight is drawn")


# -- at every width -------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [320, 390, 616, 640, 900, 1200, 1920])
def test_nothing_collapses_at_any_width(opened, explorer, page, width):
    page.set_viewport_size({"width": width, "height": 900})
    opened(explorer, live=False)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for bar in page.locator(".oe-slice .oe-track i").all():
        assert bar.bounding_box()["width"] > 40
    for picture in page.locator(".oe-slice .oe-matrix, .oe-heads-pattern .oe-matrix").all():
        box = picture.bounding_box()
        assert box["width"] == pytest.approx(box["height"], rel=0.02) and box["width"] > 80
    for text in page.locator(".oe-segments span:visible").all():
        assert text.evaluate("node => node.scrollWidth <= node.clientWidth"), text.inner_text()


def test_on_a_phone_switch_and_bars_are_on_one_screen(opened, explorer, page):
    page.set_viewport_size({"width": 390, "height": 844})
    opened(explorer, live=False)
    top = flip(page).bounding_box()["y"]
    bar = page.locator(".oe-bars li:not(.oe-empty)").last.bounding_box()
    assert bar["y"] + bar["height"] - top < 844 / 2
    expect(page.locator(".oe-heads-row .oe-tile:visible")).to_have_count(4)  # of one layer


def test_of_many_heads_a_grid_is_painted(opened, tmp_path):
    write_random(
        tmp_path,
        num_hidden_layers=8,
        num_attention_heads=16,
        num_key_value_heads=16,
        head_dim=8,
        layer_types=["full_attention"] * 8,
    )
    page = opened(oe.explore_heads(tmp_path, [1, 2, 1, 2], layer=3, head=5), live=False)
    grid = page.locator(".oe-heads-all .oe-matrix")
    grid.press("ArrowDown")
    expect(page.get_by_role("heading", name="Layer 4, head 5")).to_be_visible()
    grid.press("ArrowLeft")
    expect(page.get_by_role("heading", name="Layer 4, head 4")).to_be_visible()
    expect(page.locator(".oe-heads-row .oe-tile:visible")).to_have_count(16)


def test_arrow_keys_move_among_heads_and_tokens(opened, explorer):
    page = opened(explorer, live=False)
    page.get_by_role("radio", name="Layer 7, head 0", exact=True).press("ArrowUp")
    expect(page.get_by_role("heading", name="Layer 6, head 0")).to_be_visible()
    page.get_by_role("radio", name="Layer 6, head 0", exact=True).press("ArrowRight")
    expect(page.get_by_role("heading", name="Layer 6, head 1")).to_be_visible()
    page.get_by_role("button", name="Earlier token").click()
    expect(page.locator(".oe-chips input").nth(9)).to_be_checked()
    page.locator(".oe-heads-pattern .oe-matrix").press("ArrowUp")
    expect(page.locator(".oe-chips input").nth(8)).to_be_checked()
