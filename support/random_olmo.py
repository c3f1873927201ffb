"""Small OLMos with random weights, and hypothesis strategies that draw them."""

from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn
from torch._C import _len_torch_dispatch_stack, _len_torch_function_stack
from torch.nn.modules import module as every_module
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    AutoConfig,
    AutoModelForCausalLM,
)

from olmo_explain.undo import LOCK

torch.set_num_threads(1)  # matrices this small only wait for a second thread

SLIDING, FULL = "sliding_attention", "full_attention"


@dataclass(frozen=True)
class Case:
    """A model to build, and what to run it on."""

    fields: dict[str, Any]
    dtype: torch.dtype
    seed: int
    length: int
    padding: tuple[int, int] | None = None
    """How many positions are padding: on the left of the first prompt, the right of the second."""

    def model(self, attention: str = "eager") -> nn.Module:
        return build(self.fields, self.dtype, self.seed, attention)

    def inputs(self) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(self.seed)
        shape = (1 if self.padding is None else 2, self.length)
        ids = torch.randint(self.fields["vocab_size"], shape, generator=generator)
        if self.padding is None:
            return {"ids": ids}
        real = torch.ones_like(ids)
        left, right = self.padding
        real[0, :left] = 0
        real[1, self.length - right :] = 0
        return {"ids": ids, "attention_mask": real}


def build(
    fields: dict[str, Any], dtype: torch.dtype, seed: int = 0, attention: str = "eager"
) -> nn.Module:
    """A model whose weights are large enough for patterns that are not flat."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = AutoConfig.for_model(**fields)
        model = AutoModelForCausalLM.from_config(
            config, dtype=dtype, attn_implementation=attention
        ).eval()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                around = 1.0 if "norm" in name else 0.0
                parameter.normal_(around, 0.4)
    return model


def olmo3(**changes: Any) -> dict[str, Any]:
    """config.json of an OLMo 3: five layers, grouped queries, window 4, YaRN in full layers."""
    return {
        "model_type": "olmo3",
        "vocab_size": 40,
        "hidden_size": 24,
        "intermediate_size": 20,
        "num_hidden_layers": 5,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 256,
        "layer_types": [SLIDING, SLIDING, FULL, SLIDING, FULL],
        "sliding_window": 4,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {SLIDING: default_rope(), FULL: yarn()},
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
        **changes,
    }


def olmo2(**changes: Any) -> dict[str, Any]:
    """config.json of an OLMo 2: the same without windows and YaRN."""
    fields = olmo3(model_type="olmo2", rope_parameters=default_rope(), **changes)
    return {key: fields[key] for key in fields if key not in ("layer_types", "sliding_window")}


def default_rope(theta: float = 10_000.0) -> dict[str, Any]:
    return {"rope_type": "default", "rope_theta": theta}


def yarn(theta: float = 10_000.0, **changes: Any) -> dict[str, Any]:
    return {
        "rope_type": "yarn",
        "rope_theta": theta,
        "factor": 8.0,
        "original_max_position_embeddings": 32,
        "attention_factor": 1.2079441541679836,
        "beta_fast": 32,
        "beta_slow": 1,
        **changes,
    }


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """An OLMo 2 or 3 of one to nine layers, in either dtype, and one or two prompts for it."""
    kv_heads, sharing = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    length, theta = draw(st.integers(1, 12)), draw(st.sampled_from([100.0, 1e4, 5e5]))
    kinds = draw(st.lists(st.sampled_from([SLIDING, FULL]), min_size=1, max_size=9))
    sizes = {
        "vocab_size": draw(st.integers(2, 50)),
        "hidden_size": draw(st.integers(1, 40)),
        "intermediate_size": draw(st.integers(1, 40)),
        "num_hidden_layers": len(kinds),
        "num_attention_heads": kv_heads * sharing,
        "num_key_value_heads": kv_heads,
        "head_dim": draw(st.sampled_from([2, 4, 6, 16, 20])),
        "rms_norm_eps": draw(st.sampled_from([1e-6, 1e-5, 1e-2])),
        "tie_word_embeddings": draw(st.booleans()),
    }
    if draw(st.integers(0, 3)) == 0:
        fields = olmo2(**sizes)
        fields["rope_parameters"] = default_rope(theta)
    else:
        stretched = yarn(
            theta,
            factor=draw(st.sampled_from([1.5, 4.0, 8.0])),
            original_max_position_embeddings=draw(st.sampled_from([8, 64, 8192])),
            attention_factor=draw(st.sampled_from([1.0, 1.2079441541679836])),
            beta_fast=draw(st.sampled_from([4, 32])),
        )
        rope = draw(st.sampled_from([default_rope(theta), stretched]))
        fields = olmo3(
            **sizes,
            layer_types=kinds,
            sliding_window=draw(st.integers(1, length + 3)),
            rope_parameters={SLIDING: default_rope(theta), FULL: rope},
        )
    padding = st.tuples(st.integers(0, length), st.integers(0, length))
    return Case(
        fields,
        draw(st.sampled_from([torch.float32, torch.bfloat16])),
        draw(st.integers(0, 1000)),
        length,
        draw(st.none() | padding),
    )


def traces_left(model: nn.Module) -> dict[str, object]:
    """All that could be left behind: in the model, in torch and in transformers."""
    every = vars(every_module)
    return {
        "hooks": [
            (module, name, list(hooks))
            for module in model.modules()
            for name, hooks in vars(module).items()
            if "_hooks" in name and hooks
        ],
        "hooks of all": {name: list(hooks) for name, hooks in every.items() if "_hooks" in name},
        "modes": (_len_torch_dispatch_stack(), _len_torch_function_stack()),
        "gradients": torch.is_grad_enabled(),
        "autocast": (torch.autocast.__init__, torch.is_autocast_enabled),
        "lock": LOCK.locked(),
        "attention": model.config._attn_implementation,
        "functions": sorted(AttentionInterface._global_mapping),
        "masks": sorted(AttentionMaskInterface._global_mapping),
    }
