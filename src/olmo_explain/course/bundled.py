"""What exercises measure on, loaded and run once for all of them. Do not change its weights."""

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


@cache
def tiny_values(prompt: str) -> Any:
    """What `tiny` computes on a prompt, by layer and name."""
    import torch

    from olmo_explain.running import capture

    with capture(tiny()[0]) as values, torch.no_grad():
        tiny()[0](tiny_ids(prompt))
    return values


@cache
def preset_trace(name: str) -> Any:
    """What a preset's modules call for two tokens; without weights, on the meta device."""
    from olmo_explain.running import load, prompt_ids, trace

    model, _ = load(name)
    return trace(model, prompt_ids(model, None))
