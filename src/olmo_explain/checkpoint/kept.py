"""Slices of heads that were read from the hub, kept in the user's cache directory. No torch.

A commit never changes, so what was read of one is never read again. A slice is a file of its own,
whole or not there:

    ~/.cache/olmo-explain/heads/owner--name/COMMIT/17.27.q_proj.BF16.npy
"""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np

from olmo_explain.checkpoint.heads import Stored
from olmo_explain.checkpoint.safetensors import BITS
from olmo_explain.errors import UsageError
from olmo_explain.words import printable


class KeptHeads:
    """What is kept of one head of one repository. In a directory that goes with this process,
    and with a warning, where the user's own cannot be written to."""

    def __init__(self, repository: str, layer: int, head: int):
        self._head = f"{layer}.{head}"
        self.directory = directory_of(repository)
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.directory):
                pass
        except OSError as error:
            why = f"{self.directory} cannot be written to ({error.strerror})"
            warnings.warn(f"{printable(why)}: what is read now is not kept", stacklevel=2)
            self._temporary = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
            self.directory = Path(self._temporary.name)

    def find(self, commit: str, projection: str) -> Stored | None:
        """A slice; None where it is not kept, or what is there is not what was written."""
        for dtype in BITS:
            try:
                bits = np.load(self._path(commit, projection, dtype), allow_pickle=False)
            except (OSError, ValueError, EOFError):
                continue
            if bits.dtype == BITS[dtype] and bits.ndim == 2:
                return Stored(bits, dtype)
        return None

    def keep(self, commit: str, projection: str, stored: Stored) -> None:
        """Puts a slice there, whole. UsageError where there is no room for it."""
        path = self._path(commit, projection, stored.dtype)
        part = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(exist_ok=True)
            try:
                with part.open("wb") as file:
                    np.save(file, stored.bits, allow_pickle=False)
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
        except OSError as error:
            raise UsageError(
                f"{self.directory} cannot be written to ({error.strerror or error})",
                "Make room there, or set XDG_CACHE_HOME to another place",
            ) from error

    def _path(self, commit: str, projection: str, dtype: str) -> Path:
        return self.directory / commit / f"{self._head}.{projection}.{dtype}.npy"


def directory_of(repository: str) -> Path:
    """Where the slices of a repository's heads are kept, in XDG_CACHE_HOME or ~/.cache."""
    root = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
    return Path(root) / "olmo-explain" / "heads" / repository.replace("/", "--")


def forget_heads(repository: str) -> int:
    """Deletes what is kept of a repository's heads. Returns how many bytes that were.

    >>> forget_heads("someone/of-whom-nothing-is-kept")
    0
    """
    directory = directory_of(repository)
    size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    shutil.rmtree(directory, ignore_errors=True)
    return size
