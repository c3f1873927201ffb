"""All explorers side by side, and the step explorer on its page: it answers as Python does.

The head explorer is in tests/book/test_pages.py, the others in files of their own.
"""

import random
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

import olmo_explain as oe
from olmo_explain import explorers
from olmo_explain.by_hand import STEPS
from olmo_explain.errors import OutOfRange
from olmo_explain.explorers.shared import Explorer
from olmo_explain.running import NEAR, prompt_ids

# A choice is drawn in the next frame, and may then change what the other controls allow.
DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
CLICK = """(canvas, [row, column]) => {
    const { left, top, width, height } = canvas.getBoundingClientRect();
    const clientX = left + ((column + 0.5) * width) / canvas.width;
    const clientY = top + ((row + 0.5) * height) / canvas.height;
    canvas.dispatchEvent(new MouseEvent("click", { clientX, clientY }));
}"""
TYPE = "(input, value) => { input.value = value; input.dispatchEvent(new Event('input')); }"

# What each element of the explorers looks like, but for its size, which follows from that.
LOOKS = """() => [...document.querySelectorAll('.oe *')].map((node) => {
    const style = getComputedStyle(node);
    return [node.localName, node.className.baseVal ?? node.className].concat(['display', 'position',
        'flex', 'flexFlow', 'gridTemplateAreas', 'gap', 'alignItems', 'justifyContent', 'order',
        'padding', 'margin', 'border', 'borderRadius', 'background', 'color', 'font', 'opacity',
        'whiteSpace', 'textAlign', 'overflow', 'overflowWrap', 'cursor', 'fill', 'stroke',
        'outline', 'visibility', 'zIndex', 'minHeight', 'minWidth',
        'boxShadow'].map((name) => style[name]));
})"""


@pytest.fixture
def chapter(browser, book) -> Iterator[Callable[[str], Page]]:
    page = browser.new_page(viewport={"width": 1280, "height": 900})

    def open_chapter(name: str) -> Page:
        page.goto((book.html / "notebooks" / f"{name}.html").as_uri())
        return page

    yield open_chapter
    page.close()


def slide(explorer: Locator, label: str, value: int) -> None:
    slider = explorer.get_by_label(label, exact=True)
    slider.evaluate(TYPE, value)
    explorer.page.evaluate(DRAWN)
    expect(slider).to_have_value(str(value))


def select(explorer: Locator, label: str, value: str) -> None:
    explorer.get_by_label(label, exact=True).select_option(value)
    explorer.page.evaluate(DRAWN)


def cell(explorer: Locator, row: str, column: int = 0) -> Locator:
    header = explorer.page.get_by_role("rowheader", name=row, exact=True)
    return explorer.locator("tr", has=header).locator("td").nth(column)


def test_the_step_explorer_shows_what_the_reference_computed(opened):
    widget = oe.explore_steps("tiny")
    page = opened(widget, live=False)
    model, tokenizer = oe.load("tiny", "bfloat16")
    values = oe.run_by_hand(model, prompt_ids(model, tokenizer, prompt=NEAR))
    draw = random.Random(0)
    for at in range(0, len(STEPS), 2):
        name, layer = list(STEPS)[at], draw.randrange(len(widget.layer_types))
        heads, tokens, numbers = widget.steps[at]["matrices"]
        head, token, number = map(draw.randrange, (heads, tokens, numbers))
        page.locator(".oe-layers input").nth(layer).check()
        page.get_by_role("radio", name=name, exact=True).check()
        expect(page.locator(".oe-steps h3")).to_contain_text(f"{name},")
        expect(page.locator(".oe-steps-heads")).to_be_visible(visible=heads > 1)
        if heads > 1:
            page.locator(".oe-steps-heads input").nth(head).check()
        page.locator(".oe-cells canvas").evaluate(CLICK, [token, number])
        page.evaluate(DRAWN)

        value = values[layer, name][0].bfloat16()
        if name == "z":
            value = value.transpose(0, 1)
        expected = value.reshape(heads, tokens, numbers)[head, token, number].item()
        said = str_of(expected).replace("-", "−", 1)
        if name in ("mask", "masked_scores", "pattern"):
            hidden = values[layer, "mask"][0, 0, token, number] < -1e38
            said = said if not hidden else "0, hidden" if name == "pattern" else "hidden"
        expect(page.locator(".oe-steps-value")).to_have_text(said)
        proof = page.locator(".oe-steps-proof")
        expect(proof).to_have_text("✓ equal to the real module’s, bit for bit")
        expect(page.locator(".oe-steps-about")).to_contain_text(
            " × ".join(widget.steps[at]["axes"])
        )


def str_of(value: float) -> str:
    """As JavaScript writes it."""
    text = repr(value)
    if "e" not in text:
        return text.removesuffix(".0")
    return f"{value:.25f}".rstrip("0") if abs(value) >= 1e-6 else text.replace("e-0", "e-")


@pytest.mark.parametrize(
    ("name", "selector", "label"),
    [
        ("06_positions", ".oe-rope", "Pair"),
        ("12_flops", ".oe-costs", "Positions on the axis"),
    ],
)
def test_the_keyboard_moves_every_explorer(chapter, name, selector, label):
    explorer = chapter(name).locator(selector)
    slider = explorer.get_by_label(label, exact=True)
    before, text = slider.input_value(), explorer.inner_text()
    slider.press("ArrowRight")
    expect(slider).not_to_have_value(before)
    expect(explorer).not_to_have_text(text)


def test_python_knows_the_choice_and_refuses_others():
    with pytest.raises(OutOfRange, match=r"no layer 8"):
        oe.explore_heads("tiny", layer=8)
    assert oe.explore_steps("tiny", layer=3, step="pattern").at == list(STEPS).index("pattern")


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize(
    "name",
    [
        "02_weights_on_disk",
        "05_attention",
        "06_positions",
        "11_one_head",
        "12_flops",
        "13_the_report",
    ],
)
def test_an_explorer_looks_the_same_beside_any_other(chapter, name, width):
    for door in explorers.__all__:
        getattr(explorers, door)  # it is loaded when it is asked for
    kinds = [Explorer]
    for kind in kinds:
        kinds += kind.__subclasses__()
    said = [vars(kind).get("_css") for kind in kinds]  # of an explorer that was made, a trait
    sheets = {css for css in said if isinstance(css, str)}
    assert len(sheets) == 7
    page = chapter(name)
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(reduced_motion="reduce")
    page.locator(".oe").first.scroll_into_view_if_needed()
    page.evaluate(DRAWN)
    before = page.evaluate(LOOKS)
    assert before
    page.add_style_tag(content="\n".join(sorted(sheets)))
    page.evaluate(DRAWN)
    assert page.evaluate(LOOKS) == before
