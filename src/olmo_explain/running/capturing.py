"""What the real model computed at each step of `reference.STEPS`, under the same names.

Most values are inputs and outputs of modules, and hooks see those. What happens inside the
attention function no hook sees, so while a capture lasts the model calls ours: it hands the same
arguments on to the function that the model would have called, and watches that one at work. The
model's results stay what they were.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from olmo_explain.by_hand import Activations
from olmo_explain.running.hooks import Hooks, hooked

Receive = Callable[[int | None, str, Tensor], None]
"""Called with (layer, name, value) as the model computes it; layer is None outside the layers."""

ONLY_EAGER = frozenset({"scores", "mask", "masked_scores", "pattern"})
"""What faster attention functions never form, or form in ways of their own."""

_captures = count()


@contextmanager
def capture(model: PreTrainedModel, receive: Receive | None = None) -> Iterator[Activations]:
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

    with hooked() as hooks:
        _attach(model, receive or keep, hooks)
        yield values


def _attach(model: PreTrainedModel, receive: Receive, hooks: Hooks) -> None:
    base = model.model
    _output(base.embed_tokens, lambda out: receive(None, "embedding", out), hooks)
    for layer, block in enumerate(base.layers):
        _attach_layer(block, layer, receive, hooks)
    _output(base.norm, lambda out: receive(None, "final_norm", out), hooks)
    _output(model.lm_head, lambda out: receive(None, "logits", out), hooks)
    _attach_attention(model, receive, hooks)


def _attach_layer(block: Any, layer: int, receive: Receive, hooks: Hooks) -> None:
    attention, mlp = block.self_attn, block.mlp
    head_dim = attention.head_dim

    def got(name: str) -> Callable[[Tensor], None]:
        return lambda value: receive(layer, name, value)

    def heads(o_proj_input: Float[Tensor, "batch pos heads*head_dim"]) -> None:
        receive(layer, "z", o_proj_input.unflatten(-1, (-1, head_dim)))

    def positions(args: tuple, kwargs: dict[str, Any]) -> None:
        for name, value in zip(("cos", "sin"), kwargs["position_embeddings"], strict=True):
            receive(layer, name, value)

    _input(block, got("resid_pre"), hooks)
    hooks.before(attention, positions)
    for name in ("q_proj", "k_proj", "v_proj", "q_norm", "k_norm", "o_proj"):
        _output(getattr(attention, name), got(name), hooks)
    # Only here are the heads apart: o_proj's output sums them, and each is in all of its numbers.
    _input(attention.o_proj, heads, hooks)
    _output(block.post_attention_layernorm, got("attn_out"), hooks)
    _input(mlp, got("resid_mid"), hooks)
    for name in ("gate_proj", "up_proj", "down_proj"):
        _output(getattr(mlp, name), got(name), hooks)
    _output(mlp.act_fn, got("silu"), hooks)
    _input(mlp.down_proj, got("intermediate"), hooks)
    _output(block.post_feedforward_layernorm, got("mlp_out"), hooks)
    _output(block, got("resid_post"), hooks)


def _input(module: nn.Module, receive: Callable[[Tensor], None], hooks: Hooks) -> None:
    """Gives `receive` the module's first input at every call."""

    def look(args: tuple, kwargs: dict[str, Any]) -> None:
        receive(args[0] if args else next(iter(kwargs.values())))

    hooks.before(module, look)


def _output(module: nn.Module, receive: Callable[[Tensor], None], hooks: Hooks) -> None:
    """Gives `receive` the module's output, or the first of several."""

    def look(args: tuple, output: Any) -> None:
        receive(output[0] if isinstance(output, tuple) else output)

    hooks.after(module, look)


# -- inside the attention function ----------------------------------------------------------------


def _attach_attention(model: PreTrainedModel, receive: Receive, hooks: Hooks) -> None:
    config = model.config
    theirs = config._attn_implementation
    ours = f"olmo_explain_{next(_captures)}"

    def attend(
        module: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, **kwargs: Any
    ) -> tuple[Tensor, Tensor | None]:
        compute = attention_function(module, theirs)
        if not hooks.are_ours:
            return compute(module, q, k, v, mask, **kwargs)
        layer = module.layer_idx
        for name, value in (("q", q), ("k", k), ("v", v)):
            receive(layer, name, value)
        with _ScoresWatch() as seen:
            output, pattern = compute(module, q, k, v, mask, **kwargs)
        if pattern is not None:  # only eager attention forms one
            for name, value in {**seen.values, "mask": mask, "pattern": pattern}.items():
                receive(layer, name, value)
        return output, pattern

    # transformers has a public way to add a function, and none to take it away again.
    AttentionInterface.register(ours, attend)
    hooks.on_exit(AttentionInterface._global_mapping.pop, ours, None)
    if theirs in ALL_MASK_ATTENTION_FUNCTIONS:
        AttentionMaskInterface.register(ours, ALL_MASK_ATTENTION_FUNCTIONS[theirs])
        hooks.on_exit(AttentionMaskInterface._global_mapping.pop, ours, None)
    hooks.on_exit(setattr, config, "_attn_implementation", theirs)
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
