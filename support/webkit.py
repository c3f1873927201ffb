"""WebKit, the engine of Safari and of every browser on an iPhone, in tests.

Playwright drives only a WebKit of its own making. This one is Debian's: MiniBrowser, on a screen
that nobody sees, driven by WebDriver (https://www.w3.org/TR/webdriver2). What its pages and
locators can be asked bears Playwright's names, waits as Playwright does and raises its Error, so
that a test is written once for every engine; but a locator takes CSS alone.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import requests
from playwright.sync_api import Error, ViewportSize

T = TypeVar("T")

PATIENCE = 10.0  # seconds for what a page, or a program that starts, may be late with

SCREEN = ("Xvfb", "-displayfd", "1", "-screen", "0", "1600x1200x24", "-nolisten", "tcp")

# An expression, or a function that is called; what it gives is awaited.
EVALUATE = """const [script, ...given] = arguments;
const done = given.pop();
(async () => {
    const value = (0, eval)(`(${script})`);
    return typeof value === "function" ? value(...given) : value;
})().then((value) => done({ value }), (fault) => done({ fault: String(fault) }));"""
FILL = """(field, text) => {
    field.focus();
    field.select();
    document.execCommand(text ? "insertText" : "delete", false, text);
}"""

# https://www.w3.org/TR/webdriver2/#keyboard-actions
KEYS = {
    "Backspace": "\ue003",
    "Tab": "\ue004",
    "Enter": "\ue007",
    "Escape": "\ue00c",
    "End": "\ue010",
    "Home": "\ue011",
    "ArrowLeft": "\ue012",
    "ArrowUp": "\ue013",
    "ArrowRight": "\ue014",
    "ArrowDown": "\ue015",
    "Delete": "\ue017",
}


class WebKit:
    """Opens pages, each in a driver and a MiniBrowser of its own, which know nothing of another."""

    def __init__(self, environment: Mapping[str, str], until_the_end: ExitStack):
        self._environment, self._until_the_end = environment, until_the_end

    def new_page(self, *, viewport: ViewportSize) -> Page:
        try:
            return self._new_page(viewport)
        except requests.Timeout:  # of some hundred drivers one never answers: the next does
            return self._new_page(viewport)

    def _new_page(self, viewport: ViewportSize) -> Page:
        running = self._until_the_end.enter_context(ExitStack())
        # One driver for several pages, one after the other, hung in one of thirty.
        page = Page(running.enter_context(_driver(self._environment)), running.close)
        # A window is kept wider than a phone by its buttons. A popup has none.
        page.evaluate("() => void open('about:blank', '', 'popup')")
        (popup,) = {*page.ask("GET", "window/handles")} - {page.ask("GET", "window")}
        page.ask("POST", "window", {"handle": popup})
        page.set_viewport_size(viewport)
        return page


class Page:
    """A page of Playwright, as much of it as tests of every engine need."""

    def __init__(self, address: str, close: Callable[[], None]):
        self.close = close
        flags = ["--automation", "--javascript-can-open-windows-automatically=true"]
        wanted = {"alwaysMatch": {"webkitgtk:browserOptions": {"args": flags}}}
        started = _ask("POST", f"{address}/session", {"capabilities": wanted})
        self._session = f"{address}/session/{started['sessionId']}"

    def ask(self, method: str, what: str, body: object = None) -> Any:
        """What WebDriver's command answers."""
        return _ask(method, f"{self._session}/{what}", body)

    def goto(self, url: str) -> None:
        """Opens an address, and returns when all that the page asks for is loaded."""
        self.ask("POST", "url", {"url": url})

    def set_viewport_size(self, viewport_size: ViewportSize) -> None:
        self.ask("POST", "window/rect", {"x": 0, "y": 0, **viewport_size})
        wanted = [viewport_size["width"], viewport_size["height"]]
        self.wait_for_function("([w, h]) => innerWidth === w && innerHeight === h", wanted)

    def evaluate(self, expression: str, arg: object = None) -> Any:
        return self.call(expression, arg)

    def call(self, script: str, *given: object) -> Any:
        """What a function of the page gives to these arguments, of which one may be an element."""
        answer = self.ask("POST", "execute/async", {"script": EVALUATE, "args": [script, *given]})
        if "fault" in answer:
            raise Error(answer["fault"])
        return answer.get("value")

    def wait_for_function(self, expression: str, arg: object = None) -> None:
        def hold() -> None:
            if not self.evaluate(expression, arg):
                raise Error(f"Not so after {PATIENCE} s: {expression}")

        self.patiently(hold)

    def patiently(self, act: Callable[[], T]) -> T:
        """Tries again until there is no Error, or patience has an end."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return act()
            except Error:
                if time.monotonic() > until:
                    raise
                time.sleep(0.01)

    def locator(self, selector: str) -> Locator:
        return Locator(self, selector)

    def type(self, keys: str) -> None:
        """Presses and releases one key after the other, wherever the focus is."""
        pressed = [{"type": done, "value": key} for key in keys for done in ("keyDown", "keyUp")]
        self.ask("POST", "actions", {"actions": [{"type": "key", "id": "1", "actions": pressed}]})

    def screenshot(self, *, path: str | Path) -> None:
        """What the window shows, as PNG."""
        Path(path).write_bytes(b64decode(self.ask("GET", "screenshot")))


class Locator:
    """The element that a CSS selector finds, or one of several by its number."""

    def __init__(self, page: Page, selector: str, at: int | None = None):
        self._page, self._selector, self._at = page, selector, at

    @property
    def first(self) -> Locator:
        return self.nth(0)

    def nth(self, index: int) -> Locator:
        return Locator(self._page, self._selector, index)

    def count(self) -> int:
        return len(self._all())

    def click(self) -> None:
        """Clicks as soon as the element can be seen, and nothing lies over it."""
        self._page.patiently(
            lambda: self._page.ask("POST", f"element/{_id(self._one())}/click", {})
        )

    def focus(self) -> None:
        self.evaluate("(element) => element.focus()")

    def press(self, key: str) -> None:
        if len(key) > 1 and key not in KEYS:
            raise Error(f"No key is called {key} here: one character, or one of {', '.join(KEYS)}")
        self.focus()
        self._page.type(KEYS.get(key, key))

    def press_sequentially(self, text: str) -> None:
        self.focus()
        self._page.type(text.replace("\n", KEYS["Enter"]))

    def fill(self, value: str) -> None:
        self.evaluate(FILL, value)

    def inner_text(self) -> str:
        return self.evaluate("(element) => element.innerText")

    def input_value(self) -> str:
        return self.evaluate("(element) => element.value")

    def evaluate(self, expression: str, arg: object = None) -> Any:
        return self._page.call(expression, self._page.patiently(self._one), arg)

    def _all(self) -> list[dict[str, str]]:
        return self._page.evaluate("(css) => [...document.querySelectorAll(css)]", self._selector)

    def _one(self) -> dict[str, str]:
        found = self._all()
        at = self._at or 0
        if len(found) <= at or (self._at is None and len(found) > 1):
            raise Error(f"{len(found)} elements are found by {self._selector}")
        return found[at]


def _id(element: dict[str, str]) -> str:
    (reference,) = element.values()
    return reference


def _ask(method: str, address: str, body: object = None) -> Any:
    with requests.Session() as http:
        http.trust_env = False  # no proxy stands between
        answer = http.request(method, address, json=body, timeout=60)
    value = answer.json()["value"]
    if not answer.ok:
        raise Error(f"{value['error']}: {value['message']}")
    return value


@contextmanager
def webkit() -> Iterator[WebKit]:
    """The engine, until the block ends. OSError: a program is not installed, or does not start."""
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home,
        _running(*SCREEN, stdout=subprocess.PIPE) as screen,
        ExitStack() as until_the_end,
    ):
        display = screen.stdout.readline().decode().strip()  # is said when it is ready
        environment = {
            "HOME": home,
            "DISPLAY": f":{display}",
            "GDK_BACKEND": "x11",
            # As Chromium's --no-sandbox: root has none, and it opens our own pages only.
            "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1",
        }
        with _driver(environment):  # there is one
            pass
        yield WebKit(environment, until_the_end)


@contextmanager
def _driver(environment: Mapping[str, str]) -> Iterator[str]:
    """The address at which a driver listens, until the block ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address, until = f"http://127.0.0.1:{port}", time.monotonic() + PATIENCE
    command = ["WebKitWebDriver", f"--port={port}"]
    with _running(*command, env=os.environ | environment) as driver:
        while True:
            try:
                _ask("GET", f"{address}/status")
                break
            except requests.ConnectionError:
                if driver.poll() is not None or time.monotonic() > until:
                    raise
                time.sleep(0.02)
        yield address


@contextmanager
def _running(*command: str, **options: Any) -> Iterator[subprocess.Popen]:
    """A program and all that it starts, until the block ends."""
    options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL} | options
    with subprocess.Popen(command, start_new_session=True, **options) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
