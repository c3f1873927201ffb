"""Explorers that need no more of the reader's sentence than its tokens: rows and lengths."""

import pytest
from playwright.sync_api import expect

import olmo_explain as oe
from olmo_explain.checkpoint import preset

OWN = "What news from France? I say, what news from"
TYPED = "(field, text) => { field.value = text; field.dispatchEvent(new Event('input')); }"


@pytest.mark.parametrize(
    ("explore", "label", "own", "chapters", "at_once"),
    [
        (oe.explore_rope, "Position", "10", "1000", False),
        (oe.explore_costs, "Positions", "11", "4096", True),
    ],
    ids=["rope", "costs"],
)
def test_length_is_offered_and_leads_back(known, explore, label, own, chapters, at_once):
    page, urls = known(explore(), text=OWN), []
    page.on("request", lambda sent: urls.append(sent.url))
    control, line = page.get_by_label(label, exact=True), page.locator(".oe-sentence-length")
    expect(line).to_contain_text("Your sentence has 11 tokens")
    expect(control).to_have_value(own if at_once else chapters)
    if not at_once:
        line.get_by_role("button", name=f"Yours: {own}").click()
        expect(control).to_have_value(own)
    line.get_by_role("button", name=f"The chapter’s: {int(chapters):,}").click()
    expect(control).to_have_value(chapters)
    line.get_by_role("button", name=f"Yours: {own}").click()
    expect(control).to_have_value(own)
    page.evaluate("olmo.sentence.forget()")
    expect(control).to_have_value(chapters)
    expect(line).to_be_hidden()
    assert not any("/tiny" in url for url in urls)


def test_another_tab_is_heard(known):
    page = known(oe.explore_rope(), text=OWN)
    other = page.context.new_page()
    other.goto(page.url)
    page.get_by_role("button", name="Yours: 10").click()
    expect(page.get_by_label("Position", exact=True)).to_have_value("10")
    expect(other.get_by_label("Position", exact=True)).to_have_value("1000")
    other.evaluate("olmo.sentence.set('To be', [1, 2])")
    page.bring_to_front()  # a tab behind another may draw no frame
    expect(page.get_by_label("Position", exact=True)).to_have_value("1")
    other.evaluate("olmo.sentence.forget()")
    expect(page.get_by_label("Position", exact=True)).to_have_value("1000")


def test_tokens_lead_to_their_rows_and_back(known, tiny):
    page = known(oe.explore_bytes("tiny"), text=OWN)
    data = (preset("tiny").directory / "model.safetensors").read_bytes()
    start = oe.Checkpoint("tiny").tensor("model.embed_tokens.weight").start
    tokens, row = page.get_by_role("toolbar"), page.get_by_label("Row", exact=True)
    page.get_by_label("Tensor", exact=True).select_option("model.layers.0.mlp.down_proj.weight")
    row.evaluate(TYPED, 5)
    ids = tiny[1](OWN)["input_ids"]
    saved = next(at for at, token in enumerate(ids) if token < 128)
    farther = max(range(len(ids)), key=lambda at: ids[at])
    for at in (saved, farther):
        tokens.get_by_role("button").nth(at).click()
        expect(row).to_have_value(str(ids[at]))
        expect(page.get_by_label("Tensor", exact=True)).to_have_value("model.embed_tokens.weight")
        shown = page.locator(".oe-bytes-dump .oe-chosen code").all_inner_texts()
        place = start + ids[at] * 128 * 2
        assert bytes.fromhex("".join(shown)) == data[place : place + 2]
    first = ids[farther] - 64  # the row is in the middle of those that are drawn
    expect(page.locator(".oe-bytes")).to_contain_text(
        f"rows {first:,} to {first + 127:,} are drawn"
    )
    page.keyboard.press("Home")
    expect(tokens.get_by_role("button").first).to_be_focused()
    page.get_by_role("button", name="Back to row 5").click()
    expect(row).to_have_value("5")
    expect(page.get_by_label("Tensor", exact=True)).to_have_value(
        "model.layers.0.mlp.down_proj.weight"
    )


def test_without_a_sentence_they_show_the_chapters(opened, asked):
    page = opened(oe.explore_bytes("tiny"), oe.explore_rope(), oe.explore_costs())
    page.wait_for_load_state("networkidle")
    expect(page.get_by_role("toolbar")).to_have_count(0)
    expect(page.locator(".oe-sentence-length:visible")).to_have_count(0)
    expect(page.get_by_label("Position", exact=True)).to_have_value("1000")
    assert asked == []
