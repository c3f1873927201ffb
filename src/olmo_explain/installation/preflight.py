"""Is this laptop ready for a workshop? One check a line, with no network, in a few seconds.

A check that fails says what to do. What a workshop can do without (a browser on a server, say) is
advised, not required. A check that breaks is a check that failed: nothing here raises.
"""

import errno
import shutil
import socket
import sys
import tempfile
import time
import webbrowser
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from olmo_explain.doors import NotInstalled, is_installed
from olmo_explain.installation.doctor import NEEDED_MEMORY, Findings, measured_rope
from olmo_explain.machine import free_memory_bytes, memory_bytes
from olmo_explain.waiting import progress
from olmo_explain.words import gigabytes

PACKAGE = "olmo-explain"
INSTALL = (
    "Install again: pip install --upgrade '.[lab]' in a clone of the repository; or, from the "
    "offline zip, delete the folder .venv and run install.py"
)
FRONT_ENDS = {
    "anywidget": "anywidget",
    "@jupyter-widgets/jupyterlab-manager": "jupyterlab_widgets",
    "jupyterlab-myst": "jupyterlab-myst",
}
"""A folder of JupyterLab's extensions, and the package that puts it there."""

SPARE_MEMORY = 15 * 10**8  # bytes; no chapter may take more (book/_ext/notebook_memory.py)
DISK = 2**29  # bytes; for what a workshop writes, everything being installed already
PORTS = range(8888, 8938)  # where JupyterLab looks for a free one
IN_A_TERMINAL = {"elinks", "links", "lynx", "w3m", "www-browser"}  # browsers that run no script


@dataclass(frozen=True)
class Check:
    """One line. `required`: a failure stops the workshop; else it is a warning.

    `remedy`: what to do, should it not be `ok`.
    """

    name: str
    ok: bool
    found: str
    needed: str
    remedy: str
    required: bool = True


def run_checks() -> list[Check]:
    """Every check, in order; what is right needs no remedy.

    >>> [check.name for check in run_checks() if not check.ok]
    []
    """
    checks = []
    with progress("Looking at this installation", len(CHECKS)) as advance:
        for name, look in CHECKS.items():
            try:
                check = look(name)
            except (ModuleNotFoundError, NotInstalled) as error:
                missing = (error.name or "").partition(".")[0]
                check = Check(name, False, f"{missing} is missing", missing, INSTALL)
            except Exception as error:
                said = f"{type(error).__name__}: {error}".splitlines()[0]
                check = Check(name, False, said, "no error", INSTALL)
            checks.append(replace(check, remedy="") if check.ok else check)
            advance(1)
    return checks


def readiness(found: Findings, checks: list[Check]) -> dict[str, Any]:
    """As `olmo-explain doctor --workshop --json`: `ok` when nothing that is required failed."""
    failed = [f"{c.name}: {c.found}. {c.remedy}." for c in checks if c.required and not c.ok]
    about = {"checks": [asdict(check) for check in checks], "problems": failed, "ok": not failed}
    return found.to_dict() | about


# -- what is installed ----------------------------------------------------------------------------


def _python(name: str) -> Check:
    needed = metadata(PACKAGE)["Requires-Python"]
    found = sys.version.split()[0]
    ok = SpecifierSet(needed).contains(found, prereleases=True)
    return Check(name, ok, found, needed, f"Install Python {needed} and make a new environment")


def _packages(name: str) -> Check:
    return _installed(name, _requirements("", "torch"))


def _lab(name: str) -> Check:
    package = _requirements("")
    return _installed(name, [need for need in _requirements("lab") if need not in package])


def _installed(name: str, needs: list[Requirement]) -> Check:
    wrong = list(filter(None, map(_fault, needs)))
    found = ", ".join(wrong) or f"{len(needs)} packages, each as needed"
    return Check(name, not wrong, found, ", ".join(map(_words, needs)), INSTALL)


def _requirements(*extras: str) -> list[Requirement]:
    """What the package itself needs, "", and what it needs with these extras."""
    needs = [need for need in map(Requirement, requires(PACKAGE) or ()) if need.name != PACKAGE]
    return [
        need
        for need in needs
        if not need.marker or any(need.marker.evaluate({"extra": extra}) for extra in extras)
    ]


def _fault(need: Requirement) -> str | None:
    try:
        found = version(need.name)
    except PackageNotFoundError:
        return f"{need.name} is missing"
    if need.specifier.contains(found, prereleases=True):
        return None
    return f"{need.name} is {found}"


def _words(need: Requirement) -> str:
    return f"{need.name} {need.specifier}".strip()


def _front_ends(name: str) -> Check:
    from jupyter_core.paths import jupyter_path

    folders = [Path(place) for place in jupyter_path("labextensions")]
    missing = [e for e in FRONT_ENDS if not any((folder / e).is_dir() for folder in folders)]
    packages = " ".join(FRONT_ENDS[extension] for extension in missing)
    return Check(
        name,
        ok=not missing,
        found=", ".join(f"{e} is missing" for e in missing) or "each in its place",
        needed=", ".join(FRONT_ENDS),
        remedy=f"pip install --force-reinstall --no-deps {packages}, then start JupyterLab again",
    )


def _kernel(name: str) -> Check:
    """Notebooks may run in another Python than this one: a kernel of the user's hides ours."""
    from jupyter_client.kernelspec import KernelSpecManager

    spec = KernelSpecManager().get_kernel_spec("python3")
    command = shutil.which(spec.argv[0]) or spec.argv[0]
    # Jupyter starts `python` as the Python that it runs in itself.
    ours = spec.argv[0] in ("python", "python3") or Path(command).samefile(sys.executable)
    return Check(
        name,
        ok=ours,
        found="python3 is this Python" if ours else f"python3 is {command}",
        needed=sys.executable,
        remedy=f"Rename {spec.resource_dir}, which takes the place of this environment's kernel",
    )


# -- what this machine gives ----------------------------------------------------------------------


def _memory(name: str) -> Check:
    found = memory_bytes()
    remedy = "Give the machine or the container more, or use Binder or Colab"
    return Check(name, found >= NEEDED_MEMORY, gigabytes(found), gigabytes(NEEDED_MEMORY), remedy)


def _free_memory(name: str) -> Check:
    free = free_memory_bytes()
    needed = gigabytes(SPARE_MEMORY)
    remedy = "Close other programs, and shut down notebooks that are done"
    return Check(name, free >= SPARE_MEMORY, gigabytes(free), needed, remedy, required=False)


def _disk(name: str) -> Check:
    found = shutil.disk_usage(Path.cwd()).free
    return Check(name, found >= DISK, gigabytes(found), gigabytes(DISK), "Delete what you can")


def _writing(name: str) -> Check:
    from jupyter_core.paths import jupyter_runtime_dir

    refused = [place for place in (Path.cwd(), Path(jupyter_runtime_dir())) if not _writable(place)]
    return Check(
        name,
        ok=not refused,
        found=f"not into {', '.join(map(str, refused))}" if refused else "here and for Jupyter",
        needed="write permission",
        remedy="Go to a folder of your own, and check whose the other one is",
    )


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            return file.write(b"1") == 1
    except OSError:
        return False


def _port(name: str) -> Check:
    """JupyterLab and the browser talk over one: it must be free, and no firewall in between."""
    needed = f"one of {PORTS.start} to {PORTS.stop - 1}, on 127.0.0.1"
    for port in PORTS:
        try:
            _talk(port)
        except OSError as error:
            if error.errno == errno.EADDRINUSE or isinstance(error, PermissionError):
                continue
            remedy = "Allow local connections in the firewall, or leave the VPN"
            return Check(name, False, f"{port}: {error}", needed, remedy)
        return Check(name, True, f"{port} is free", needed, "")
    remedy = "End other Jupyter servers: jupyter server list, jupyter server stop PORT"
    return Check(name, False, "every one is taken", needed, remedy)


def _talk(port: int) -> None:
    with socket.socket() as server:
        server.settimeout(2)
        server.bind(("127.0.0.1", port))
        server.listen(1)
        with socket.create_connection(("127.0.0.1", port), timeout=2) as caller:
            accepted, _ = server.accept()
            with accepted:
                caller.sendall(b"1")
                accepted.settimeout(2)
                if accepted.recv(1) != b"1":
                    raise ConnectionError("what was sent did not arrive")


def _browser(name: str) -> Check:
    needed = "Firefox, Chrome, Edge or Safari"
    remedy = "Install one, or open the address that JupyterLab prints on another machine"
    try:
        controller = webbrowser.get()
    except webbrowser.Error:
        return Check(name, False, "none", needed, remedy, required=False)
    found = Path(str(getattr(controller, "name", type(controller).__name__))).name
    return Check(name, found not in IN_A_TERMINAL, found, needed, remedy, required=False)


# -- what is taught -------------------------------------------------------------------------------


def _rope(name: str) -> Check:
    if not is_installed("torch"):
        raise NotInstalled("torch")
    regime, wrong = measured_rope()
    return Check(name, not wrong, regime or "not measured", "per-layer", (wrong or "").rstrip("."))


def _bundled_model(name: str) -> Check:
    """`verify tiny`, whole: every step of every layer, with the weights as they are on disk."""
    from olmo_explain.checkpoint import Checkpoint, read_config
    from olmo_explain.proof import verify
    from olmo_explain.running import load, prompt_ids

    started = time.monotonic()
    model, tokenizer = load("tiny")
    ids = prompt_ids(model, tokenizer)
    checked = verify(model, ids, weights=Checkpoint("tiny"), config=read_config("tiny"))
    right = sum(step.ok for step in checked.steps)
    seconds = time.monotonic() - started
    return Check(
        name,
        ok=checked.ok,
        found=f"{right} of {len(checked.steps)} values are right, in {seconds:.1f} s",
        needed="all of them",
        remedy=INSTALL,
    )


def _notebooks(name: str) -> Check:
    places = (Path.cwd(), Path.cwd() / "notebooks")
    counts = {place: len(list(place.glob("[0-9][0-9]_*.ipynb"))) for place in places}
    place = max(counts, key=lambda place: counts[place])
    return Check(
        name,
        ok=counts[place] > 0,
        found=f"{counts[place]} in {place}" if counts[place] else "none here",
        needed="the chapters, here or in the folder notebooks",
        remedy="Unpack the offline zip here, or clone the repository that the book links to",
        required=False,
    )


CHECKS: dict[str, Callable[[str], Check]] = {
    look.__name__.strip("_").replace("_", " "): look
    for looks in (
        (_python, _packages, _lab, _front_ends, _kernel, _memory, _free_memory, _disk),
        (_writing, _port, _browser, _notebooks, _rope, _bundled_model),
    )
    for look in looks
}
