"""The one way in which anything is put on a model, and the one way in which it comes off again.

>>> with hooked() as hooks, torch.no_grad():
...     hooks.after(model.lm_head, lambda args, output: print(tuple(output.shape)))
...     _ = model(torch.tensor([[5, 6]]))
(1, 2, 2048)
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import RLock, get_ident
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

_LOCK = RLock()


class Hooks:
    """What is on the model now; all of it comes off together, the last first.

    `before` and `after` only look, and hear of their own thread alone: what another one runs
    meanwhile is not theirs. `change_input` and `change_output` change what every thread computes.
    """

    def __init__(self, undo: ExitStack):
        self._undo = undo
        self._thread = get_ident()

    @property
    def are_ours(self) -> bool:
        """Whether what runs now runs in the thread that put them on."""
        return get_ident() == self._thread

    def before(self, module: nn.Module, look: Callable[[tuple, dict[str, Any]], None]) -> None:
        """Calls `look(args, kwargs)` before each call of the module."""

        def hook(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
            if self.are_ours:
                look(args, kwargs)

        self.add(module.register_forward_pre_hook(hook, with_kwargs=True))

    def after(self, module: nn.Module, look: Callable[[tuple, Any], None]) -> None:
        """Calls `look(args, output)` after each call of the module."""

        def hook(module: nn.Module, args: tuple, output: Any) -> None:
            if self.are_ours:
                look(args, output)

        self.add(module.register_forward_hook(hook))

    def change_input(self, module: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
        """Puts `change(x)` in the place of the module's first input."""

        def hook(module: nn.Module, args: tuple) -> tuple:
            return change(args[0]), *args[1:]

        self.add(module.register_forward_pre_hook(hook))

    def change_output(self, module: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
        """Puts `change(output)` in the place of the module's output."""

        def hook(module: nn.Module, args: tuple, output: Tensor) -> Tensor:
            return change(output)

        self.add(module.register_forward_hook(hook))

    def add(self, handle: RemovableHandle) -> None:
        """Takes over what any of torch's `register_…hook` gave."""
        self._undo.callback(handle.remove)

    def on_exit(self, function: Callable[..., Any], *args: Any) -> None:
        """Calls `function(*args)` in its turn when all comes off."""
        self._undo.callback(function, *args)


@contextmanager
def hooked() -> Iterator[Hooks]:
    """Everything that is put on by what this gives is gone when it ends, also after an exception.

    One thread at a time: another that wants to put something on a model waits for the end.
    """
    with _LOCK, ExitStack() as undo:
        yield Hooks(undo)
