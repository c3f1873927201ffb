"""What the real model computed at each step of `reference.STEPS`, under the same names.

Most values are inputs and outputs of modules, and hooks see those. What happens inside the
attention function no hook sees, so while a capture lasts the model calls ours: it hands the same
arguments on to the function that the model would have called, and watches that one at work. The
model's results stay what they were.
"""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import count
from threading import get_ident
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from olmo_explain.by_hand import Activations
from olmo_explain.running.hooks import Hooks, check_olmo, check_receive
from olmo_explain.undo import Undo

Receive = Callable[[int | None, str, Tensor], None]
"""Called with (layer, name, value) as the model computes it; layer is None outside the layers."""

ONLY_EAGER = frozenset({"scores", "mask", "masked_scores", "pattern"})
"""What faster attention functions never form, or form in ways of their own."""

OURS = "olmo_explain_"
_captures = count()


def capture(
    model: PreTrainedModel, receive: Receive | None = None
) -> AbstractContextManager[Activations]:
    """While it lasts, every forward pass of `model` leaves its values in what this gives.

    With `receive`, values go there as they come instead, and nothing is kept. Scores, mask and
    pattern exist only in a model that was loaded with eager attention. On exit the model is as it
    was, also after an exception or an interrupt at any moment. Captures may overlap, and end in any
    order. What another thread computes meanwhile is not received. Raises UsageError for a compiled
    model, and for a name where a loaded model is meant.

    >>> with capture(model) as values, torch.no_grad():
    ...     _ = model(torch.tensor([[5, 6]]))
    >>> values[3, "pattern"].shape
    torch.Size([1, 4, 2, 2])
    """
    check_olmo(model)
    check_receive(receive)

    def begin(hooks: Hooks) -> Activations:
        values = Activations()

        def keep(layer: int | None, name: str, value: Tensor) -> None:
            values[layer, name] = value

        _attach(model, receive or keep, hooks)
        return values

    return Hooks(begin)


def attention_of(model: PreTrainedModel) -> str:
    """transformers' name of the attention function, also while a capture watches it at work."""
    name = model.config._attn_implementation
    return name.split(":", 1)[1] if name.startswith(OURS) else name


def _attach(model: PreTrainedModel, receive: Receive, hooks: Hooks) -> None:
    base = model.model
    _output(base.embed_tokens, lambda out: receive(None, "embedding", out), hooks)
    for layer, block in enumerate(base.layers):
        _attach_layer(block, layer, receive, hooks)
    _output(base.norm, lambda out: receive(None, "final_norm", out), hooks)
    _output(model.lm_head, lambda out: receive(None, "logits", out), hooks)
    receivers = hooks.hold(
        (OURS, id(model.config)), lambda undo: _watch_attention(model.config, undo)
    )
    attentions = frozenset(block.self_attn for block in base.layers)
    hooks.put(receivers, object(), _Receiver(receive, get_ident(), attentions))


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


class _Receiver(NamedTuple):
    """Who is told, of what runs in one thread in one model: another may have the same config."""

    receive: Receive
    thread: int
    attentions: frozenset[nn.Module]

    def hears(self, module: nn.Module, thread: int) -> bool:
        return thread == self.thread and module in self.attentions


def _watch_attention(config: PretrainedConfig, undo: Undo) -> dict[Any, _Receiver]:
    """Our attention function in the place of the config's own, for all that capture at the time.

    They put their receivers into the dict that this returns.
    """
    theirs = config._attn_implementation
    ours = f"{OURS}{next(_captures)}:{theirs}"
    receivers: dict[Any, _Receiver] = {}

    def attend(
        module: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, **kwargs: Any
    ) -> tuple[Tensor, Tensor | None]:
        compute, here = attention_function(module, theirs), get_ident()
        receive = [it.receive for it in tuple(receivers.values()) if it.hears(module, here)]
        if not receive:
            return compute(module, q, k, v, mask, **kwargs)
        values: dict[str, Any] = {"q": q, "k": k, "v": v}
        watched = _Watched.of(q, {}) if theirs == "eager" else q
        output, pattern = compute(module, watched, k, v, mask, **kwargs)
        if pattern is not None:  # only eager attention forms one
            values |= getattr(watched, "seen", {}) | {"mask": mask, "pattern": _plain(pattern)}
        for name, value in values.items():
            for hand_over in receive:
                hand_over(module.layer_idx, name, value)
        return _plain(output), None if pattern is None else _plain(pattern)

    # transformers has a public way to add a function, and none to take it away again.
    undo.put(AttentionInterface._global_mapping, ours, attend)
    if theirs in ALL_MASK_ATTENTION_FUNCTIONS:
        masks = ALL_MASK_ATTENTION_FUNCTIONS[theirs]
        undo.put(AttentionMaskInterface._global_mapping, ours, masks)
    # The public property is written in Python, which an interrupt can stop.
    undo.put(config.__dict__, "_attn_implementation_internal", ours)
    return receivers


def attention_function(module: nn.Module, implementation: str) -> Callable:
    """The function that an attention module calls under this implementation's name."""
    eager = getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)
    return ALL_ATTENTION_FUNCTIONS.get(implementation, eager)


class _Watched(Tensor):
    """Queries that note what is computed from them: the scores, and what softmax is given.

    A mode of torch would see that too, and more; but a mode that an interrupt leaves on stays on.
    """

    plain: Tensor
    """The same numbers as an ordinary tensor, with which everything is computed."""
    seen: dict[str, Tensor]

    @classmethod
    def of(cls, plain: Tensor, seen: dict[str, Tensor]) -> "_Watched":
        watched = plain.as_subclass(cls)
        watched.plain, watched.seen = plain, seen
        return watched

    @classmethod
    def __torch_function__(
        cls, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        seen = next(it.seen for it in tree_leaves((args, kwargs)) if isinstance(it, cls))
        given, named = tree_map_only(cls, lambda it: it.plain, (args, kwargs or {}))
        if func is torch.nn.functional.softmax:
            seen["masked_scores"] = given[0]
        result = func(*given, **named)
        if func is Tensor.mul:
            seen.setdefault("scores", result)
        return cls.of(result, seen) if isinstance(result, Tensor) else result


def _plain(value: Tensor) -> Tensor:
    return value.plain if isinstance(value, _Watched) else value
