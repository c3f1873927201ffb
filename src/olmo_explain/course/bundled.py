"""The bundled model, loaded once for all exercises that measure it. Do not change its weights."""

from functools import cache
from typing import Any


@cache
def tiny() -> tuple[Any, Any]:
    """`load("tiny", "float32")`: the model and its tokenizer."""
    from olmo_explain.running import load  # takes seconds: not before it is needed

    return load("tiny", "float32")


def tiny_ids(prompt: str) -> Any:
    """Token ids of a prompt, (1, T)."""
    return tiny()[1](prompt, return_tensors="pt").input_ids
