"""A head of a model elsewhere, read by a page: what is asked and when, its numbers, and what is
said where none come. In Chromium, against servers of this machine."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.resources import files
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from playwright.sync_api import Locator, Page, expect
from safetensors.torch import save_file
from support.checkpoints import RECORDED_NORMS, plant_norms, write_random, write_sparse_7b
from support.servers import COMMIT, FileServer, HubServer, closed_port, running

import olmo_explain as oe
from olmo_explain.checkpoint import read_head
from olmo_explain.explorers import explore_bytes
from olmo_explain.explorers.seven import about

AXE = files("axe_playwright_python") / "axe.min.js"
SEVEN = about()
OPEN = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Content-Range, ETag, X-Repo-Commit",
}
READ = """async (asked) => {
    const found = await olmo.readHead(asked);
    const spectra = Object.entries(found.spectra).map(([name, values]) => [name, [...values]]);
    return { ...found, spectra: Object.fromEntries(spectra), slices: Object.keys(found.slices) };
}"""
REFUSED = """(asked) => olmo.readHead(asked).then(() => "was read", ({ message }) => message)"""


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> Path:
    """Layers enough of a 7B to have the report's head, with its norms."""
    directory = write_sparse_7b(tmp_path_factory.mktemp("seven"), layers=18)
    plant_norms(directory, {(name, 17, 27): norm for name, norm in RECORDED_NORMS.items()})
    return directory


@contextmanager
def hub_of(directory: Path, repository: str = "someone/olmo", **about) -> Iterator[HubServer]:
    """A hub that lets pages read it, and the store to which it sends them for weights."""
    with ExitStack() as servers:
        store = servers.enter_context(running(FileServer(directory, headers=OPEN)))
        about = {"headers": OPEN, "repository": repository} | about
        yield servers.enter_context(running(HubServer(directory, store=store, **about)))


def asked_of(server: FileServer, **changes) -> dict:
    return {"hub": server.url, "repository": "someone/olmo", "layer": 1, "head": 3, **changes}


@pytest.fixture
def console(opened: Callable[..., Page]) -> Page:
    page = opened(explore_bytes("tiny"))
    page.wait_for_function("window.olmo")
    return page


def offer(page: Page, hub: str) -> Locator:
    """The offer of an explorer, open, with the address of a mirror."""
    panel = page.locator(".oe-seven")
    panel.get_by_text("The real 7B, read now").click()
    panel.get_by_text("Another model, revision or mirror").click()
    panel.get_by_label("Hub").fill(hub)
    return panel


# -- what is read ---------------------------------------------------------------------------------


@pytest.mark.parametrize("explorer", [oe.explore_heads, explore_bytes])
def test_the_reports_head_beside_what_was_recorded(opened, planted, explorer):
    with hub_of(planted, SEVEN["repository"]) as hub:
        page = opened(explorer("tiny"))
        outside = []
        page.on("request", lambda sent: sent.url.startswith("http") and outside.append(sent.url))
        panel = offer(page, hub.url)
        host = hub.url.removeprefix("http://")
        expect(panel.locator(".oe-note").first).to_contain_text(f"A click asks {host}")
        expect(panel.locator(".oe-note").first).to_contain_text("3,145,728 bytes")
        assert outside == [] and hub.requests == [] == hub.store.requests
        panel.get_by_role("button", name="Read all four: 36.7 MB").click()
        expect(panel.locator(".oe-slice")).to_have_count(4)
        expect(panel).to_contain_text("bytes of weights came")
        norms = read_head(planted, 17, 27).norms
        for card, (name, norm) in zip(panel.locator(".oe-slice").all(), norms.items(), strict=True):
            half = SEVEN["recorded"][name][1]
            expect(card).to_contain_text(f"Norm now{norm:.4f}Recorded{RECORDED_NORMS[name]}")
            expect(card).to_contain_text(f"Half a step± {half}✓ agrees")
            expect(card).to_contain_text("down to 0; effective rank 1.0 of 128")
        weights, others = sum(SEVEN["bytes"].values()), hub.sent + hub.store.sent
        assert 0 < others - weights < 100_000
        expect(panel).to_contain_text(f"{weights:,} bytes of weights came from {host}, and ")
        expect(panel).to_contain_text(f"and {others - weights:,} of config, index and headers.")
        expect(panel).to_contain_text(f"main, commit {COMMIT[:8]}")
        assert all(request.headers.get("authorization") is None for request in hub.requests)
        resolved = [request.path.split("/")[4] for request in hub.requests]
        assert resolved == ["main"] + [COMMIT] * (len(resolved) - 1)

        panel.locator("canvas").first.click(position={"x": 1, "y": 1})
        expect(panel).to_contain_text("q_proj, row 3,456, column 0: 0, the bytes 00 00 from byte ")
        page.set_viewport_size({"width": 390, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.add_script_tag(path=AXE)
        found = page.evaluate("axe.run('.oe-seven').then((it) => it.violations.map(({id}) => id))")
        assert found == []


@pytest.mark.parametrize(("dtype", "shards"), [(torch.bfloat16, 2), (torch.float32, 1)])
def test_numbers_are_pythons(console, tmp_path, dtype, shards):
    """Of a head that shares its key-value head, from a file alone and from one of several."""
    write_random(tmp_path, dtype=dtype, shards=shards)
    expected = oe.head_spectra(tmp_path, 1, 3)
    with hub_of(tmp_path) as hub:
        found = console.evaluate(READ, asked_of(hub, projections=list(RECORDED_NORMS)))
        assert found["bytes"] + found["header_bytes"] == hub.sent + hub.store.sent
    assert found["commit"] == COMMIT
    assert found["norms"] == pytest.approx(expected.head.norms, rel=1e-6)
    for name, values in found["spectra"].items():
        assert values == pytest.approx(expected.spectra[name], rel=1e-7), name


def test_singular_values_of_a_wide_spread_are_right_to_six_digits(console, tmp_path):
    tensors = write_random(tmp_path, dtype=torch.float32, hidden_size=64)
    u, _, v = np.linalg.svd(np.random.default_rng(0).normal(size=(16, 64)), full_matrices=False)
    spread = (u * np.geomspace(3, 3e-4, 16)) @ v
    name = "model.layers.1.self_attn.q_proj.weight"
    tensors[name][48:] = torch.from_numpy(spread).float()
    save_file(tensors, tmp_path / "model.safetensors")
    with hub_of(tmp_path) as hub:
        found = console.evaluate(READ, asked_of(hub, projections=["q_proj"]))
    exact = np.linalg.svd(tensors[name][48:].double().numpy(), compute_uv=False)
    assert found["spectra"]["q_proj"] == pytest.approx(exact, rel=1e-6)
    assert found["slices"] == ["q_proj"]


# -- what is said where nothing comes -------------------------------------------------------------


class Changing(HubServer):
    """Each answer is of another version of the file."""

    version = count()

    def answer(self, path, headers):
        status, extra, body = super().answer(path, headers)
        return status, {**extra, "ETag": f'"{next(self.version)}"'}, body


NO_TOKEN = "there is no such model, or it is gated, and a page has no token to show."
CASES = {
    "no CORS": (
        {"headers": {}},
        "answers, but lets no page of another site read what it sends (CORS).",
    ),
    "gated": ({"gated": True}, f"refuses access (403): {NO_TOKEN}"),
    "private": ({"token": "x"}, f"refuses access (401): {NO_TOKEN}"),
    "busy": ({"busy": [429]}, "is busy (429): try again later."),
    "no such revision": ({"revisions": ()}, "has no config.json of someone/olmo at main."),
    "cut": ({"cut_after": [10]}, "cut the connection."),
}


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("small")
    write_random(directory)
    return directory


def test_each_refusal_is_one_sentence_and_a_command(console, small):
    command = "olmo-explain head someone/olmo --layer 1 --head 3 --svd"
    for name, (wrong, says) in CASES.items():
        with hub_of(small, **wrong) as hub:
            said = console.evaluate(REFUSED, asked_of(hub))
            host = hub.url.removeprefix("http://")
            expected = f"{host} {says} In a terminal: HF_ENDPOINT={hub.url} {command}"
            assert said == expected, name
    down = closed_port()
    said = console.evaluate(REFUSED, {**asked_of(FileServer(small)), "hub": down})
    assert said.startswith(f"{down.removeprefix('http://')} cannot be reached from this page. In a")
    console.context.set_offline(True)
    said = console.evaluate(REFUSED, {"layer": 17, "head": 27})
    assert said == (
        "This browser is offline. In a terminal: olmo-explain head allenai/Olmo-3-7B-Instruct "
        "--layer 17 --head 27 --svd"
    )
    console.context.set_offline(False)


def test_a_file_that_changes_while_it_is_read(console, small):
    with running(Changing(small, headers=OPEN)) as hub:
        said = console.evaluate(REFUSED, asked_of(hub))
    assert "model.safetensors on " in said and "changed while it was read: read it again." in said


def test_a_whole_file_in_place_of_a_range_is_refused_before_its_body(console, small, tmp_path):
    size = 64 * 2**20
    (tmp_path / "config.json").write_bytes((small / "config.json").read_bytes())
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.truncate(size)
    with hub_of(tmp_path) as hub:
        hub.store.ignores_ranges = True
        said = console.evaluate(REFUSED, asked_of(hub))
    assert "ignores byte ranges and would send the whole file: none of it was read." in said
    assert len(hub.store.requests) == 1 and hub.store.sent < size / 2


def test_other_files_than_their_config_says(console, small, tmp_path):
    write_random(tmp_path)
    fields = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(fields | {"num_attention_heads": 8}))
    with hub_of(tmp_path) as hub:
        said = console.evaluate(REFUSED, asked_of(hub))
        assert "k_proj.weight is 16 × 32, and config.json says 8 × 32." in said
        (tmp_path / "model.safetensors").write_bytes(b"<html>" * 9)
        assert "is no safetensors file." in console.evaluate(REFUSED, asked_of(hub))
        (tmp_path / "model.safetensors").write_bytes(bytes(4))
        assert "model.safetensors" in console.evaluate(REFUSED, asked_of(hub))
        (tmp_path / "config.json").write_text("[")
        assert "config.json on" in console.evaluate(REFUSED, asked_of(hub))


NOT_ASKED = [
    ({"layer": 4}, "There is no layer 4: someone/olmo has layers 0 to 3."),
    ({"head": -1}, "A head is a whole number from 0 on, not -1."),
    ({"hub": "ftp://x"}, "The hub is an address, as https://huggingface.co, not"),
    ({"hub": "https://me:secret@huggingface.co"}, "The hub is an address"),
    ({"repository": "olmo"}, "A repository is named as allenai/Olmo-3-7B-Instruct, not"),
    ({"revision": " "}, "A revision is a branch, a tag or a commit, not"),
    ({"projections": ["q"]}, "Projections are a list of q_proj, k_proj, v_proj, o_proj, not"),
]


def test_what_cannot_be_asked(console, small):
    with hub_of(small) as hub:
        for wrong, says in NOT_ASKED:
            assert console.evaluate(REFUSED, asked_of(hub, **wrong)).startswith(says), wrong
        assert len(hub.requests) == 1  # how many layers there are


# -- the offer ------------------------------------------------------------------------------------


def test_what_goes_wrong_is_said_in_the_panel_and_can_be_tried_again(opened, small):
    with hub_of(small) as hub:
        hub.busy = [503]
        page = opened(explore_bytes("tiny"))
        panel = offer(page, hub.url)
        panel.get_by_label("Model").fill("someone/olmo")
        read = panel.get_by_role("button", name="Read q, k and v")
        read.click()
        problem = panel.locator(".oe-problem")
        expect(problem).to_contain_text("is busy (503): try again later. In a terminal: ")
        expect(problem.locator("code")).to_contain_text("--layer 17 --head 27 --svd")
        read.click()
        expect(problem).to_have_text("There is no layer 17: someone/olmo has layers 0 to 3.")
        panel.get_by_label("Layer").fill("1")
        panel.get_by_label("Head").fill("3")
        panel.get_by_label("Head").press("Tab")
        read.click()
        expect(panel.locator(".oe-slice")).to_have_count(3)
        expect(problem).to_have_count(0)
        expect(panel.locator(".oe-slice").first).to_contain_text("As initialised")
        assert panel.locator("input").evaluate_all("(all) => all.map(({ type }) => type)") == [
            "number", "number", "text", "text", "url",
        ]  # fmt: skip


def test_reading_can_be_stopped(opened, planted):
    class Slow(FileServer):
        def answer(self, path, headers):
            time.sleep(0.5)
            return super().answer(path, headers)

    with running(Slow(planted, headers=OPEN)) as store, hub_of(planted) as hub:
        hub.store = store
        panel = offer(opened(explore_bytes("tiny")), hub.url)
        panel.get_by_label("Model").fill("someone/olmo")
        panel.get_by_role("button", name="Read all four").click()
        panel.get_by_role("button", name="Stop").click()
        expect(panel).to_contain_text("Stopped.")
        expect(panel.get_by_role("button", name="Read q, k and v")).to_be_focused()
        assert store.sent < 10_000_000
