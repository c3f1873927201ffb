"""A 7B for real: what each command takes on 14.6 GB of random weights, in time and in memory.

    python -m benchmarks.seven_b DIRECTORY [--limit 8] [--json PATH]

Writes the checkpoint into DIRECTORY, unless it is there (see random_checkpoint.py), runs the
commands on it one after the other, and tells of each its wall time, its anonymous memory (what the
process really owns) and its file-backed memory (pages of the mapped files, which the system may
drop at any time), both at their peaks. Then it runs them again in a cgroup of `--limit` GB, the
weights first dropped from the page cache, so that these, too, have to fit. Linux only.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.frame import machine
from benchmarks.random_checkpoint import ending_in_one_line, fields_like, write_with_progress
from olmo_explain.waiting import progress

GB = 10**9
EVERY_SECONDS = 0.02  # between two looks at a process's memory

COMMANDS = {
    "config": ["config", "{model}"],
    "trace": ["trace", "{model}"],
    "head, one": ["head", "{model}", "--layer", "{layer}", "--head", "{head}"],
    "head, all": ["head", "{model}", "--all"],
    "verify": ["verify", "{model}"],
    "report": ["report", "{model}"],
}


@dataclass(frozen=True)
class Ran:
    """One command: wall seconds, peaks in bytes, and what it said.

    `peak_bytes` is the system's own high-water mark of both kinds together; the other two are the
    highest of samples. `note`: what went wrong, or what the command found.
    """

    command: str
    limit_bytes: int | None
    exit: int
    seconds: float
    peak_anonymous_bytes: int
    peak_file_backed_bytes: int
    peak_bytes: int
    note: str


def run(name: str, words: list[str], limit: "Limit | None" = None) -> Ran:
    """Runs `olmo-explain` with these words, in this interpreter's environment."""
    command = [sys.executable, "-m", "olmo_explain", *words, "--json"]
    if limit:
        command = limit.wrap(command)
    peaks = {"RssAnon": 0, "RssFile": 0, "VmHWM": 0}
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        started = time.perf_counter()
        with subprocess.Popen(command, stdout=out, stderr=err) as process:
            while process.poll() is None:
                for field, size in _memory(process.pid).items():
                    peaks[field] = max(peaks[field], size)
                time.sleep(EVERY_SECONDS)
        seconds = time.perf_counter() - started
        out.seek(0)
        err.seek(0)
        note = _note(name, process.returncode, out.read(), err.read())
    return Ran(
        command=name,
        limit_bytes=limit and limit.size,
        exit=process.returncode,
        seconds=seconds,
        peak_anonymous_bytes=peaks["RssAnon"],
        peak_file_backed_bytes=peaks["RssFile"],
        peak_bytes=peaks["VmHWM"],
        note=note,
    )


def _memory(pid: int) -> dict[str, int]:
    """Bytes that a process has now, by kind. Nothing of one that has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    fields = (line.partition(":")[::2] for line in lines)
    kinds = ("RssAnon", "RssFile", "VmHWM")
    return {name: 1024 * int(value.split()[0]) for name, value in fields if name in kinds}


def _note(name: str, code: int, out: str, err: str) -> str:
    if code < 0:
        return f"ended by signal {-code}" + (": out of memory" if code == -9 else "")
    if code > 1 or not out.strip():
        return (err.strip() or "said nothing").splitlines()[-1]
    said = json.loads(out)
    if name == "verify":
        equal = sum(step["equal"] for step in said["steps"])
        return f"{equal:,} of {len(said['steps']):,} values equal, {said['dtype']}"
    if name == "trace":
        return f"{said['total']:,} calls, {said['bytes_read'] / GB:.2f} GB of weights read"
    if name == "report":
        verdicts = [claim["verdict"] for claim in said["claims"]]
        return ", ".join(f"{verdicts.count(kind)} {kind}" for kind in dict.fromkeys(verdicts))
    return ""


# -- a limit ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Limit:
    """Words that start a command within `size` bytes of memory, page cache included."""

    size: int
    prefix: tuple[str, ...]

    def wrap(self, command: list[str]) -> list[str]:
        return [*self.prefix, *command]


@contextmanager
def limited(size: int) -> Iterator[Limit | str]:
    """A Limit, for as long as it lasts; or why there can be none, in words."""
    reasons = []
    for make in (_cgroup_2, _cgroup_1):
        try:
            group = make(size)
        except OSError as error:
            reasons.append(f"{make.__doc__}: {error.strerror}")
            continue
        try:
            join = 'echo $$ > "$0" && exec "$@"'
            yield Limit(size, ("sh", "-c", join, str(group / "cgroup.procs")))
        finally:
            group.rmdir()
        return
    if Path("/run/systemd/system").is_dir() and shutil.which("systemd-run"):
        scope = ("systemd-run", "--quiet", "--scope", "-p", f"MemoryMax={size}")
        yield Limit(size, (*scope, "-p", "MemorySwapMax=0"))
        return
    reasons.append("systemd: does not run here")
    yield "; ".join(reasons)


def _cgroup_2(size: int) -> Path:
    """cgroup v2"""
    return _group(Path("/sys/fs/cgroup"), {"memory.max": size})


def _cgroup_1(size: int) -> Path:
    """cgroup v1"""
    return _group(Path("/sys/fs/cgroup/memory"), {"memory.limit_in_bytes": size})


def _group(parent: Path, settings: dict[str, int]) -> Path:
    group = parent / f"olmo_explain_{os.getpid()}"
    group.mkdir()
    try:
        for name, value in settings.items():
            with (group / name).open("r+") as setting:  # not made where the kernel has none
                setting.write(str(value))
    except OSError:
        group.rmdir()
        raise
    return group


def drop_from_cache(directory: Path) -> None:
    """The next read of the weights comes from the disk."""
    for shard in directory.glob("*.safetensors"):
        file = os.open(shard, os.O_RDONLY)
        os.fsync(file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)


# -- telling ---------------------------------------------------------------------------------------


def show(console: Console, title: str, rows: list[Ran]) -> None:
    """A row a command, memory in GB of 10⁹ bytes."""
    table = Table(title=title)
    for column in ("command", "exit", "seconds", "anonymous", "file-backed", "found"):
        table.add_column(column, justify="left" if column in ("command", "found") else "right")
    for row in rows:
        sizes = (row.peak_anonymous_bytes, row.peak_file_backed_bytes)
        memory = (f"{size / GB:.2f} GB" for size in sizes)
        table.add_row(row.command, str(row.exit), f"{row.seconds:.2f}", *memory, row.note)
    console.print(table)


def measure(directory: Path, fields: dict[str, Any], limit: Limit | None = None) -> list[Ran]:
    """Every command on the checkpoint in the directory."""
    places = {
        "model": str(directory),
        "layer": fields["num_hidden_layers"] * 17 // 32,
        "head": fields["num_attention_heads"] * 27 // 32,
    }
    rows = []
    within = f" in {limit.size / GB:.0f} GB" if limit else ""
    for name, words in COMMANDS.items():
        if limit:
            drop_from_cache(directory)
        with progress(f"olmo-explain {words[0]}{within}"):
            rows.append(run(name, [word.format_map(places) for word in words], limit))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--like", default="olmo3-7b", help="whose config.json")
    parser.add_argument("--layers", type=int, help="only the first of its layers")
    parser.add_argument("--limit", type=float, default=8, help="GB of memory; 0 for none")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    console, why_not = Console(), None
    with ending_in_one_line():
        fields = fields_like(options.like, options.layers)
        directory = write_with_progress(options.directory, fields)
        size = sum(shard.stat().st_size for shard in directory.glob("*.safetensors"))
        rows = measure(directory, fields)
        show(console, f"{size / GB:.1f} GB of random weights, like {options.like}", rows)
        if options.limit:
            with limited(int(options.limit * GB)) as limit:
                if isinstance(limit, str):
                    why_not = limit
                    console.print(f"Not repeated under a limit. {why_not}.")
                else:
                    within = measure(directory, fields, limit)
                    show(console, f"The same in {options.limit:g} GB, weights from disk", within)
                    rows += within
    if options.json:
        told = {"machine": machine(), "model": options.like, "bytes": size}
        told |= {"commands": [asdict(row) for row in rows], "not_limited": why_not}
        options.json.write_text(json.dumps(told, indent=2) + "\n")
    sys.exit(max(row.exit != 0 for row in rows if row.command != "report"))


if __name__ == "__main__":
    main()
