"""A MODEL name → the place where its files lie, and how to read bytes of them.

| MODEL | place |
|---|---|
| `tiny`, `olmo3-7b`, `olmo3-32b` | a directory inside this package |
| a directory | itself |
| `owner/name`, `owner/name@revision` | a repository on the Hugging Face hub |
| `http://…`, `https://…` | a directory on a web server that answers byte ranges |
"""

import mmap
import os
import re
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

from olmo_explain.errors import (
    CheckpointError,
    ConfigError,
    ModelNotFound,
    UsageError,
)
from olmo_explain.words import URL, printable, quoted, shown

PRESETS = ("tiny", "olmo3-7b", "olmo3-32b")
WHOLE_FILE_LIMIT = 64 * 2**20  # of config.json, an index: what is read whole
MAPPED_BYTES = 2**20
HUB_ID = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^\s@]+))?")


class FileMissing(CheckpointError):
    """A file that a source does not have."""


class ByteFile(Protocol):
    """A file of which any bytes can be read without the rest."""

    fetched: int
    """Bytes read so far, those between merged ranges included."""

    @property
    def size(self) -> int:
        """Bytes in the whole file."""
        ...

    def read(self, start: int, end: int) -> memoryview | bytearray:
        """Bytes [start, end), or fewer where the file ends before."""
        ...

    def read_ranges(self, ranges: Sequence[tuple[int, int]]) -> list[memoryview]:
        """The bytes of each range [start, end), in order."""
        ...

    def expect(self, start: int, end: int) -> None:
        """Prefetches bytes [start, end): the disk is read while we go on."""
        ...

    def release(self, start: int, end: int) -> None:
        """Gives the memory of bytes [start, end) back to the system. They can be read again."""
        ...

    def check_unchanged(self) -> None:
        """Raises an ExplainError where what was read, or is a view, may be of two versions."""
        ...


class Source(Protocol):
    """A directory of a checkpoint, wherever it lies."""

    name: str
    """What the reader typed, for messages; of a URL, without password and query."""

    def read(self, filename: str) -> bytes:
        """The whole of a small file, such as config.json."""
        ...

    def open(self, filename: str) -> ByteFile:
        """A file to read parts of. Raises FileMissing when there is none, at the first read."""
        ...


ModelLike = str | PathLike | Source
"""A MODEL by its name, its directory as a path, or a source that was made of one."""


class LocalFile:
    """A file on this machine. Much of it is mapped into memory, a view and no copy; little is read.

    CheckpointError when it is another one than it was when it was opened: written to, or cut off.
    To put a new file in its place changes nothing, as the old one stays until it is closed.
    """

    def __init__(self, path: Path):
        self.fetched = 0
        self._name = path.name
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        weakref.finalize(self, os.close, self._descriptor)
        self._as_opened = self._state()
        self.size = self._as_opened[0]
        # An empty file cannot be mapped.
        self._map = mmap.mmap(self._descriptor, 0, access=mmap.ACCESS_READ) if self.size else None
        self._bytes = memoryview(self._map or b"")[: self.size]

    def read(self, start: int, end: int) -> memoryview:
        (part,) = self.read_ranges([(start, min(end, self.size))])
        return part

    def read_ranges(self, ranges: Sequence[tuple[int, int]]) -> list[memoryview]:
        self.check_unchanged()
        parts = [self._part(start, end) for start, end in ranges]
        self.check_unchanged()
        read = sum(map(len, parts))  # counted before: another thread may count meanwhile
        self.fetched += read
        return parts

    def _part(self, start: int, end: int) -> memoryview:
        if end - start >= MAPPED_BYTES or not hasattr(os, "pread"):
            return self._bytes[start:end]
        # What is mapped is lost with the process where the file has been cut off meanwhile.
        try:
            return memoryview(os.pread(self._descriptor, end - start, start))
        except OSError as error:
            raise CheckpointError(
                f"{self._name} cannot be read ({error.strerror})", "Check the disk that it is on"
            ) from error

    def check_unchanged(self) -> None:
        if self._state() != self._as_opened:
            raise CheckpointError(f"{self._name} changed while it was read", "Start again")

    def _state(self) -> tuple[int, int]:
        found = os.fstat(self._descriptor)
        return found.st_size, found.st_mtime_ns

    def expect(self, start: int, end: int) -> None:
        self._advise("MADV_WILLNEED", start, end)

    def release(self, start: int, end: int) -> None:
        # The pages stay in the system's cache, but no longer count as this process's memory.
        self._advise("MADV_DONTNEED", start, end)

    def _advise(self, advice: str, start: int, end: int) -> None:
        start -= start % mmap.PAGESIZE
        if self._map and start < end and hasattr(mmap, advice):  # not on every system
            self._map.madvise(getattr(mmap, advice), start, min(end, self.size) - start)


class Remembering(ABC):
    """A source that reads each small file once, and answers from memory ever after."""

    def __init__(self, name: str):
        self.name = printable(name)
        self._whole: dict[str, bytes] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def read(self, filename: str) -> bytes:
        """The whole of a small file."""
        if filename not in self._whole:
            self._whole[filename] = self._read(filename)
        return self._whole[filename]

    @abstractmethod
    def _read(self, filename: str) -> bytes: ...


class LocalSource(Remembering):
    """A directory on this machine, also the one of a preset."""

    def __init__(self, directory: Path, name: str | None = None):
        super().__init__(name or str(directory))
        self.directory = directory

    def _read(self, filename: str) -> bytes:
        return self._use(filename, lambda path: read_small(path, f"{self.name}/{filename}"))

    def open(self, filename: str) -> LocalFile:
        return self._use(filename, LocalFile)

    def _use(self, filename: str, how: Callable[[Path], Any]) -> Any:
        path = self.directory / filename
        try:
            if path.is_file():
                return how(path)
        except OSError as error:
            raise CheckpointError(
                f"{self.name}/{filename} cannot be read ({error.strerror})",
                "Check that you may read it",
            ) from error
        if path.exists():  # a directory, a pipe, a device
            raise CheckpointError(f"{self.name}/{filename} is no regular file", "Put one there")
        raise missing_file(self.name, filename)


def read_small(path: Path, name: str) -> bytes:
    """The whole of a file that is small. CheckpointError, which calls it `name`, above 64 MiB."""
    with path.open("rb") as file:
        data = file.read(WHOLE_FILE_LIMIT + 1)
    if len(data) > WHOLE_FILE_LIMIT:
        raise CheckpointError(
            f"{name} is longer than the {WHOLE_FILE_LIMIT:,} bytes that are read",
            "Download it again",
        )
    return data


def preset(name: str) -> LocalSource:
    """The files of `tiny`, `olmo3-7b` or `olmo3-32b`, which come with this package."""
    return LocalSource(Path(str(files("olmo_explain.checkpoint") / "presets" / name)), name)


def resolve(model: ModelLike) -> Source:
    """The source that a MODEL argument names, or is. Asks no server yet. A path is a directory's.

    >>> resolve("allenai/Olmo-3-7B-Instruct@main").repository
    'allenai/Olmo-3-7B-Instruct'
    """
    if isinstance(model, PathLike):
        name = os.fsdecode(model)
        if directory := _is_there(name, Path.is_dir):
            # A directory that is called as a preset is not that preset.
            return LocalSource(directory, f"./{name}" if name in PRESETS else name)
        raise _no_directory(name)
    if not isinstance(model, str):
        if hasattr(model, "read") and hasattr(model, "open"):
            return model
        raise UsageError(
            f"{quoted(model)} names no model",
            f"Choose {', '.join(PRESETS)}, a directory",
        )
    if model in PRESETS:
        return preset(model)
    if model.lower().startswith(("http://", "https://")):
        from olmo_explain.checkpoint.web import WebSource  # not before it is needed: an HTTP client

        return WebSource(model)
    if directory := _is_there(model, Path.is_dir):
        return LocalSource(directory, model)
    if _is_there(model, Path.is_file):
        raise _no_directory(model)
    if (hub_id := HUB_ID.fullmatch(model)) and not model.startswith("."):
        from olmo_explain.checkpoint.hub import HubSource

        return HubSource(hub_id["repository"], hub_id["revision"])
    if "/" in model or "\\" in model:
        raise _no_directory(model)
    if model.lower() in PRESETS:
        raise ModelNotFound(f"No model named {shown(model)!r}", f"Write {model.lower()}")
    raise ModelNotFound(
        f"No model named {shown(model)!r}",
        f"Choose {', '.join(PRESETS)}, a directory, a hub id (owner/name), or a URL",
    )


def _no_directory(name: str) -> ModelNotFound:
    if file := _is_there(name, Path.is_file):
        return ModelNotFound(f"{name} is a file", f"Name its directory, {file.absolute().parent}")
    if URL.match(name.strip()):
        return ModelNotFound(
            f"{shown(name).strip()} is no address that is read here",
            "Write http://host/directory or https://host/directory",
        )
    return ModelNotFound(
        f"There is no directory {shown(name)}", "Name the directory that holds config.json"
    )


def _is_there(name: str, kind: Callable[[Path], bool]) -> Path | None:
    try:
        path = Path(name).expanduser()
        return path if name and kind(path) else None
    except (OSError, RuntimeError, ValueError):  # too long, ~someone who is not here, a NUL
        return None


def missing_file(name: str, filename: str) -> ConfigError | FileMissing:
    """The error for a file that a source does not have; `filename` says which kind it is."""
    error = ConfigError if filename == "config.json" else FileMissing
    if name in PRESETS and name != "tiny":
        return error(
            f"{name} comes with this package as a config, without weights",
            "Name a directory, a hub id or a URL that holds them",
        )
    todo = "Name a directory that holds a checkpoint as it was published"
    if filename.endswith(".safetensors"):
        todo += (
            ": only safetensors are read, and nothing is unpickled, which could run any code; "
            "https://huggingface.co/spaces/safetensors/convert makes them of a .bin"
        )
    return error(f"{name} has no {filename}", todo)
