"""What the real model computed at each step of `reference.STEPS`, under the same names.

Most values are inputs and outputs of modules, and hooks see those. What happens inside the
attention function no hook sees, so while a capture lasts the model calls ours: it hands the same
arguments on to the function that the model would have called, and watches that one at work. The
model's results stay what they were.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from threading import get_ident
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from olmo_explain.reference import Activations
from olmo_explain.rope_guard import ONE_AT_A_TIME

Receive = Callable[[int | None, str, Tensor], None]
"""Called with (layer, name, value) as the model computes it; layer is None outside the layers."""

ONLY_EAGER = frozenset({"scores", "mask", "masked_scores", "pattern"})
"""What faster attention functions never form, or form in ways of their own."""

_captures = count()


@contextmanager
def capture(model: nn.Module, receive: Receive | None = None) -> Iterator[Activations]:
    """While it lasts, every forward pass of `model` leaves its values in what this gives.

    With `receive`, values go there as they come instead, and nothing is kept. Scores, mask and
    pattern exist only in a model that was loaded with eager attention. On exit the model is as it
    was, also after an exception or a keyboard interrupt. Another thread's capture waits for the end
    of this one, and what another thread computes meanwhile is not received.

    >>> with capture(model) as values, torch.no_grad():
    ...     _ = model(torch.tensor([[5, 6]]))
    >>> values[3, "pattern"].shape
    torch.Size([1, 4, 2, 2])
    """
    values = Activations()

    def keep(layer: int | None, name: str, value: Tensor) -> None:
        values[layer, name] = value

    thread = get_ident()

    def receive_own(layer: int | None, name: str, value: Tensor) -> None:
        if get_ident() == thread:
            (receive or keep)(layer, name, value)

    with ONE_AT_A_TIME, ExitStack() as undo:
        _attach(model, receive_own, undo)
        yield values


def _attach(model: nn.Module, receive: Receive, undo: ExitStack) -> None:
    base = model.model
    after(base.embed_tokens, lambda out: receive(None, "embedding", out), undo)
    for layer, block in enumerate(base.layers):
        _attach_layer(block, layer, receive, undo)
    after(base.norm, lambda out: receive(None, "final_norm", out), undo)
    after(model.lm_head, lambda out: receive(None, "logits", out), undo)
    _attach_attention(model, receive, undo)


def _attach_layer(block: nn.Module, layer: int, receive: Receive, undo: ExitStack) -> None:
    attention, mlp = block.self_attn, block.mlp
    head_dim = attention.head_dim

    def got(name: str) -> Callable[[Tensor], None]:
        return lambda value: receive(layer, name, value)

    def heads(o_proj_input: Float[Tensor, "batch pos heads*head_dim"]) -> None:
        receive(layer, "z", o_proj_input.unflatten(-1, (-1, head_dim)))

    def positions(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        for name, value in zip(("cos", "sin"), kwargs["position_embeddings"], strict=True):
            receive(layer, name, value)

    before(block, got("resid_pre"), undo)
    handle = attention.register_forward_pre_hook(positions, with_kwargs=True)
    undo.callback(handle.remove)
    for name in ("q_proj", "k_proj", "v_proj", "q_norm", "k_norm", "o_proj"):
        after(getattr(attention, name), got(name), undo)
    # Only here are the heads apart: o_proj's output sums them, and each is in all of its numbers.
    before(attention.o_proj, heads, undo)
    after(block.post_attention_layernorm, got("attn_out"), undo)
    before(mlp, got("resid_mid"), undo)
    for name in ("gate_proj", "up_proj", "down_proj"):
        after(getattr(mlp, name), got(name), undo)
    after(mlp.act_fn, got("silu"), undo)
    before(mlp.down_proj, got("intermediate"), undo)
    after(block.post_feedforward_layernorm, got("mlp_out"), undo)
    after(block, got("resid_post"), undo)


def before(module: nn.Module, receive: Callable[[Tensor], None], undo: ExitStack) -> None:
    """Gives `receive` the module's first input at every call, until `undo` is closed."""

    def hook(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        receive(args[0] if args else next(iter(kwargs.values())))

    undo.callback(module.register_forward_pre_hook(hook, with_kwargs=True).remove)


def after(module: nn.Module, receive: Callable[[Tensor], None], undo: ExitStack) -> None:
    """Gives `receive` the module's output, or the first of several, until `undo` is closed."""

    def hook(module: nn.Module, args: tuple, output: Any) -> None:
        receive(output[0] if isinstance(output, tuple) else output)

    undo.callback(module.register_forward_hook(hook).remove)


# -- inside the attention function ----------------------------------------------------------------


def _attach_attention(model: nn.Module, receive: Receive, undo: ExitStack) -> None:
    config = model.config
    theirs = config._attn_implementation
    ours = f"olmo_explain_{next(_captures)}"

    def attend(
        module: nn.Module, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, **kwargs: Any
    ) -> tuple[Tensor, Tensor | None]:
        layer = module.layer_idx
        for name, value in (("q", q), ("k", k), ("v", v)):
            receive(layer, name, value)
        with _ScoresWatch() as seen:
            output, pattern = attention_function(module, theirs)(module, q, k, v, mask, **kwargs)
        if pattern is not None:  # only eager attention forms one
            for name, value in {**seen.values, "mask": mask, "pattern": pattern}.items():
                receive(layer, name, value)
        return output, pattern

    # transformers has a public way to add a function, and none to take it away again.
    AttentionInterface.register(ours, attend)
    undo.callback(AttentionInterface._global_mapping.pop, ours, None)
    if theirs in ALL_MASK_ATTENTION_FUNCTIONS:
        AttentionMaskInterface.register(ours, ALL_MASK_ATTENTION_FUNCTIONS[theirs])
        undo.callback(AttentionMaskInterface._global_mapping.pop, ours, None)
    undo.callback(setattr, config, "_attn_implementation", theirs)
    config._attn_implementation = ours


def attention_function(module: nn.Module, implementation: str) -> Callable:
    """The function that an attention module calls under this implementation's name."""
    eager = getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)
    return ALL_ATTENTION_FUNCTIONS.get(implementation, eager)


class _ScoresWatch(TorchFunctionMode):
    """Sees every call of torch: the scores are the first product, and what softmax is given."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, Tensor] = {}

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        if func is torch.nn.functional.softmax:
            self.values["masked_scores"] = args[0]
        result = func(*args, **(kwargs or {}))
        if func is torch.Tensor.mul:
            self.values.setdefault("scores", result)
        return result
