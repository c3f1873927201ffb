"""What each page of the book weighs, how soon it is ready, and how fast an explorer answers.

    python benchmarks/pages.py [_build/html]

The pages are served on this machine as GitHub Pages serves them (gzip for text, the rest as it is)
and opened in Chromium with an empty cache and a processor slowed down four times, as Lighthouse
does for its phone; the network is not slowed down. One load says little: each page is opened once a
round, and the figures are the medians.
"""

import functools
import gzip
import json
import os
import re
import shutil
import statistics
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from mimetypes import guess_type
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROUNDS = 5
SLOWER = 4
KEYS = 20
CHROMIUM = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
TEXT = ("text/", "application/javascript", "application/json", "application/xml", "image/svg+xml")
CANONICAL = re.compile(r'<link rel="canonical" href="([^"]+)/book/index\.html"')

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


class Published(BaseHTTPRequestHandler):
    """Answers as GitHub Pages does: below the repository's name, 404.html for what is not there."""

    protocol_version = "HTTP/1.1"

    def __init__(self, *args, html: Path, base: str):
        self.html, self.base = html, base
        super().__init__(*args)

    def do_GET(self) -> None:
        file = self._file(unquote(urlsplit(self.path).path))
        body = _compressed(file or self.html / "404.html")
        self.send_response(200 if file else 404)
        kind = guess_type(file or "404.html")[0] or "application/octet-stream"
        if kind.startswith(TEXT) and "gzip" in self.headers.get("Accept-Encoding", ""):
            self.send_header("Content-Encoding", "gzip")
        else:
            body = gzip.decompress(body)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _file(self, path: str) -> Path | None:
        file = (self.html / path.removeprefix(self.base)).resolve()
        if file.is_dir():
            file /= "index.html"
        inside = path.startswith(self.base) and file.is_relative_to(self.html)
        return file if inside and file.is_file() else None

    def log_message(self, *args: object) -> None:
        pass


@functools.cache
def _compressed(file: Path) -> bytes:
    return gzip.compress(file.read_bytes(), compresslevel=6)


@contextmanager
def serve(html: Path) -> Iterator[str]:
    """The address of the book while it is served, on this machine only."""
    html = html.resolve()
    canonical = CANONICAL.search((html / "book" / "index.html").read_text(encoding="utf-8"))
    base = urlsplit(canonical[1]).path
    handler = functools.partial(Published, html=html, base=f"{base}/")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}{base}"
        server.shutdown()


def measure(html: Path, rounds: int = ROUNDS) -> list[dict]:
    """For each page of the book at `html`, in order of address, medians of so many loads:

    `page`; `bytes_transferred`, as they travelled, headers included; `ready_seconds` until it is
    read and its explorers are drawn, and `formulas_seconds` until its formulas are too;
    `key_to_frame_seconds`, of twenty keys a load on the first slider, None without explorer.
    """
    from playwright.sync_api import sync_playwright

    pages = sorted(
        p.relative_to(html) for f in ("book", "notebooks") for p in (html / f).glob("*.html")
    )
    executable = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with serve(html) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(CHROMIUM))
        loads = [[_load(browser, address, page) for page in pages] for _ in range(rounds)]
        browser.close()
    return [
        {"page": page.as_posix()} | _medians(of_page)
        for page, of_page in zip(pages, zip(*loads, strict=True), strict=True)
    ]


def _medians(loads: Sequence[dict]) -> dict:
    return {
        key: None if value is None else statistics.median_low(load[key] for load in loads)
        for key, value in loads[0].items()
    }


def transferred(page) -> list[int]:
    """Bytes of each answer from now on, headers included, as on a first visit; grows by itself."""
    sizes: list[int] = []
    devtools = page.context.new_cdp_session(page)
    devtools.send("Network.enable")
    devtools.send("Network.setCacheDisabled", {"cacheDisabled": True})
    devtools.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    return sizes


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
