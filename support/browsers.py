"""The browsers of the tests: Chromium and Firefox, by Playwright. For WebKit see webkit.py."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # most tests look at no page
    from playwright.sync_api import Browser, Playwright

FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")

# Before any script of a page: no other host may be asked for anything, and `faults` keeps what goes
# wrong. No driver tells all of that.
CHARSET = '<meta charset="utf-8" />'
LISTENER = """<meta http-equiv="Content-Security-Policy"
    content="default-src 'self' 'unsafe-inline' 'unsafe-eval' blob: data: file:">
<script>
var faults = [];
addEventListener("securitypolicyviolation", ({ blockedURI }) => faults.push(`asks ${blockedURI}`));
addEventListener("error", ({ message, target }) =>
    faults.push(message || `not loaded: ${target.src || target.href}`), true);
addEventListener("unhandledrejection", ({ reason }) => faults.push(`rejected: ${reason}`));
for (const level of ["error", "warn"])
    console[level] = (...words) => faults.push(`console.${level}: ${words.join(" ")}`);
</script>"""


@contextmanager
def chromium(playwright: Playwright) -> Iterator[Browser]:
    """The Chromium that CHROMIUM names, the system's, or the one that playwright installed."""
    executable = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with playwright.chromium.launch(executable_path=executable, args=list(FLAGS)) as browser:
        yield browser


@contextmanager
def firefox(playwright: Playwright) -> Iterator[Browser]:
    """The Firefox that FIREFOX names, or the system's: Mozilla's own, driven by WebDriver BiDi."""
    executable = os.environ.get("FIREFOX") or shutil.which("firefox-esr") or shutil.which("firefox")
    with playwright.firefox.launch(executable_path=executable, channel="moz-firefox") as browser:
        browser.new_context().close()  # fails where this Firefox is too old for this Playwright
        yield browser


def overhear(html: Path) -> None:
    """Puts the listener into every page of a book."""
    for page in html.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        page.write_text(text.replace(CHARSET, CHARSET + LISTENER, 1), encoding="utf-8")
