"""A MODEL name → the place where its files lie, and how to read bytes of them.

| MODEL | place |
|---|---|
| `tiny`, `olmo3-7b`, `olmo3-32b` | a directory inside this package |
| a directory | itself |
| `owner/name`, `owner/name@revision` | a repository on the Hugging Face hub |
| `http://…`, `https://…` | a directory on a web server that answers byte ranges |
"""

import mmap
import re
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlsplit

from olmo_explain.errors import (
    CheckpointError,
    ConfigError,
    ExplainError,
    ModelNotFound,
    RemoteError,
    UsageError,
)
from olmo_explain.waiting import progress

if TYPE_CHECKING:  # a command that reads from disk does not wait for an HTTP client
    from olmo_explain.remote import RemoteFile

PRESETS = ("tiny", "olmo3-7b", "olmo3-32b")
HUB_ID = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^\s@]+))?")
HUB_SECONDS = 5.0
HUB_PAUSES = (0.5, 1.0, 2.0)


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
        """Says that bytes [start, end) are read soon, so that the disk may begin now."""
        ...

    def release(self, start: int, end: int) -> None:
        """Lets the system take back the memory of bytes [start, end). They may be read again."""
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
    """A file on this machine, mapped into memory: what is read are views, not copies."""

    def __init__(self, path: Path):
        self.fetched = 0
        self.size = path.stat().st_size
        with path.open("rb") as file:
            # An empty file cannot be mapped.
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if self.size else None
        self._bytes = memoryview(self._map or b"")

    def read(self, start: int, end: int) -> memoryview:
        part = self._bytes[start:end]
        self.fetched += len(part)
        return part

    def read_ranges(self, ranges: Sequence[tuple[int, int]]) -> list[memoryview]:
        return [self.read(start, end) for start, end in ranges]

    def expect(self, start: int, end: int) -> None:
        self._advise("MADV_WILLNEED", start, end)

    def release(self, start: int, end: int) -> None:
        # The pages stay in the system's cache; this process no longer counts them as its own.
        self._advise("MADV_DONTNEED", start, end)

    def _advise(self, advice: str, start: int, end: int) -> None:
        start -= start % mmap.PAGESIZE
        if self._map and start < end and hasattr(mmap, advice):  # not on every system
            self._map.madvise(getattr(mmap, advice), start, min(end, self.size) - start)


class LocalSource:
    """A directory on this machine, also the one of a preset."""

    def __init__(self, directory: Path, name: str | None = None):
        self.directory = directory
        self.name = name or str(directory)

    def read(self, filename: str) -> bytes:
        return self._use(filename, Path.read_bytes)

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
        raise missing_file(self.name, filename)


class WebSource:
    """A directory on a web server. A query in its URL, such as a signature, goes to every file."""

    def __init__(self, url: str):
        from olmo_explain.remote import shown

        try:
            self._url = urlsplit(url)
            is_server = bool(self._url.hostname)
        except ValueError:  # an unfinished [IPv6] address
            is_server = False
        if not is_server:
            raise ModelNotFound(f"{url!r} names no server", "Write https://host/directory")
        self.name = shown(url).rstrip("/")

    @cached_property
    def _session(self) -> Any:
        import requests

        return requests.Session()

    def read(self, filename: str) -> bytes:
        return bytes(self.open(filename).read_whole())

    def open(self, filename: str) -> "RemoteFile":
        from olmo_explain.remote import RemoteFile

        path = f"{self._url.path.rstrip('/')}/{quote(filename)}"
        return RemoteFile(
            self._url._replace(path=path, fragment="").geturl(),
            missing=missing_file(self.name, filename),
            session=self._session,
        )


class HubSource:
    """A repository on the Hugging Face hub, at one commit.

    huggingface_hub resolves the revision and keeps small files in its cache; HF_ENDPOINT, HF_TOKEN,
    HF_HOME and HF_HUB_OFFLINE mean what they mean to it. A large file is read from that cache where
    it is there already, by byte ranges otherwise.
    """

    def __init__(self, repository: str, revision: str | None = None):
        self.repository = repository
        self.revision = revision or "main"
        self.name = f"{repository}@{revision}" if revision else repository

    def read(self, filename: str) -> bytes:
        from huggingface_hub import hf_hub_download

        path = self._ask(
            hf_hub_download, self.repository, filename, revision=self.commit, missing=filename
        )
        return Path(path).read_bytes()

    def open(self, filename: str) -> "LocalFile | RemoteFile":
        from huggingface_hub import get_token, hf_hub_url

        if cached := self._cached(filename, self.commit):
            return LocalFile(cached)
        if self._is_offline:
            raise self._not_in_cache(filename)

        from olmo_explain.remote import RemoteFile

        return RemoteFile(
            hf_hub_url(self.repository, filename, revision=self.commit),
            token=get_token(),
            missing=missing_file(self.name, filename),
        )

    @cached_property
    def commit(self) -> str:
        """The commit that the revision stands for; all files are read from this one.

        Without a network, or with HF_HUB_OFFLINE, the one that the cache remembers.
        """
        from huggingface_hub import HfApi, hf_hub_download

        cached = self._cached("config.json", self.revision)
        if cached and (self._is_offline or cached.parent.name == self.revision):
            return cached.parent.name
        if self._is_offline:
            raise self._not_in_cache("config.json")
        try:
            info = self._ask(
                HfApi().model_info,
                self.repository,
                revision=self.revision,
                timeout=HUB_SECONDS,
                expand=["sha"],
            )
        except RemoteError:
            if not cached:
                raise
            return cached.parent.name
        # By its name, so that the cache remembers what the name stood for.
        self._ask(hf_hub_download, self.repository, "config.json", revision=self.revision)
        return info.sha

    def _cached(self, filename: str, revision: str) -> Path | None:
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError

        try:
            path = try_to_load_from_cache(self.repository, filename, revision=revision)
        except HFValidationError as error:
            raise self._unknown() from error
        return Path(path) if isinstance(path, str) else None

    @property
    def _is_offline(self) -> bool:
        from huggingface_hub import constants

        return constants.HF_HUB_OFFLINE

    # -- asking the hub, and what it answers -----------------------------------------------------

    def _ask(self, call: Callable, *args: Any, missing: str = "config.json", **options: Any) -> Any:
        """`call(*args, **options)`, again when the hub is busy; errors as ExplainError."""
        with progress(f"Waiting for the hub, {self.repository}"):
            return self._ask_again(call, *args, missing=missing, **options)

    def _ask_again(self, call: Callable, *args: Any, missing: str, **options: Any) -> Any:
        from olmo_explain.remote import LONGEST_PAUSE, RETRIED, retry_after

        for pause in (*HUB_PAUSES, None):
            try:
                return call(*args, **options)
            # Beside its own errors come those of its HTTP client: requests, httpx or httpx2.
            except Exception as error:
                response = getattr(error, "response", None)
                status = getattr(response, "status_code", None)
                if pause is None or status not in RETRIED:
                    raise self._in_words(error, status, missing) from None
                asked = retry_after(response.headers)
                pause = pause if asked is None else asked
                if pause > LONGEST_PAUSE:
                    raise self._in_words(error, status, missing) from None
                time.sleep(pause)

    def _in_words(self, error: Exception, status: int | None, filename: str) -> ExplainError:
        from huggingface_hub import constants, errors

        from olmo_explain.remote import shown

        hub = shown(constants.ENDPOINT)
        if isinstance(error, errors.RevisionNotFoundError):
            return ModelNotFound(
                f"{self.repository} has no revision {self.revision!r}",
                "Name one of its branches, tags or commits",
            )
        if isinstance(error, errors.GatedRepoError):
            return RemoteError(
                f"{self.repository} is gated",
                f"Accept its terms at {hub}/{self.repository} and set HF_TOKEN",
            )
        if isinstance(error, (errors.RepositoryNotFoundError, errors.HFValidationError)):
            return self._unknown()
        if isinstance(error, errors.LocalEntryNotFoundError):
            if self._is_offline:
                return self._not_in_cache(filename)
            return RemoteError(f"{hub} stopped answering", "Check the network, then try again")
        if isinstance(error, errors.EntryNotFoundError):
            return missing_file(self.name, filename)
        if status in (401, 403):
            return RemoteError(
                f"{hub} refuses access to {self.repository} ({status})",
                "Check HF_TOKEN: it may have expired, or may not read this repository",
            )
        if status is not None:
            return RemoteError(f"{hub} answered {status} for {self.repository}", "Try again later")
        return RemoteError(
            f"{hub} cannot be reached ({type(error).__name__})",
            "Check the network and HF_ENDPOINT, or name a local directory",
        )

    def _unknown(self) -> ModelNotFound:
        return ModelNotFound(
            f"There is no directory {self.repository} here, and no such model on the hub that you "
            "may read",
            "Check the name; for a private model set HF_TOKEN",
        )

    def _not_in_cache(self, filename: str) -> RemoteError | FileMissing:
        error = RemoteError if filename == "config.json" else FileMissing
        return error(
            f"HF_HUB_OFFLINE is set, and the cache has no {filename} of {self.name}",
            "Unset it, or download the model first",
        )


def preset(name: str) -> LocalSource:
    """The files of `tiny`, `olmo3-7b` or `olmo3-32b`, which come with this package."""
    return LocalSource(Path(str(files("olmo_explain") / "presets" / name)), name)


def resolve(model: ModelLike) -> Source:
    """The source that a MODEL argument names, or is. Asks no server yet. A path is a directory's.

    >>> resolve("allenai/Olmo-3-7B-Instruct@main").repository
    'allenai/Olmo-3-7B-Instruct'
    """
    if isinstance(model, PathLike):
        if directory := _existing_directory(str(model)):
            return LocalSource(directory, str(model))
        raise _no_directory(str(model))
    if not isinstance(model, str):
        if hasattr(model, "read") and hasattr(model, "open"):
            return model
        raise UsageError(
            f"{model!r:.60} names no model", f"Choose {', '.join(PRESETS)}, a directory"
        )
    if model in PRESETS:
        return preset(model)
    if model.startswith(("http://", "https://")):
        return WebSource(model)
    if directory := _existing_directory(model):
        return LocalSource(directory, model)
    if (hub_id := HUB_ID.fullmatch(model)) and not model.startswith("."):
        return HubSource(hub_id["repository"], hub_id["revision"])
    if "/" in model:
        raise _no_directory(model)
    raise ModelNotFound(
        f"No model named {model!r}",
        f"Choose {', '.join(PRESETS)}, a directory, a hub id (owner/name), or a URL",
    )


def _no_directory(name: str) -> ModelNotFound:
    return ModelNotFound(
        f"There is no directory {name}", "Name the directory that holds config.json"
    )


def _existing_directory(name: str) -> Path | None:
    try:
        directory = Path(name).expanduser()
        return directory if name and directory.is_dir() else None
    except (OSError, RuntimeError):  # a name too long, or ~someone who is not here
        return None


def missing_file(name: str, filename: str) -> ConfigError | FileMissing:
    """The error for a file that a source does not have; `filename` says which kind it is."""
    error = ConfigError if filename == "config.json" else FileMissing
    if name in PRESETS and name != "tiny":
        return error(
            f"{name} comes with this package as a config, without weights",
            "Name a directory, a hub id or a URL that holds them",
        )
    return error(
        f"{name} has no {filename}", "Name a directory that holds a checkpoint as it was published"
    )
