"""What each page of the book weighs, how soon it is ready, and how fast an explorer answers.

    python -m benchmarks.pages [_build/html]

The pages are served on this machine as GitHub Pages serves them (gzip for text, the rest as it is)
and opened in Chromium with an empty cache and a processor slowed down four times, as Lighthouse
does for its phone; the network is not slowed down. One load says little: each page is opened once a
round, and the figures are the medians.
"""

import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import sync_playwright
from support.browsers import chromium
from support.site import serve, transferred

ROUNDS = 5
SLOWER = 4
KEYS = 20

# All is read, and each saved widget has been drawn: the time since the page was asked for.
READY = """() => new Promise((done) => {
    const views = () => [...document.querySelectorAll('script[type$="widget-view+json"]')];
    const drawn = () => document.readyState !== 'loading'
        && views().every((view) => view.nextElementSibling?.childElementCount);
    const look = () => drawn() ? done(performance.now()) : requestAnimationFrame(look);
    look();
})"""
FORMULAS = "() => Promise.resolve(window.MathJax?.startup?.promise).then(() => performance.now())"
# From the key to the end of the frame in which the explorer draws what it changed.
TIME_KEYS = """(slider) => {
    window.keyTimes = [];
    slider.addEventListener('keydown', (event) => requestAnimationFrame(() => {
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = () => keyTimes.push(performance.now() - event.timeStamp);
        port2.postMessage(null);
    }));
}"""


def measure(html: Path, rounds: int = ROUNDS) -> list[dict]:
    """For each page of the book at `html`, in order of address, medians of so many loads:

    `page`; `bytes_transferred`, as they travelled, headers included; `ready_seconds` until it is
    read and its explorers are drawn, and `formulas_seconds` until its formulas are too;
    `key_to_frame_seconds`, of twenty keys a load on the first slider, None without explorer.
    """
    pages = sorted(
        p.relative_to(html) for f in ("book", "notebooks") for p in (html / f).glob("*.html")
    )
    with serve(html) as address, sync_playwright() as playwright, chromium(playwright) as browser:
        loads = [[_load(browser, address, page) for page in pages] for _ in range(rounds)]
    return [
        {"page": page.as_posix()} | _medians(of_page)
        for page, of_page in zip(pages, zip(*loads, strict=True), strict=True)
    ]


def _medians(loads: Sequence[dict]) -> dict:
    return {
        key: None if value is None else statistics.median_low(load[key] for load in loads)
        for key, value in loads[0].items()
    }


def _load(browser, address: str, name: Path) -> dict:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    sizes = transferred(page)
    context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
    page.goto(f"{address}/{name.as_posix()}", wait_until="commit")
    ready = page.evaluate(READY)
    page.wait_for_load_state("load")
    formulas = page.evaluate(FORMULAS)
    page.wait_for_load_state("networkidle")
    answer = _key_to_frame(page)
    context.close()
    return {
        "bytes_transferred": int(sum(sizes)),
        "ready_seconds": round(ready / 1000, 3),
        "formulas_seconds": round(formulas / 1000, 3),
        "key_to_frame_seconds": answer,
    }


def _key_to_frame(page) -> float | None:
    slider = page.locator(".oe input[type=range]").first
    if not slider.count():
        return None
    slider.evaluate(TIME_KEYS)
    for at in range(KEYS):
        slider.press("ArrowRight" if at % 4 < 2 else "ArrowLeft")
        page.wait_for_function("(n) => keyTimes.length > n", arg=at)
    return round(statistics.median(page.evaluate("keyTimes")) / 1000, 4)


if __name__ == "__main__":
    print(json.dumps(measure(Path(*sys.argv[1:2] or ["_build/html"])), indent=2))
