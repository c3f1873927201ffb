"""What can go wrong, in words a reader can act on.

Every error that bad input may cause is an `ExplainError`: one line that says what was wrong and
what to do about it. The command line prints that line and exits with 2; a notebook shows it too.
"""

from olmo_explain.words import printable, shortened, without_keys


class ExplainError(Exception):
    """One line for the reader: `wrong`, what was found, and `todo`, what to do about it.

    Both may quote what others wrote: no control character of it, no password in it and no more
    than some hundred letters get through.

    >>> print(ExplainError("No model named 'olmo3-8b'", "Choose tiny, olmo3-7b or olmo3-32b"))
    No model named 'olmo3-8b'. Choose tiny, olmo3-7b or olmo3-32b.
    """

    def __init__(self, wrong: str, todo: str):
        self.wrong, self.todo = (_fit_to_show(part).rstrip(".") for part in (wrong, todo))
        stop = "" if self.todo.endswith("?") else "."
        super().__init__(f"{self.wrong}. {self.todo}{stop}")


def _fit_to_show(text: str) -> str:
    return shortened(printable(without_keys(" ".join(text.split()))))


class ModelNotFound(ExplainError):
    """A MODEL argument that names nothing: no preset, no directory, no repository, no server."""


class ConfigError(ExplainError):
    """A config.json that is missing, not JSON, or not that of an OLMo 2 or OLMo 3."""


class CheckpointError(ExplainError):
    """A safetensors file that is missing, damaged, or holds no such tensor."""


class RemoteError(ExplainError):
    """A server or the hub that could not be reached, or answered what cannot be used."""


class OutOfRange(ExplainError):
    """A layer, head, row, column or token id that the model does not have."""


class ProcessLost(ExplainError):
    """One of several processes that share a model stopped before the others."""


class UsageError(ExplainError):
    """Options that do not fit together, or a value that cannot be read."""
