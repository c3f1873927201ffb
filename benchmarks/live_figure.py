"""tiny in the page: its engine beside PyTorch on the same tokens, and how soon the figure answers.

The figure is that of the front page, on a sentence of 42 tokens, in Chromium with the processor as
it is and slowed down four times, as Lighthouse does for its phone.
"""

import statistics
import time

import torch
from playwright.sync_api import Browser, Page, sync_playwright
from support.browsers import chromium
from support.site import serve

from benchmarks.frame import Plan, Row, Subject, Times, tell
from benchmarks.pages import SLOWER
from olmo_explain.by_hand import run_by_hand
from olmo_explain.explorers import explore_model
from olmo_explain.running import load

TITLE = "tiny in the page: its engine beside PyTorch, and the live figure, in Chromium"
FRONT, FIGURE = "book/index.html", ".oe-model"
TOKENS = 64
PRESSES = 20

# Of so many tokens nothing is remembered: the first is another one.
RUN = """async (ids) => {
    const { session } = await olmo.open();
    session.logits([ids[0] ? 0 : 1]);
    const start = performance.now();
    session.logits(ids);
    return performance.now() - start;
}"""
ONE_MORE = """async (ids) => {
    const { session } = await olmo.open();
    session.logits(ids.slice(0, -1));
    const start = performance.now();
    session.logits(ids);
    return performance.now() - start;
}"""
# From the event to the end of the frame in which the figure draws what it changed.
TIME = """([selector, event]) => {
    window.times = [];
    const timed = (fired) => requestAnimationFrame(() => {
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = () => times.push(performance.now() - fired.timeStamp);
        port2.postMessage(null);
    });
    document.querySelector(selector).addEventListener(event, timed, true);
}"""


def measure(plan: Plan) -> Subject:
    subject = Subject("live", TITLE)
    if plan.html is None or not (plan.html / "index.html").is_file():
        subject.skipped.append("the page: make book builds the book first")
        return subject
    with (
        serve(plan.html) as address,
        sync_playwright() as playwright,
        chromium(playwright) as browser,
    ):
        tell("live: the engine")
        page = browser.new_page()
        page.goto(f"{address}/{FRONT}")
        subject.rows.extend(engine(page, plan))
        page.close()
        for slower in (1, SLOWER):
            tell(f"live: the figure, {slower} times slower")
            subject.rows.extend(figure(browser, address, slower, plan))
    return subject


def engine(page: Page, plan: Plan) -> list[Row]:
    """The same forward pass in turn: transformers' module, by hand, and in the page."""
    model, _ = load("tiny", "float32")
    ids = list(range(5, 5 + TOKENS))
    tensor = torch.tensor([ids])

    def seconds(run) -> float:
        start = time.perf_counter()
        run()
        return time.perf_counter() - start

    found: dict[str, list[float]] = {}
    with torch.no_grad():
        for _ in range(plan.rounds + 1):
            for name, value in (
                ("PyTorch, the real module", seconds(lambda: model(tensor, use_cache=False))),
                ("PyTorch, by hand", seconds(lambda: run_by_hand(model, tensor))),
                ("the page's engine", page.evaluate(RUN, ids) / 1e3),
                ("the page's engine, one token more", page.evaluate(ONE_MORE, ids) / 1e3),
            ):
                found.setdefault(name, []).append(value)
    times = Times({name: values[1:] for name, values in found.items()})  # the first warms up
    return times.rows(f"tiny, {TOKENS} positions, float32")


def figure(browser: Browser, address: str, slower: int, plan: Plan) -> list[Row]:
    """A letter typed, and a head of layer 0 switched off and on, to the frame that shows it."""
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(f"{address}/{FRONT}")
    field = page.locator(f"{FIGURE} textarea")
    field.fill(explore_model("tiny").apart[2])  # its halves 38 tokens apart
    page.wait_for_function("() => document.querySelectorAll('.oe-chips input').length > 40")
    page.locator(f"{FIGURE} .oe-model-layerline input").first.check()
    devtools = page.context.new_cdp_session(page)
    devtools.send("Emulation.setCPUThrottlingRate", {"rate": slower})
    presses = 4 if plan.quick else PRESSES

    page.evaluate(TIME, [f"{FIGURE} textarea", "keydown"])
    field.focus()
    for at in range(presses):
        page.keyboard.press("Backspace" if at % 2 else "s")
        page.wait_for_function("(n) => times.length > n", arg=at)
    keys = page.evaluate("times")

    page.evaluate(TIME, [f"{FIGURE} .oe-model-switch", "click"])
    for at in range(presses):
        page.locator(f"{FIGURE} .oe-model-switch").first.click()
        page.wait_for_function("(n) => times.length > n", arg=at)
    clicks = page.evaluate("times")
    page.close()
    of = "42 tokens" + ("" if slower == 1 else f", {slower} times slower")
    return [
        Row("key to frame", of, statistics.median(keys), "ms", rounds=presses),
        Row(
            "switch of a head in layer 0 to frame",
            of,
            statistics.median(clicks),
            "ms",
            rounds=presses,
        ),
    ]
