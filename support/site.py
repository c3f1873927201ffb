"""The built book, served as GitHub Pages serves it."""

from __future__ import annotations

import functools
import gzip
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from mimetypes import guess_type
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:  # most tests look at no page
    from playwright.sync_api import Page

TEXT = ("text/", "application/javascript", "application/json", "application/xml", "image/svg+xml")
CANONICAL = re.compile(r'<link rel="canonical" href="([^"]+)/book/index\.html"')


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


def transferred(page: Page) -> list[int]:
    """Bytes of each answer from now on, headers included, as on a first visit; grows by itself."""
    sizes: list[int] = []
    inside: set[str] = set()  # what a file holds as a data: URL came with that file
    devtools = page.context.new_cdp_session(page)
    devtools.send("Network.enable")
    devtools.send("Network.setCacheDisabled", {"cacheDisabled": True})

    def asked(event: dict) -> None:
        if event["request"]["url"].startswith("data:"):
            inside.add(event["requestId"])

    def loaded(event: dict) -> None:
        if event["requestId"] not in inside:
            sizes.append(event["encodedDataLength"])

    devtools.on("Network.requestWillBeSent", asked)
    devtools.on("Network.loadingFinished", loaded)
    return sizes
