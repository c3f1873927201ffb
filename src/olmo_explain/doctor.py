"""This installation: what is installed, what it has room for, and whether its OLMo 3 is right."""

import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

PACKAGES = ("olmo-explain", "torch", "transformers", "safetensors", "huggingface-hub", "anywidget")
CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
NEEDED_MEMORY = 2**30
NEEDED_DISK = 2**30


def examine() -> dict[str, Any]:
    """Versions, memory and disk in bytes, the measured RoPE regime, and every problem in a line.

    Where torch or transformers cannot be imported, the regime is None and that is a problem too.
    """
    memory, disk = memory_bytes(), shutil.disk_usage(Path.cwd()).free
    problems = []
    if memory < NEEDED_MEMORY:
        problems.append(f"{memory / 2**30:.1f} GiB of memory: the chapters need 1 GiB.")
    if disk < NEEDED_DISK:
        problems.append(f"{disk / 2**30:.1f} GiB of free disk: building the book needs 1 GiB.")
    regime, wrong = measured_rope()
    if wrong:
        problems.append(wrong)
    return {
        "versions": {"python": sys.version.split()[0], **_versions()},
        "memory_bytes": memory,
        "disk_bytes": disk,
        "rope_regime": regime,
        "problems": problems,
        "ok": not problems,
    }


def measured_rope() -> tuple[str | None, str | None]:
    """The regime that this installation applies, and what is wrong with it, if anything is."""
    try:
        from olmo_explain.rope_guard import REMEDIES, installed_rope_regime
    except (ImportError, OSError, RuntimeError) as error:  # a torch without its own libraries, too
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        return None, (
            f"torch and transformers cannot be imported ({said}): install them again, "
            "pip install --force-reinstall torch transformers."
        )
    regime = installed_rope_regime()
    return regime, REMEDIES.get(regime)


def memory_bytes() -> int:
    """Memory this process may use: the machine's, or the container's limit where that is less."""
    limits = [psutil.virtual_memory().total]
    for path in CGROUP_LIMITS:
        if path.is_file() and (text := path.read_text().strip()).isdigit():
            limits.append(int(text))
    return min(limits)


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
