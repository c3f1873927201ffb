"""A notebook in a live JupyterLab: all cells run, and Python hears what the reader chooses."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, Page, expect

import olmo_explain as oe

SETTINGS = {
    # All cells in the page at once, and no question about news.
    "@jupyterlab/notebook-extension/tracker.jupyterlab-settings": {"windowingMode": "none"},
    "@jupyterlab/apputils-extension/notification.jupyterlab-settings": {
        "fetchNews": "false",
        "checkForUpdates": False,
    },
}
KERNEL_IDLE = """() => window.jupyterapp?.shell.currentWidget?.sessionContext
    ?.session?.kernel?.status === 'idle'"""
RUN_ALL = "() => window.jupyterapp.commands.execute('notebook:run-all-cells')"
RUN_LAST = """async () => {
    const notebook = window.jupyterapp.shell.currentWidget.content;
    notebook.activeCellIndex = notebook.widgets.length - 1;
    await window.jupyterapp.commands.execute('notebook:run-cell');
}"""
RUN_IN_KERNEL = """code => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel
    .requestExecute({code}).done.then(() => null)"""
CELLS = "() => window.jupyterapp.shell.currentWidget.content.model.sharedModel.toJSON().cells"


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab, and the folder whose notebooks it shows."""

    url: str
    token: str
    folder: Path

    def open(self, page: Page, cells: list[str]) -> None:
        """Shows a notebook of these code cells, with its kernel ready."""
        self.show(page, [nbformat.v4.new_code_cell(source) for source in cells])

    def show(self, page: Page, cells: list[nbformat.NotebookNode]) -> None:
        notebook = nbformat.v4.new_notebook(cells=cells)
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        nbformat.write(notebook, self.folder / "notebook.ipynb")
        page.goto(f"{self.url}/lab/tree/notebook.ipynb?token={self.token}&reset")
        page.wait_for_function(KERNEL_IDLE, timeout=60_000)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    settings = tmp_path_factory.mktemp("settings")
    for name, values in SETTINGS.items():
        (settings / name).parent.mkdir(parents=True, exist_ok=True)
        (settings / name).write_text(json.dumps(values))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = "test"
    options = [
        "--no-browser",
        "--allow-root",
        f"--port={port}",
        "--ip=127.0.0.1",
        "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={token}",
        "--LabApp.expose_app_in_browser=True",
        f"--ServerApp.root_dir={folder}",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", *options],
        env=os.environ | {"JUPYTERLAB_SETTINGS_DIR": str(settings)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # so that its kernels end with it
    )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(f"{url}/api?token={token}", process)
        yield Lab(url, token, folder)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def _wait_for(url: str, process: subprocess.Popen, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert process.poll() is None, "JupyterLab ended before it answered"
        try:
            urllib.request.urlopen(url)
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
    pytest.fail(f"JupyterLab did not answer in {seconds} s")


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    yield context.new_page()
    context.close()


def outputs(page: Page) -> list[list[dict]]:
    """The outputs of each cell."""
    cells = page.evaluate(CELLS)
    failed = [o for cell in cells for o in cell["outputs"] if o["output_type"] == "error"]
    assert not failed, failed
    return [cell["outputs"] for cell in cells]


def said(page: Page) -> str:
    """What the last cell says."""
    (output,) = outputs(page)[-1]
    return (output.get("text") or output["data"]["text/plain"]).strip()


def says_at_last(page: Page, expected: str) -> str:
    """What the last cell says, run until it says this: of keys that follow each other quickly,
    JupyterLab sends the last when Python is free again.
    """
    for _ in range(50):
        page.evaluate(RUN_LAST)
        if said(page) == expected:
            break
        page.wait_for_timeout(100)
    return said(page)


def test_the_explorer_and_python_hear_each_other(lab, page):
    explore = "import olmo_explain as oe\nexplorer = oe.explore_heads(layer=1, head=1)\nexplorer"
    lab.open(page, [explore, "explorer.layer, explorer.head"])
    page.evaluate(RUN_ALL)
    assert said(page) == "(1, 1)"

    page.get_by_role("radio", name="Layer 1, head 1", exact=True).press("ArrowDown")
    page.get_by_role("radio", name="Layer 2, head 1", exact=True).press("ArrowRight")
    assert says_at_last(page, "(2, 2)") == "(2, 2)"

    page.evaluate(RUN_IN_KERNEL, "explorer.layer = 0")
    expect(page.get_by_role("radio", name="Layer 0, head 2", exact=True)).to_be_checked()


def test_a_head_is_switched_off_in_the_lab(lab, page):
    explore = "import olmo_explain as oe\nexplorer = oe.explore_heads()\nexplorer"
    lab.open(page, [explore, "explorer.off_shown"])
    page.evaluate(RUN_ALL)
    page.get_by_role("button", name="Switch head 7.0 off").click()
    assert says_at_last(page, "[[7, 0]]") == "[[7, 0]]"
    expect(page.locator(".oe-heads .oe-readout")).to_contain_text("Without 7.0,")


def test_a_sentence_typed_in_the_lab_is_what_python_holds(lab, page):
    explore = "import olmo_explain as oe\nexplorer = oe.explore_heads()\nexplorer"
    lab.open(page, [explore, "print(explorer.text, explorer.tokens, explorer.query)"])
    page.evaluate(RUN_ALL)
    bar = page.locator(".oe-sentence")
    field = bar.get_by_label("Sentence")
    field.fill("To be, or ")
    field.press_sequentially("aa")  # a letter, and no command of JupyterLab's
    typed = "To be, or aa ['To', ' be', ',', ' or', ' a', 'a'] 5"
    assert says_at_last(page, typed) == typed
    expect(page.locator(".oe-heads .oe-chips input").nth(5)).to_be_checked()
    page.evaluate(RUN_IN_KERNEL, "explorer.text = 'To be'")
    bar.get_by_text("Your sentence: 2 tokens.").wait_for()
    assert field.input_value() == "To be"
    bar.get_by_role("button", name="The first sentence").click()
    expect(page.locator(".oe-heads .oe-chips input").nth(10)).to_be_checked()
    assert "other chapters" not in bar.inner_text()  # Python holds it, and no browser


@pytest.mark.parametrize(
    ("explore", "label", "trait"),
    [
        ("explore_bytes()", "Row", "row"),
        ("explore_steps(step='up_proj')", "up_proj", "at"),  # above it on the map stands silu
        ("explore_rope()", "Pair", "pair"),
        ("explore_costs()", "Batch", "batch"),
    ],
)
def test_every_explorer_tells_python_the_choice(lab, page, explore, label, trait):
    lab.open(
        page, [f"import olmo_explain as oe\nexplorer = oe.{explore}\nexplorer", f"explorer.{trait}"]
    )
    page.evaluate(RUN_ALL)
    after = str(int(said(page)) + 1)
    page.get_by_label(label, exact=True).press("ArrowUp")
    assert says_at_last(page, after) == after


def test_rows_that_were_not_sent_come_from_python(lab, page):
    explore = "import olmo_explain as oe\nexplorer = oe.explore_bytes()\nexplorer"
    lab.open(page, [explore, "explorer.row, explorer.value"])
    page.evaluate(RUN_ALL)
    page.get_by_label("Row, exactly").fill("2000")
    value = oe.Checkpoint("tiny").read("model.embed_tokens.weight")[2000, 0].item()
    assert says_at_last(page, f"(2000, {value})") == f"(2000, {value})"
    shown = page.locator(".oe-bytes-value b")
    expect(shown).to_have_text(str(value).replace("-", "−"))


def test_the_ledger_and_python_hear_each_other(lab, page):
    explore = "import olmo_explain as oe\nexplorer = oe.explore_claims()\nexplorer"
    shown = "print(explorer.verdict, *(claim.id for claim in explorer.shown))"
    lab.open(page, [explore, shown])
    page.evaluate(RUN_ALL)
    everything = said(page)
    assert everything.startswith("all total.parameters flops.qkv ")
    ledger = page.locator(".oe-claims")
    ledger.get_by_role("radio", name="all").press("ArrowRight")
    ledger.get_by_role("radio", name="reproduced").press("ArrowRight")
    ledger.get_by_label("Search", exact=True).press_sequentially("rotary calls")
    ids = ["calls.Olmo3RotaryEmbedding", "calls.total"]
    found = " ".join(["corrected", *ids])
    assert says_at_last(page, found) == found
    assert ledger.locator(".oe-claims-about code").all_text_contents() == ids
    # A line leads to the notebook beside this one.
    ledger.locator("summary").first.click()
    link = ledger.get_by_role("link", name="chapter 10").first
    assert link.get_attribute("href") == "10_forward_trace.ipynb"

    page.evaluate(RUN_IN_KERNEL, "explorer.search = 'no claim says this'")
    ledger.get_by_role("button", name="Clear the filters").click()
    assert says_at_last(page, everything) == everything


FIGURE = """import shutil, olmo_explain as oe
from olmo_explain.checkpoint import preset
shutil.copytree(preset("tiny").directory, "copy", dirs_exist_ok=True)
explorer = oe.explore_model({model!r})
explorer"""
FIRST = "print(repr(explorer.text), explorer.off, *explorer.next_tokens[0])"


@pytest.mark.parametrize("model", ["tiny", "./copy"], ids=["in the browser", "in Python"])
def test_the_figure_answers_and_python_holds_what_is_typed(lab, page, model):
    lab.open(page, [FIGURE.format(model=model), FIRST])
    page.evaluate(RUN_ALL)
    assert "'What news from France? I say, what news from' []  France 0.73" in said(page)

    figure = page.locator(".oe-model")
    field = figure.get_by_label("Your sentence")
    field.fill("I gave you a horse, you gave me")
    field.press_sequentially(" a")
    first = figure.locator(".oe-bars li").first
    expect(first).to_contain_text("␣horse")
    figure.get_by_role("switch", name="Head 7.1").click()
    page.wait_for_function(
        "() => document.querySelector('.oe-model').getAttribute('aria-busy') === 'false'"
    )
    for _ in range(50):
        page.evaluate(RUN_LAST)
        *_, token, share = said(page).split()
        if "[[7, 1]]" in said(page):
            break
    assert said(page).startswith("'I gave you a horse, you gave me a' [[7, 1]]")
    expect(first).to_contain_text(f"␣{token}")
    expect(first).to_contain_text(f"{100 * float(share):.1f}")
    computed = "computed in this page" if model == "tiny" else "computed by PyTorch"
    expect(figure.locator(".oe-tag")).to_contain_text(computed)

    page.evaluate(
        RUN_IN_KERNEL, "explorer.off = []; explorer.text = 'She loves the sea, and he loves the'"
    )
    expect(field).to_have_value("She loves the sea, and he loves the")
    expect(first).to_contain_text("␣sea")
    figure.get_by_role("button", name="One token").click()
    expect(field).not_to_have_value("She loves the sea, and he loves the")


def test_keys_pressed_in_the_figure_are_not_jupyterlabs(lab, page):
    """Two d on a button would delete the cell in which it stands."""
    lab.open(page, ["import olmo_explain as oe", "oe.explore_model()"])
    page.evaluate(RUN_ALL)
    figure = page.locator(".oe-model")
    for control in (
        figure.get_by_role("button", name="Earlier token"),
        figure.get_by_role("switch", name="Head 7.2"),
        figure.get_by_role("radio", name="numbers"),
        figure.get_by_label("Your sentence"),
    ):
        control.focus()
        page.keyboard.press("d")
        page.keyboard.press("d")
    assert len(page.evaluate(CELLS)) == 2


def test_after_run_all_no_hint_and_no_solution_is_open(lab, page):
    """Of some chapters; `test_notebooks.py` holds all to the same form."""
    chapters = [
        nbformat.read(path, as_version=4)
        for path in sorted((Path(__file__).parents[2] / "notebooks").glob("*[18]_*.ipynb"))
    ]
    cells = [
        cell
        for chapter in chapters
        for cell in chapter.cells
        if "<details>" in cell.source or cell.source.startswith("answer = ...")
    ]
    folds = sum(cell.source.count("<details>") for cell in cells)
    lab.show(page, [nbformat.v4.new_code_cell("import olmo_explain as oe"), *cells])
    page.evaluate(RUN_ALL)
    answered = page.locator(".oe-feedback")
    expect(answered).to_have_count(sum(cell.cell_type == "code" for cell in cells))
    said = [word.split(" ", 1)[1] for word in answered.locator("strong").all_inner_texts()]
    assert set(said) == {"Not answered yet:"}

    details = page.locator(".jp-Notebook details")
    expect(details).to_have_count(folds)
    for summary in details.locator("summary").all_text_contents():
        assert summary.endswith(" ▾"), summary  # where jupyterlab-myst hides the triangle
    assert (
        details.evaluate_all(
            "all => all.filter((d) => d.open || d.querySelector('details')).length"
        )
        == 0
    )
    read = page.locator(".jp-Notebook").inner_text()
    assert ":::" not in read and "{admonition}" not in read
    hidden = page.locator("details pre", has_text='oe.check("').all()
    assert len(hidden) == len(answered.all())
    assert not any(code.evaluate("c => c.checkVisibility()") for code in hidden)
    opened = details.filter(has_text="Solution").first
    opened.locator("summary").click()
    expect(opened.locator("pre")).to_be_visible()
