"""How much memory this machine, or the container that we are in, has and has free."""

from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")
CGROUP_FILES = (  # a container's limit, what it uses, and its account; version 2, then version 1
    ("memory.max", "memory.current", "memory.stat"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
)


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
        most, now = _number(limit), _number(used)
        if most is not None and now is not None:
            free.append(max(0, most - now + _inactive_file(account)))
    return min(free)


def _number(name: str) -> int | None:
    path = CGROUP / name
    text = path.read_text(encoding="ascii").strip() if path.is_file() else ""
    return int(text) if text.isdigit() else None  # "max": no limit


def _inactive_file(name: str) -> int:
    path = CGROUP / name
    lines = path.read_text(encoding="ascii").splitlines() if path.is_file() else []
    account = dict(line.split() for line in lines)
    return int(account.get("total_inactive_file", account.get("inactive_file", 0)))
