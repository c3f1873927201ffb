"""One head taken out, and what each head adds to the residual stream.

A head's output exists in one place only: the input of `o_proj`, where the heads stand side by side.
`o_proj` mixes them; a slice of its *output* holds a little of every head, and is no head at all.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from olmo_explain.by_hand import Activations, check_has_weights
from olmo_explain.checkpoint import config_of
from olmo_explain.errors import UsageError
from olmo_explain.ids import as_ids, as_mask, check_room
from olmo_explain.running.capturing import capture
from olmo_explain.running.hooks import AN_OLMO, Hooks, check_olmo, check_one_dtype
from olmo_explain.undo import no_grad


def ablate_head(model: PreTrainedModel, layer: int, head: int) -> AbstractContextManager[None]:
    """While it lasts, the head writes zeros. Several may be ablated at once, and end in any order.

    Raises OutOfRange for a head that the model does not have.

    >>> with ablate_head(model, layer=7, head=1):
    ...     logits = model(ids).logits
    """
    o_proj, zero = _o_proj(model, layer), _zeroing(model, head)
    return Hooks(lambda hooks: hooks.change_input(o_proj, zero))  # (B, T, H·Dh)


def ablate_output_slice(
    model: PreTrainedModel, layer: int, head: int
) -> AbstractContextManager[None]:
    """A mistake to learn from: zeroes the head's columns of o_proj's *output*.

    Those are numbers h·Dh to (h + 1)·Dh of the residual stream's update, to which every head
    contributes. Nothing complains, and the logits change, as if a head had been ablated.
    """
    o_proj, zero = _o_proj(model, layer), _zeroing(model, head)
    return Hooks(lambda hooks: hooks.change_output(o_proj, zero))  # (B, T, D)


def head_contributions(
    model: PreTrainedModel,
    ids: Int[Tensor, "batch pos"],
    layer: int,
    attention_mask: Int[Tensor, "batch pos"] | None = None,
) -> Float[Tensor, "batch pos heads hidden"]:
    """What each head of a layer adds to the residual stream, in float32; the sum is `attn_out`.

    OLMo normalises the sum of the heads before it adds it, so a head's share is linear only with
    the norm's scale held at what it was in this run. Take a head away and the scale of all the
    others changes too: `ablate_head` shows that, a contribution does not.

    >>> head_contributions(model, torch.tensor([[5, 6]]), layer=7).shape
    torch.Size([1, 2, 4, 128])
    """
    layer = check_olmo(model).check_layer(layer)
    check_has_weights(model.parameters())
    check_one_dtype(model)
    block = model.model.layers[layer]
    for name in ("self_attn.o_proj", "post_attention_layernorm"):
        if not hasattr(block.get_submodule(name), "weight"):
            raise UsageError(f"model.layers.{layer}.{name} is wrapped, and has no weight", AN_OLMO)
    ids = as_ids(ids, model.config.vocab_size, model.device)
    check_room(ids, model.config.num_attention_heads, model.dtype.itemsize)
    attention_mask = as_mask(attention_mask, ids)
    values = Activations()

    def keep(at: int | None, name: str, value: Tensor) -> None:
        if at == layer and name in ("z", "o_proj"):
            values[at, name] = value

    with no_grad(), capture(model, keep):
        model(ids, attention_mask=attention_mask, use_cache=False)
    return contributions(
        values[layer, "z"],
        values[layer, "o_proj"],
        block.self_attn.o_proj.weight.detach(),
        block.post_attention_layernorm.weight.detach(),
        block.post_attention_layernorm.variance_epsilon,
    )


def contributions(
    z: Float[Tensor, "batch pos heads head_dim"],
    o_proj: Float[Tensor, "batch pos hidden"],
    o_weight: Float[Tensor, "hidden heads*head_dim"],
    norm_weight: Float[Tensor, "hidden"],
    eps: float,
) -> Float[Tensor, "batch pos heads hidden"]:
    """Each head's output through its columns of o_proj, times the norm's scale at each position."""
    H = z.shape[2]
    columns = o_weight.float().unflatten(1, (H, -1))  # (D, H, Dh)
    written = torch.einsum("bthd,ohd->btho", z.float(), columns)  # (B, T, H, D)
    mean_square = o_proj.float().pow(2).mean(-1, keepdim=True)  # (B, T, 1)
    scale = norm_weight.float() * torch.rsqrt(mean_square + eps)  # (B, T, D)
    return written * scale[:, :, None]


def _o_proj(model: PreTrainedModel, layer: int) -> nn.Linear:
    layer = check_olmo(model).check_layer(layer)
    return model.model.layers[layer].self_attn.o_proj


def _zeroing(model: PreTrainedModel, head: int) -> Callable[[Tensor], Tensor]:
    """Zeroes the head's numbers in a copy: 3456 to 3584 for head 27 of the 7B."""
    config = config_of(model)
    start = config.check_head(head) * config.head_dim

    def zero(x: Float[Tensor, "batch pos numbers"]) -> Float[Tensor, "batch pos numbers"]:
        x = x.clone()
        x[..., start : start + config.head_dim] = 0
        return x

    return zero
