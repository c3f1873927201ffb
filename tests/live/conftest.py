"""A page with the model in it, as the book has it, and a way to get many numbers out of it."""

import http.server
import shutil
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from playwright.sync_api import Locator, Page, expect
from safetensors.torch import save
from sphinx.cmd.build import build_main
from support.figure import page_of
from torch import Tensor, nn

from olmo_explain.by_hand import Activations
from olmo_explain.checkpoint import OlmoConfig, config_of
from olmo_explain.live import engine, exported_faults

HOST = Path(__file__).parents[2] / "book" / "_static" / "widget-host.js"
EXTENSIONS = Path(__file__).parents[2] / "book" / "_ext"

# Each session is kept on the page under a name, so that a test can ask it again.
OPEN = """async ({name, engine, config, weights, faults}) => {
    const live = new Function(`${engine} return live`)();
    const bytes = live.fromBase64(weights);
    sessions[name] = new live.Session(config, live.readSafetensors(bytes), faults);
}"""
VALUES = """async ({name, places, ids, asked}) => {
    const values = places.map(([layer, value]) => sessions[name].value(ids, layer, value, asked));
    await fetch("/values", { method: "POST", body: new Blob(values.map(({ data }) => data)) });
    return values.map(({ shape }) => shape);
}"""


class Receiving(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and keeps what is posted: JSON would take ten times as long."""

    def __init__(self, *args: Any, posted: list[bytes], **options: Any):
        self.posted = posted
        super().__init__(*args, **options)

    def do_POST(self) -> None:
        self.posted.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


class Live:
    """The page and the sessions on it: `tiny`, and those that a test opens."""

    def __init__(self, page: Page, posted: list[bytes]):
        self.page, self._posted = page, posted
        page.evaluate("async () => (window.sessions = { tiny: (await olmo.open()).session })")

    def open(
        self, name: str, model: nn.Module, config: OlmoConfig | None = None, script: str = ""
    ) -> None:
        """A session of a model's weights. `script`: the engine, when it is not to be ours."""
        config = config or config_of(model)
        weights = {k: v for k, v in model.state_dict().items() if not _is_tied(k, config)}
        given = {
            "name": name,
            "engine": script or engine(),
            "config": asdict(config),
            "faults": exported_faults(config),
            "weights": b64encode(save(weights)).decode(),
        }
        self.page.evaluate(OPEN, given)

    def values(
        self,
        name: str,
        ids: Sequence[int],
        places: Sequence[tuple[int | None, str]],
        **asked: Any,
    ) -> Activations:
        given = {"name": name, "places": places, "ids": list(ids), "asked": asked}
        shapes = self.page.evaluate(VALUES, given)
        numbers = torch.from_numpy(np.frombuffer(self._posted.pop(), "<f4").copy())
        parts = numbers.split([int(np.prod(shape)) for shape in shapes])
        return Activations(
            {
                place: part.view(shape)
                for place, part, shape in zip(places, parts, shapes, strict=True)
            }
        )

    def logits(self, name: str, ids: Sequence[int], **asked: Any) -> Tensor:
        return self.values(name, ids, [(None, "logits")], **asked)["logits"]


def _is_tied(name: str, config: OlmoConfig) -> bool:
    return config.tie_word_embeddings and name == "lm_head.weight"


@pytest.fixture(scope="session")
def pages(once: Callable) -> Path:
    """A small book of two pages, one in a sub-folder, built with the extension of ours."""

    def build(folder: Path) -> None:
        (folder / "conf.py").write_text('extensions = ["live_model"]\nhtml_theme = "basic"\n')
        (folder / "index.rst").write_text("Home\n====\n\n.. toctree::\n\n   chapters/page\n")
        (folder / "chapters").mkdir()
        (folder / "chapters" / "page.rst").write_text("Page\n====\n")
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(EXTENSIONS)
            assert build_main(["-q", str(folder), str(folder / "html")]) == 0

    return once("live", build) / "html"


@pytest.fixture(scope="session")
def live(browser, pages: Path) -> Iterator[Live]:
    """One page for all tests, with `tiny` open on it. No script of it may fail."""
    posted: list[bytes] = []
    handler = partial(Receiving, posted=posted, directory=str(pages))
    faults: list[str] = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = browser.new_page()
        page.on("pageerror", lambda error: faults.append(error.message))
        page.goto(f"http://127.0.0.1:{server.server_port}/chapters/page.html")
        yield Live(page, posted)
        page.close()
        server.shutdown()
    assert not faults


@pytest.fixture(scope="session")
def folder(pages: Path, tmp_path_factory) -> Path:
    """The page of the figure, light and dark, beside the model's scripts."""
    folder = tmp_path_factory.mktemp("figure")
    shutil.copytree(pages / "_static" / "tiny", folder / "tiny")
    for file in (pages / "_static" / "live.js", pages / "_static" / "tiny.js", HOST):
        shutil.copy(file, folder)
    for theme in ("light", "dark"):
        (folder / f"{theme}.html").write_text(page_of(theme), encoding="utf-8")
    return folder


@pytest.fixture
def page(browser) -> Iterator[Page]:
    """An empty page, on which no script may fail, and nothing may be asked of another host."""
    context = browser.new_context(viewport={"width": 1100, "height": 900})
    page, faults, page.asked = context.new_page(), [], []
    page.on("pageerror", lambda error: faults.append(error.message))
    page.on("console", lambda said: said.type == "error" and faults.append(said.text))
    page.on("request", lambda request: page.asked.append(request.url))
    yield page
    assert not faults or getattr(page, "may_fail", False), faults
    assert all(url.startswith(("file:", "blob:", "data:")) for url in page.asked)
    context.close()


@pytest.fixture
def figure(page: Page, folder: Path) -> Locator:
    page.goto((folder / "light.html").as_uri())
    expect(page.locator(".oe-model")).to_be_visible()
    return page.locator(".oe-model")
