"""Rotary position embedding: how a position turns a query and a key. Plain torch.

A head's `head_dim` numbers are taken as `head_dim / 2` pairs. At position `p`, pair `i` is turned
by the angle `p · frequency[i]`, so that the score of a query and a key depends on how far apart
they stand, not on where. Early pairs turn fast and tell neighbours apart, late pairs turn slowly.

YaRN (Peng et al., arXiv 2309.00071) lets a model read texts longer than those it was trained on:
slow pairs turn `factor` times slower still, and cos and sin grow by `attention_factor`, which
sharpens the scores. OLMo 3 does this in its full-attention layers only.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from olmo_explain.checkpoint import Rope


def frequencies(rope: Rope, head_dim: int) -> Float[Tensor, "pair"]:
    """By how many radians each pair turns from one position to the next, in float32.

    >>> frequencies(Rope("default", 10_000), head_dim=8)
    tensor([1.0000, 0.1000, 0.0100, 0.0010])
    """
    pair = torch.arange(0, head_dim, 2).float() / head_dim  # (Dh/2,): 0, 2/Dh, 4/Dh, …
    radians_per_turn = rope.rope_theta**pair
    original = 1.0 / radians_per_turn
    if rope.factor is None:  # the default type
        return original
    stretched = 1.0 / (rope.factor * radians_per_turn)
    kept = 1 - yarn_ramp(rope, head_dim)
    return stretched * (1 - kept) + original * kept


def yarn_ramp(rope: Rope, head_dim: int) -> Float[Tensor, "pair"]:
    """How far YaRN slows each pair: 0 not at all, 1 by the whole `factor`, a straight line between.

    In the 7B pairs 0 to 18 keep their frequency and pairs 35 to 63 turn 8 times slower.
    """
    first = _pair_that_turns(rope.beta_fast, rope, head_dim)
    last = _pair_that_turns(rope.beta_slow, rope, head_dim)
    if rope.truncate:
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, head_dim - 1)
    if first == last:  # a step instead of a line, and no division by zero
        last += 0.001
    pair = torch.arange(head_dim // 2).float()
    return ((pair - first) / (last - first)).clamp(0, 1)


def _pair_that_turns(times: float | None, rope: Rope, head_dim: int) -> float:
    """The pair, as a fraction, that turns this many times in the original context length."""
    context = rope.original_max_position_embeddings
    assert context is not None and times is not None, "only YaRN has a ramp"
    return head_dim * math.log(context / (times * 2 * math.pi)) / (2 * math.log(rope.rope_theta))


def cos_sin(
    rope: Rope, head_dim: int, positions: Int[Tensor, "pos"]
) -> tuple[Float[Tensor, "1 pos head_dim"], Float[Tensor, "1 pos head_dim"]]:
    """cos and sin of every pair's angle at every position, in float32, times `attention_factor`.

    >>> cos, sin = cos_sin(Rope("default", 10_000), 4, torch.arange(2))
    >>> cos[0, 1], sin[0, 1]
    (tensor([0.5403, 0.9999, 0.5403, 0.9999]), tensor([0.8415, 0.0100, 0.8415, 0.0100]))
    """
    turns = frequencies(rope, head_dim).to(positions.device)
    angles = positions[None, :, None].float() * turns  # (1, T, Dh/2)
    angles = torch.cat((angles, angles), dim=-1)  # (1, T, Dh): number i is paired with i + Dh/2
    return angles.cos() * rope.attention_factor, angles.sin() * rope.attention_factor


def rotate(
    x: Float[Tensor, "batch heads pos head_dim"],
    cos: Float[Tensor, "1 pos head_dim"],
    sin: Float[Tensor, "1 pos head_dim"],
) -> Float[Tensor, "batch heads pos head_dim"]:
    """Turns each pair (a, b) of each head into (a·cos − b·sin, b·cos + a·sin)."""
    a, b = x.chunk(2, dim=-1)  # 2 × (B, H, T, Dh/2)
    quarter_turn = torch.cat((-b, a), dim=-1)  # (B, H, T, Dh)
    # cos and sin are float32, so the products are too; only their sum is rounded to x's dtype.
    return (x * cos[:, None] + quarter_turn * sin[:, None]).to(x.dtype)
