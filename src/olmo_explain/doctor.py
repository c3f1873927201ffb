"""This installation: what is installed, what it has room for, and whether its OLMo 3 is right."""

import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

PACKAGES = ("olmo-explain", "torch", "transformers", "safetensors", "huggingface-hub", "anywidget")
CGROUP = Path("/sys/fs/cgroup")
CGROUP_FILES = (  # a container's limit, what it uses, and its account; version 2, then version 1
    ("memory.max", "memory.current", "memory.stat"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
)
NEEDED_MEMORY = 2 * 10**9  # bytes; the least that Binder gives, and more than any chapter's peak
NEEDED_DISK = 2**30


def examine() -> dict[str, Any]:
    """Versions, memory and disk in bytes, the measured RoPE regime, and every problem in a line.

    Where torch or transformers cannot be imported, the regime is None and that is a problem too.
    """
    memory, disk = memory_bytes(), shutil.disk_usage(Path.cwd()).free
    problems = []
    if memory < NEEDED_MEMORY:
        problems.append(
            f"{memory / 1e9:.1f} GB of memory: the chapters need {NEEDED_MEMORY / 1e9:.0f} GB."
        )
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
    limits = [_number(limit) for limit, _, _ in CGROUP_FILES]
    return min([psutil.virtual_memory().total, *(found for found in limits if found is not None)])


def free_memory_bytes() -> int:
    """Memory still free for this process: of the machine, and of the container if it is in one.

    A container's use counts the pages of files that it has read; those that nobody has looked at
    lately (`inactive_file`) are given back when memory is short, and count as free.
    """
    free = [psutil.virtual_memory().available]
    for limit, used, account in CGROUP_FILES:
        if None not in (most := _number(limit), now := _number(used)):
            free.append(max(0, most - now + _inactive_file(account)))
    return min(free)


def _number(name: str) -> int | None:
    path = CGROUP / name
    text = path.read_text().strip() if path.is_file() else ""
    return int(text) if text.isdigit() else None  # "max": no limit


def _inactive_file(name: str) -> int:
    path = CGROUP / name
    lines = path.read_text().splitlines() if path.is_file() else []
    account = dict(line.split() for line in lines)
    return int(account.get("total_inactive_file", account.get("inactive_file", 0)))


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
