"""What the original report speaks of, a head and a length, and its numbers for them. No torch."""

import math

LAYER, HEAD = 17, 27
SEQ, BATCH = 64, 1

HEAD_ROWS = {
    "q_proj": ("[3456:3584, :]", [128, 4096], 14.5625),
    "k_proj": ("[3456:3584, :]", [128, 4096], 14.3125),
    "v_proj": ("[3456:3584, :]", [128, 4096], 16.25),
    "o_proj": ("[:, 3456:3584]", [4096, 128], 16.125),
}
"""By projection: the slice, its shape, and its norm, which was rounded to bfloat16."""


def bf16_step(value: float) -> float:
    """The distance from a number to the next that bfloat16 has: 8 significant bits.

    >>> bf16_step(14.5625), bf16_step(16.25)
    (0.0625, 0.125)
    """
    return 2.0 ** (math.floor(math.log2(abs(value))) - 7)
