"""A repository on the Hugging Face hub: its commit, its files, and byte ranges of large ones."""

from __future__ import annotations

import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NoReturn

from olmo_explain.checkpoint.source import (
    FileMissing,
    LocalFile,
    Remembering,
    missing_file,
    read_small,
)
from olmo_explain.checkpoint.web import RETRY, RemoteFile, pause
from olmo_explain.errors import ExplainError, ModelNotFound, RemoteError, UsageError
from olmo_explain.settings import is_server, proxies, wrong_setting
from olmo_explain.waiting import progress
from olmo_explain.words import shown

COMMIT = re.compile("[0-9a-f]{40}")
SECONDS = 5.0
MOST_SECONDS = 30.0  # of one call of huggingface_hub for a small file, its own tries included


class HubSource(Remembering):
    """A repository on the Hugging Face hub, at one commit.

    huggingface_hub resolves the revision and keeps small files in its cache; HF_ENDPOINT, HF_TOKEN,
    HF_HOME and HF_HUB_OFFLINE mean what they mean to it. A large file is read from that cache where
    it is there already, by byte ranges otherwise.
    """

    def __init__(self, repository: str, revision: str | None = None):
        super().__init__(f"{repository}@{revision}" if revision else repository)
        self.repository = repository
        self.revision = revision or "main"
        try:  # here its settings are read
            from huggingface_hub import constants
        except ValueError as error:
            raise wrong_setting(error) or UsageError(
                f"huggingface_hub refuses one of its settings ({error})",
                "Check HF_ENDPOINT, and what else begins with HF_",
            ) from None
        if not is_server(constants.ENDPOINT):
            raise UsageError("HF_ENDPOINT names no server", "Write https://host, or unset it")
        self._settings = constants

    def _read(self, filename: str) -> bytes:
        from huggingface_hub import hf_hub_download

        path = self._ask(
            hf_hub_download, self.repository, filename, revision=self.commit, missing=filename
        )
        return self._ask(read_small, Path(path), f"{self.name}/{filename}")

    def open(self, filename: str) -> LocalFile | RemoteFile:
        from huggingface_hub import get_token, hf_hub_url

        if cached := self._cached(filename, self.commit):
            return LocalFile(cached)
        if self._settings.HF_HUB_OFFLINE:
            raise self._not_in_cache(filename)

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
        if cached and (self._settings.HF_HUB_OFFLINE or cached.parent.name == self.revision):
            return cached.parent.name
        if self._settings.HF_HUB_OFFLINE:
            raise self._not_in_cache("config.json")
        try:
            info = self._ask(
                HfApi().model_info,
                self.repository,
                revision=self.revision,
                timeout=SECONDS,
                expand=["sha"],
            )
        except (RemoteError, UsageError):  # no network, or a setting that bars the way to it
            if not cached:
                raise
            return cached.parent.name
        if not COMMIT.fullmatch(str(info.sha)):  # it becomes a part of paths
            raise RemoteError(
                f"{shown(self._settings.ENDPOINT)} names no commit of {self.repository}",
                "Check HF_ENDPOINT",
            )
        # By its name, so that the cache remembers what the name stood for.
        self._ask(hf_hub_download, self.repository, "config.json", revision=self.revision)
        return info.sha

    def revisions(self) -> dict[str, str]:
        """The commit that each branch and each tag stands for now; asks the hub each time."""
        from huggingface_hub import HfApi

        if self._settings.HF_HUB_OFFLINE:
            raise RemoteError(
                "HF_HUB_OFFLINE is set, and only the hub knows its revisions",
                "Unset it, or name commits",
            )
        refs = self._ask(HfApi().list_repo_refs, self.repository)
        found = {ref.name: str(ref.target_commit) for ref in (*refs.tags, *refs.branches)}
        return {name: commit for name, commit in found.items() if COMMIT.fullmatch(commit)}

    def pinned(self, revision: str, commit: str) -> HubSource:
        """The repository at a commit that is known for this revision, so that none is asked for."""
        source = HubSource(self.repository, revision)
        source.commit = commit
        return source

    def _cached(self, filename: str, revision: str) -> Path | None:
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError

        try:
            path = try_to_load_from_cache(self.repository, filename, revision=revision)
        except HFValidationError as error:
            raise self._unknown() from error
        return Path(path) if isinstance(path, str) else None

    # -- asking the hub, and what it answers -----------------------------------------------------

    def _ask(self, call: Callable, *args: Any, missing: str = "config.json", **options: Any) -> Any:
        """`call(*args, **options)`, again when the hub is busy; errors as ExplainError."""
        retry = RETRY
        with progress(f"Waiting for the hub, {self.repository}"):
            while True:
                try:
                    return self._within_reason(lambda: call(*args, **options), missing)
                except ExplainError:
                    raise
                # Beside its own errors come those of its HTTP client: requests, httpx or httpx2.
                except Exception as error:
                    response = getattr(error, "response", None)
                    status = getattr(response, "status_code", None)
                    said = self._in_words(error, status, missing)
                if status not in RETRY.status_forcelist:
                    raise said
                retry = pause(retry, said.wrong, response)

    def _within_reason(self, call: Callable[[], Any], filename: str) -> Any:
        """What `call` gives. RemoteError where it is not done after 30 s; then it is left alone.

        A plain thread, as Python's end waits for those of a pool.
        """
        ended: list[Callable[[], Any]] = []

        def run() -> None:
            try:
                result = call()
                ended.append(lambda: result)
            except BaseException as error:
                ended.append(partial(_raise, error))

        began = time.monotonic()
        (thread := threading.Thread(target=run, daemon=True)).start()
        thread.join(MOST_SECONDS)
        if ended:
            return ended[0]()
        raise RemoteError(
            f"{shown(self._settings.ENDPOINT)} has not sent {filename} of {self.repository} within "
            f"{time.monotonic() - began:.0f} s",
            "Try again later",
        )

    def _in_words(self, error: Exception, status: int | None, filename: str) -> ExplainError:
        from huggingface_hub import errors

        hub = shown(self._settings.ENDPOINT)
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
            if self._settings.HF_HUB_OFFLINE:
                return self._not_in_cache(filename)
            if isinstance(error.__cause__, errors.FileMetadataError):  # no commit, or no size
                return self._unusable(error.__cause__)
            if error.__cause__ and (wrong := wrong_setting(error.__cause__)):
                return wrong
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
        if wrong := wrong_setting(error):
            return wrong
        if isinstance(error, OSError) and error.strerror and not _is_of_network(error):
            return RemoteError(
                f"The cache of the hub cannot be used: {error.filename or ''} ({error.strerror})",
                "Set HF_HOME to another directory, with room, where you may write",
            )
        if not _is_of_network(error):
            return self._unusable(error)
        to_check = ", ".join(["the network", *proxies()])
        return RemoteError(
            f"{hub} cannot be reached ({type(error).__name__})",
            f"Check {to_check} and HF_ENDPOINT, or name a local directory, or tiny, which needs "
            "no network",
        )

    def _unusable(self, error: BaseException) -> RemoteError:
        return RemoteError(
            f"{shown(self._settings.ENDPOINT)} answered what cannot be used "
            f"({type(error).__name__})",
            "Check HF_ENDPOINT, or name a local directory",
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


def _raise(error: BaseException) -> NoReturn:
    raise error


def _is_of_network(error: Exception) -> bool:
    """Whether a connection failed, and not a disk. httpx is not imported for its errors."""
    kinds = (ConnectionError, TimeoutError, socket.gaierror, ssl.SSLError)
    names = {kind.__name__ for kind in type(error).__mro__}
    its_own = {"NetworkError", "TimeoutException", "ProxyError"}
    return isinstance(error, kinds) or bool(names & its_own)
