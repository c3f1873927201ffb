"""The one way in which anything is put on a model, and the one way in which it comes off again.

>>> with hooked() as hooks, no_grad():
...     hooks.after(model.lm_head, lambda args, output: print(tuple(output.shape)))
...     _ = model(torch.tensor([[5, 6]]))
(1, 2, 2048)
"""

from collections.abc import Callable
from functools import partial
from threading import get_ident
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules import module as every_module
from torch.utils._python_dispatch import TorchDispatchMode

from olmo_explain.checkpoint import BYTES_PER_PARAMETER, OlmoConfig, config_of
from olmo_explain.errors import UsageError
from olmo_explain.undo import Undo
from olmo_explain.words import quoted

Given = TypeVar("Given")


class Hooks(Undo[Given], Generic[Given]):
    """What is on a model now; all of it comes off together, whatever happens meanwhile.

    `before` and `after` only look, and hear of their own thread alone: what another one runs
    meanwhile is not theirs. `change_input` and `change_output` change what every thread computes.
    """

    def __init__(self, begin: Callable[["Hooks"], Given]):
        super().__init__(begin)
        self._thread = get_ident()

    def before(self, module: nn.Module, look: Callable[[tuple, dict[str, Any]], None]) -> None:
        """Calls `look(args, kwargs)` before each call of the module."""
        thread = self._thread

        def hook(module: nn.Module, args: tuple, kwargs: dict[str, Any] | None = None) -> None:
            if get_ident() == thread and kwargs is not None:
                look(args, kwargs)

        self._insert(module._forward_pre_hooks, hook, module._forward_pre_hooks_with_kwargs)

    def after(self, module: nn.Module, look: Callable[[tuple, Any], None]) -> None:
        """Calls `look(args, output)` after each call of the module."""
        thread = self._thread

        def hook(module: nn.Module, args: tuple, output: Any) -> None:
            if get_ident() == thread:
                look(args, output)

        self._insert(module._forward_hooks, hook)

    def change_input(self, module: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
        """Puts `change(x)` in the place of the module's first input."""

        def hook(module: nn.Module, args: tuple) -> tuple:
            return change(args[0]), *args[1:]

        self._insert(module._forward_pre_hooks, hook)

    def change_output(self, module: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
        """Puts `change(output)` in the place of the module's output."""

        def hook(module: nn.Module, args: tuple, output: Tensor) -> Tensor:
            return change(output)

        self._insert(module._forward_hooks, hook)

    def before_all(self, hook: Callable[[nn.Module, tuple], None]) -> None:
        """Calls `hook(module, args)` before each call of any module there is, in every thread."""
        self._insert(every_module._global_forward_pre_hooks, hook)

    def after_all(self, hook: Callable[..., None]) -> None:
        """Calls `hook(module, args, kwargs, output)` after each call of any module there is; in
        another thread than ours perhaps once more without kwargs.
        """
        kwargs = every_module._global_forward_hooks_with_kwargs
        self._insert(every_module._global_forward_hooks, hook, kwargs)

    def at_end_of_all(self, hook: Callable[[nn.Module, tuple, Any], None]) -> None:
        """Calls `hook(module, args, output)` after each call, also where the module raised."""
        always = every_module._global_forward_hooks_always_called
        self._insert(every_module._global_forward_hooks, hook, always)

    def dispatch_to(self, mode: TorchDispatchMode) -> None:
        """Shows `mode` every operator that this thread dispatches."""
        begin = partial(torch._C._push_on_torch_dispatch_stack, mode)
        self.now_and_later(begin, partial(torch._C._pop_torch_dispatch_stack, None))

    def _insert(self, hooks: dict[Any, Any], hook: Callable, *flags: dict[Any, bool]) -> None:
        # As torch's `register_…hook` does it. Those return a handle, which an interrupt may lose
        # between the hook's way in and our taking hold of it. What another thread runs may call a
        # hook once more when it is off, and then without what its flags ask for.
        key = object()
        for flag in flags:
            self.put(flag, key, True)
        self.put(hooks, key, hook)


def hooked() -> Hooks[Hooks]:
    """Everything that is put on by what this gives is gone when the `with` block ends."""
    return Hooks(lambda hooks: hooks)


def check_hookable(model: Any) -> None:
    """UsageError for what is no module, and for a compiled one: its code calls no new hooks."""
    if not isinstance(model, nn.Module):
        what = quoted(model) if isinstance(model, str) else type(model).__name__
        raise UsageError(
            f"{what} is no loaded model", "Load it first: model, tokenizer = oe.load(…)"
        )
    if hasattr(model, "_orig_mod") or any(it._compiled_call_impl for it in model.modules()):
        raise UsageError(
            "This model is compiled, and compiled code does not call hooks",
            "Give the model as it was before torch.compile",
        )


AN_OLMO = "Give an OLMo 2 or 3 for causal language modelling, as load(…) gives"
OUTSIDE = ("model.embed_tokens", "model.norm", "lm_head")
IN_A_LAYER = (
    *(f"self_attn.{part}" for part in ("q_proj", "k_proj", "v_proj", "q_norm", "k_norm", "o_proj")),
    *(f"mlp.{part}" for part in ("gate_proj", "up_proj", "act_fn", "down_proj")),
    "post_attention_layernorm", "post_feedforward_layernorm",
)  # fmt: skip


def check_olmo(model: Any, config: OlmoConfig | None = None) -> OlmoConfig:
    """The config of a loaded OLMo, or the one given; UsageError where the two do not fit.

    Every module that hooks are put on has to be there, in as many layers as the config says.
    """
    check_hookable(model)
    own = config_of(model)
    config = own if config is None else config
    layers = getattr(getattr(model, "model", None), "layers", None)
    layers = layers if isinstance(layers, nn.ModuleList) else ()
    inside = [f"model.layers.{at}.{part}" for at in range(len(layers)) for part in IN_A_LAYER]
    modules = dict(model.named_modules(remove_duplicate=False))
    dtypes = {str(it.dtype).removeprefix("torch.") for it in model.parameters()}
    what = type(model).__name__
    if missing := [path for path in (*OUTSIDE, *inside) if path not in modules]:
        wrong = f"{what} has no {missing[0]}"
    elif len(layers) != config.num_hidden_layers:
        wrong = f"{what} has {len(layers)} layers, and its config {config.num_hidden_layers}"
    elif not dtypes & BYTES_PER_PARAMETER.keys():
        wrong = f"{what} has weights of {', '.join(sorted(dtypes))}"
    else:
        return config
    raise UsageError(wrong, AN_OLMO)


def check_one_dtype(model: nn.Module) -> None:
    """UsageError for a model whose weights are of several dtypes: it may not even run."""
    if len(dtypes := {str(it.dtype).removeprefix("torch.") for it in model.parameters()}) > 1:
        raise UsageError(
            f"This model mixes weights of {' and '.join(sorted(dtypes))}", "Load it in one dtype"
        )


def check_receive(receive: Any) -> None:
    """UsageError for what cannot be called with each value."""
    if receive is not None and not callable(receive):
        raise UsageError(
            f"receive is {quoted(receive)}", "Give a function of (layer, name, value), or nothing"
        )
