"""Doors of rooms: their names load when they are first used, and what is missing is said.

`pip install olmo-explain` brings what reads config.json and weights. The model itself, and whatever
computes with it, needs the extra `torch`. Who asks for that without having it is told what to type:

>>> print(NotInstalled("torch"))
This needs torch, which is not installed. Type: pip install "olmo-explain[torch]".
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import lazy_loader

from olmo_explain.errors import ExplainError

EXTRAS = {
    "torch": (
        "IPython", "accelerate", "anywidget", "ipywidgets", "jaxtyping", "jinja2", "tokenizers",
        "torch", "traitlets", "transformers",
    ),
    "lab": ("jupyter_client", "jupyter_core", "jupyterlab"),
}  # fmt: skip
"""The extras that a reader may lack, each with the modules that come with it."""


def is_installed(module: str) -> bool:
    return find_spec(module) is not None


class NotInstalled(ExplainError, ImportError):
    """A package is missing that one of our extras brings."""

    def __init__(self, module: str):
        extra = next(extra for extra, modules in EXTRAS.items() if module in modules)
        if extra == "torch" and not is_installed("torch"):
            module = "torch"  # whose absence says more than that of what came with it
        super().__init__(
            f"This needs {module}, which is not installed",
            f'Type: pip install "olmo-explain[{extra}]"',  # cmd.exe knows no single quotes
        )
        self.name = module


@contextmanager
def saying_what_is_missing() -> Iterator[None]:
    """Raises NotInstalled where an import fails that an extra would mend. Decorates, too."""
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if any(module in modules for modules in EXTRAS.values()) and not is_installed(module):
            raise NotInstalled(module) from None
        raise


def door(
    package: str, file: str
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """`__getattr__`, `__dir__` and `__all__` of a room, from the `__init__.pyi` beside `file`."""
    load, names, every = lazy_loader.attach_stub(package, file)
    return saying_what_is_missing()(load), names, every
