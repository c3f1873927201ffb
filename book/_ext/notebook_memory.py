"""The directive `notebook-memory`: the most memory that each chapter's kernel took in this build.

The build runs every notebook in a kernel of its own anyway; as a kernel ends, Linux is asked for
the most that the process ever held. So the table is never older than the pages.
"""

import platform
import re
import sys
from functools import wraps
from importlib.metadata import version
from pathlib import Path

from docutils import nodes
from jupyter_client.manager import AsyncKernelManager
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

LIMIT = 1.5e9  # bytes: a chapter that takes more fails the build, for Binder gives 2 GB in all
PREFIX = "notebooks/"


class Table(nodes.General, nodes.Element):
    """Where the table will stand, once every notebook has been run."""


class NotebookMemory(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        return [Table()]


def peak_memory(process: int) -> int | None:
    """The most memory, in bytes, that a running process has held; None where nobody tells."""
    status = Path(f"/proc/{process}/status")
    if not status.is_file():
        return None
    return 1024 * int(re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE)[1])


def watch_kernels(app: Sphinx) -> None:
    shutdown = AsyncKernelManager.shutdown_kernel

    @wraps(shutdown)
    async def shutdown_and_note(manager: AsyncKernelManager, *args: object, **options: object):
        process = getattr(manager.provisioner, "process", None)
        if process and (peak := peak_memory(process.pid)):
            _peaks(app.env)[app.env.docname] = peak
        await shutdown(manager, *args, **options)

    AsyncKernelManager.shutdown_kernel = shutdown_and_note


def _peaks(env: BuildEnvironment) -> dict[str, int]:
    if not hasattr(env, "notebook_peaks"):
        env.notebook_peaks = {}
    return env.notebook_peaks


def forget(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    _peaks(env).pop(docname, None)


def written_again(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """The pages with a table, whenever a notebook was run again."""
    return [name for name in env.all_docs if next(env.get_doctree(name).findall(Table), None)]


def fill(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    peaks = _peaks(app.env)
    for place in doctree.findall(Table):
        place.replace_self(_table(app, peaks, docname) if peaks else _unknown())


def _unknown() -> nodes.Node:
    return nodes.paragraph("", "Not measured: this build ran no notebook, or not on Linux.")


def _table(app: Sphinx, peaks: dict[str, int], docname: str) -> nodes.Node:
    rows = [
        (_link(app, docname, name), nodes.Text(f"{peak / 1e6:,.0f} MB"))
        for name, peak in sorted(peaks.items())
        if name.startswith(PREFIX)
    ]
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers"))
    where = f"{platform.system()} on {platform.machine()}, Python {sys.version.split()[0]}"
    title = f"Peak memory of each chapter's kernel, in this build: {where}, {versions}"
    return _as_table(title, ("chapter", "peak"), rows)


def _link(app: Sphinx, docname: str, target: str) -> nodes.Node:
    address = app.builder.get_relative_uri(docname, target)
    return nodes.reference("", app.env.titles[target].astext(), refuri=address, internal=True)


def _as_table(title: str, head: tuple[str, ...], rows: list[tuple[nodes.Node, ...]]) -> nodes.table:
    def row(cells: list[nodes.Node]) -> nodes.row:
        return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", c)) for c in cells))

    group = nodes.tgroup("", *(nodes.colspec(colwidth=1) for _ in head), cols=len(head))
    group += nodes.thead("", row([nodes.Text(word) for word in head]))
    group += nodes.tbody("", *(row(list(cells)) for cells in rows))
    # A table with a title must have an id, or Sphinx warns that it cannot be numbered.
    named = {"ids": ["notebook-memory"], "classes": ["notebook-memory"]}
    return nodes.table("", nodes.title("", title), group, **named)


def check(app: Sphinx, exception: Exception | None) -> None:
    if exception:
        return
    for name, peak in _peaks(app.env).items():
        if peak >= LIMIT:
            raise RuntimeError(f"{name} took {peak / 1e9:.2f} GB, more than {LIMIT / 1e9} GB")


def setup(app: Sphinx) -> dict:
    app.add_node(Table)
    app.add_directive("notebook-memory", NotebookMemory)
    app.connect("builder-inited", watch_kernels)
    app.connect("env-purge-doc", forget)
    app.connect("env-updated", written_again)
    app.connect("doctree-resolved", fill)
    app.connect("build-finished", check)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
