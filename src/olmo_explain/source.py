"""A MODEL name → the place where its files lie, and how to read bytes of them.

| MODEL | place |
|---|---|
| `tiny`, `olmo3-7b`, `olmo3-32b` | a directory inside this package |
| a directory | itself |
| `owner/name`, `owner/name@revision` | a repository on the Hugging Face hub |
| `http://…`, `https://…` | a directory on a web server that answers byte ranges |
"""

from importlib.resources import files
from pathlib import Path
from typing import Protocol

from olmo_explain.errors import CheckpointError, ConfigError, ModelNotFound

PRESETS = ("tiny", "olmo3-7b", "olmo3-32b")


class Source(Protocol):
    """A directory of a checkpoint, wherever it lies."""

    name: str
    """What the reader typed, for messages."""

    def read(self, filename: str) -> bytes:
        """The whole of a small file, such as config.json."""
        ...


class LocalSource:
    """A directory on this machine, also the one of a preset."""

    def __init__(self, directory: Path, name: str | None = None):
        self.directory = directory
        self.name = name or str(directory)

    def read(self, filename: str) -> bytes:
        path = self.directory / filename
        if not path.is_file():
            error = ConfigError if filename == "config.json" else CheckpointError
            raise error(
                f"{self.name} has no {filename}",
                "Name a directory that holds a checkpoint as it was published",
            )
        return path.read_bytes()


def preset(name: str) -> LocalSource:
    """The files of `tiny`, `olmo3-7b` or `olmo3-32b`, which come with this package."""
    return LocalSource(Path(str(files("olmo_explain") / "presets" / name)), name)


def resolve(model: str) -> Source:
    """The source that a MODEL argument names."""
    if model in PRESETS:
        return preset(model)
    if (directory := Path(model).expanduser()).is_dir():
        return LocalSource(directory, model)
    raise ModelNotFound(
        f"No model named {model!r}",
        f"Choose {', '.join(PRESETS)}, a directory, a hub id (owner/name), or a URL",
    )
