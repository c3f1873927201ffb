"""The models that are measured: `tiny`, and four layers as wide as the 7B with random weights."""

import json
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM

from olmo_explain.checkpoint import preset
from olmo_explain.running import load

QUICK_VOCAB = 512


def fields(layers: int, **changes: Any) -> dict[str, Any]:
    """The 7B's config.json, with so many layers."""
    read = json.loads(preset("olmo3-7b").read("config.json"))
    types = read["layer_types"]
    return {
        **read,
        "num_hidden_layers": layers,
        "layer_types": (types * (-(-layers // len(types))))[:layers],
        **changes,
    }


def build(layers: int, device: str = "cpu", **changes: Any) -> nn.Module:
    """A random model in bfloat16, of the 7B's width; on "meta" without numbers."""
    config = AutoConfig.for_model(**fields(layers, **changes))
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(
            config, dtype=torch.bfloat16, attn_implementation="eager"
        ).eval()
    if device == "meta":
        return model
    with torch.device(device), torch.no_grad():
        model = model.to_empty(device=device)
        # Its frequencies are computed, not stored, so that a model on meta has none.
        model.model.rotary_emb = type(model.model.rotary_emb)(config)
        generator = torch.Generator(device).manual_seed(0)
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.fill_(1)
            else:
                parameter.normal_(0, 0.02, generator=generator)
    return model.eval()


@cache
def tiny() -> nn.Module:
    return load("tiny")[0]


@cache
def wide(quick: bool, layers: int = 4) -> nn.Module:
    """Four layers at 7B width; in a quick run narrow ones, to see that everything works."""
    narrow = {
        "hidden_size": 256,
        "intermediate_size": 688,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "vocab_size": QUICK_VOCAB,
        "eos_token_id": None,
        "pad_token_id": None,
    }
    return build(layers, **(narrow if quick else {}))


def one_layer(quick: bool) -> nn.Module:
    return wide(quick, layers=1)


def models(quick: bool) -> dict[str, nn.Module]:
    return {"tiny": tiny(), wide_name(quick): wide(quick)}


def wide_name(quick: bool, layers: int = 4) -> str:
    count = f"{layers} layer" + "s" * (layers > 1)
    return f"{count} of 256" if quick else f"{count} of the 7B"


def ids(positions: int) -> Tensor:
    return torch.arange(5, 5 + positions)[None]
