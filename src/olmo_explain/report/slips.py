"""What went wrong with the statements that needed correcting, by their ids. No verdict is here."""

SLIPS: dict[str, tuple[str, ...]] = {
    "the unit": (
        "total.parameters",
        "flops.unit",
        "flops.qkv",
        "flops.scores",
        "flops.apply",
        "flops.o_proj",
        "flops.gate_proj",
        "flops.up_proj",
        "flops.down_proj",
    ),
    "the order": ("step.04", "step.10", "step.13", "step.15", "step.order"),
    "the program": ("calls.Olmo3RotaryEmbedding", "calls.total"),
    "a word too much": ("layers.alternating", "facts.two_norms"),
    "a formula too short": ("access.bias", "access.rmsnorm"),
    "true of another model": ("flops.long", "flops.quadratic"),
    "held, not read": ("forward.accessed",),
}
"""The slip of each statement that needs correcting on a right program."""
