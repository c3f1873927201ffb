"""OLMo done wrongly by transformers: every known fault, put into its modules and not into ours."""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import MethodType
from typing import Any
from unittest import mock

import torch
from support.random_olmo import FULL, SLIDING
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM

Fields = dict[str, Any]


def logits_of(
    fields: Fields,
    state: dict[str, Tensor],
    ids: Tensor,
    *faults: str,
    dtype: torch.dtype = torch.float32,
    attention: str = "eager",
    mask: Tensor | None = None,
) -> Tensor:
    """What transformers makes of these ids with these faults, by their names."""
    for fault in faults:
        fields = CONFIGS[fault](fields) if fault in CONFIGS else fields
    with torch.random.fork_rng():
        model = AutoModelForCausalLM.from_config(
            AutoConfig.for_model(**fields), dtype=dtype, attn_implementation=attention
        ).eval()
    model.load_state_dict({name: tensor.clone() for name, tensor in state.items()})
    with ExitStack() as stack, torch.no_grad():
        for fault in faults:
            if fault in PATCHES:
                stack.enter_context(PATCHES[fault](model))
        return model(ids, attention_mask=mask, use_cache=False).logits


# -- config.json ----------------------------------------------------------------------------------


def _with_ropes(change: Callable[[str, Fields], Fields]) -> Callable[[Fields], Fields]:
    def changed(fields: Fields) -> Fields:
        ropes = fields["rope_parameters"]
        if "rope_type" in ropes:
            return fields | {"rope_parameters": change(FULL, ropes)}
        return fields | {"rope_parameters": {kind: change(kind, ropes[kind]) for kind in ropes}}

    return changed


def _default(rope: Fields) -> Fields:
    return {"rope_type": "default", "rope_theta": rope["rope_theta"]}


def _factor(power: float) -> Callable[[str, Fields], Fields]:
    def change(kind: str, rope: Fields) -> Fields:
        if rope["rope_type"] == "default":
            return rope
        return rope | {"attention_factor": rope["attention_factor"] ** power}

    return change


def _everywhere(fields: Fields) -> Fields:
    return _with_ropes(lambda kind, _: fields["rope_parameters"][FULL])(fields)


def _window(change: int) -> Callable[[Fields], Fields]:
    return lambda fields: fields | {"sliding_window": fields["sliding_window"] + change}


def _shifted(fields: Fields) -> Fields:
    first, *others = fields["layer_types"]
    return fields | {"layer_types": [*others, first]}


CONFIGS: dict[str, Callable[[Fields], Fields]] = {
    "yarn-everywhere": _everywhere,
    "yarn-nowhere": _with_ropes(lambda _, rope: _default(rope)),
    "no-attention-factor": _with_ropes(_factor(0)),
    "attention-factor-once": _with_ropes(_factor(0.5)),
    "attention-factor-twice": _with_ropes(_factor(2)),
    "default-theta": _with_ropes(lambda _, rope: rope | {"rope_theta": 500_000.0}),
    "window-minus-one": _window(-1),
    "window-plus-one": _window(1),
    "no-window": _window(10**6),
    "layer-types-shifted": _shifted,
    "norm-eps": lambda fields: fields | {"rms_norm_eps": 1e-5},
}


# -- modules --------------------------------------------------------------------------------------


def _on_model(change: Callable[[nn.Module], None]) -> Callable[[nn.Module], Any]:
    @contextmanager
    def patched(model: nn.Module) -> Iterator[None]:
        change(model)
        yield

    return patched


def _function(name: str, instead: Callable) -> Callable[[nn.Module], Any]:
    """Another function in the module of transformers that the model's class is written in."""
    return lambda model: mock.patch(f"{type(model).__module__}.{name}", instead)


def _each_layer(change: Callable[[nn.Module], None]) -> Callable[[nn.Module], Any]:
    def all_layers(model: nn.Module) -> None:
        for layer in model.model.layers:
            change(layer)

    return _on_model(all_layers)


def _complex_rope(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """As Meta's Llama: neighbours are the parts of a complex number."""
    half = cos.shape[-1] // 2
    wave = torch.complex(cos[..., :half].contiguous(), sin[..., :half].contiguous())[:, None]

    def turn(x: Tensor) -> Tensor:
        numbers = torch.view_as_complex(x.float().reshape(*x.shape[:-1], half, 2))
        return torch.view_as_real(numbers * wave).flatten(-2).to(x.dtype)

    return turn(q), turn(k)


def _divided(model: nn.Module) -> None:
    config, head_dim = model.config, model.model.layers[0].self_attn.head_dim

    def forward(self: nn.Module, x: Tensor, position_ids: Tensor, layer_type: str) -> Any:
        rope = config.rope_parameters[layer_type]
        by = rope["factor"] if rope["rope_type"] == "yarn" else 1.0
        turns = 1 / rope["rope_theta"] ** (torch.arange(0, head_dim, 2).float() / head_dim)
        angles = (position_ids[..., None] / by) * turns
        angles = torch.cat((angles, angles), -1)
        loud = rope.get("attention_factor", 1.0)
        return angles.cos() * loud, angles.sin() * loud

    model.model.rotary_emb.forward = MethodType(forward, model.model.rotary_emb)


def _mask(kind: str, seen: Callable[[Tensor, Tensor, int], Tensor]) -> Callable[[nn.Module], Any]:
    """Layers of this type (all, where "") get a mask of these: query, key, window → seen."""

    def change(model: nn.Module) -> None:
        window = getattr(model.config, "sliding_window", None) or 10**6
        kinds = getattr(model.config, "layer_types", None) or [FULL] * len(model.model.layers)

        def hook(own: str, module: nn.Module, args: Any, kwargs: Fields) -> Any:
            T = kwargs["hidden_states"].shape[1]
            at = torch.arange(T)
            sees = seen(at[:, None], at, window if own == SLIDING or kind else 10**6)
            low = torch.finfo(kwargs["hidden_states"].dtype).min
            hidden = torch.zeros(1, 1, T, T).masked_fill(~sees, low)
            return args, kwargs | {"attention_mask": hidden}

        for layer, own in zip(model.model.layers, kinds, strict=True):
            if not kind or own == kind:
                layer.self_attn.register_forward_pre_hook(
                    lambda *given, own=own: hook(own, *given), with_kwargs=True
                )

    return _on_model(change)


def _order(layer: nn.Module, before: bool) -> None:
    def forward(self: nn.Module, x: Tensor, position_embeddings: Any = None, **kwargs: Any) -> Any:
        first, second = self.post_attention_layernorm, self.post_feedforward_layernorm

        def attend(x: Tensor) -> Tensor:
            return self.self_attn(
                hidden_states=x, position_embeddings=position_embeddings, **kwargs
            )[0]

        if before:
            x = x + attend(first(x))
            return x + self.mlp(second(x))
        x = first(x + attend(x))
        return second(x + self.mlp(x))

    layer.forward = MethodType(forward, layer)


class PerHead(nn.Module):
    """A norm of each head alone, with its part of the weight."""

    def __init__(self, norm: nn.Module, head_dim: int):
        super().__init__()
        self.weight, self.eps = norm.weight, norm.variance_epsilon
        self.head_dim = head_dim

    def forward(self, x: Tensor) -> Tensor:
        heads = [
            part.float() / (part.float().square().mean(-1, keepdim=True) + self.eps).sqrt() * weight
            for part, weight in zip(
                x.split(self.head_dim, -1), self.weight.split(self.head_dim), strict=True
            )
        ]
        return torch.cat(heads, -1).to(x.dtype)


def _per_head(layer: nn.Module) -> None:
    attention = layer.self_attn
    for name in ("q_norm", "k_norm"):
        setattr(attention, name, PerHead(getattr(attention, name), attention.head_dim))


def _no_qk_norm(layer: nn.Module) -> None:
    layer.self_attn.q_norm = layer.self_attn.k_norm = nn.Identity()


def _late(model: nn.Module) -> Any:
    """Turned and then normalised, by a rotation that knows whose turn it is."""
    left = [
        (layer.self_attn.q_norm, layer.self_attn.k_norm, layer.self_attn.head_dim)
        for layer in model.model.layers
    ]
    for layer in model.model.layers:
        _no_qk_norm(layer)

    def half(x: Tensor) -> Tensor:
        return torch.cat((-x[..., x.shape[-1] // 2 :], x[..., : x.shape[-1] // 2]), -1)

    def rotate(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, ...]:
        q_norm, k_norm, head_dim = left.pop(0)
        out = []
        for x, norm in ((q, q_norm), (k, k_norm)):
            x = x * cos[:, None] + half(x) * sin[:, None]
            B, H, T, _ = x.shape
            x = norm(x.transpose(1, 2).reshape(B, T, H * head_dim))
            out.append(x.view(B, T, H, head_dim).transpose(1, 2))
        return tuple(out)

    return _function("apply_rotary_pos_emb", rotate)(model)


def _swap(layer: nn.Module) -> None:
    layer.mlp.gate_proj, layer.mlp.up_proj = layer.mlp.up_proj, layer.mlp.gate_proj


def _no_kv(layer: nn.Module) -> None:
    for name in ("k_proj", "v_proj"):
        getattr(layer.self_attn, name).weight.data.zero_()


def _plus_one(model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if "norm" in name:
            parameter.data += 1


def _scaled(model: nn.Module) -> None:
    by = math.sqrt(model.config.hidden_size)
    model.model.embed_tokens.register_forward_hook(lambda module, args, output: output * by)


def _tied(model: nn.Module) -> None:
    model.lm_head.weight.data.copy_(model.model.embed_tokens.weight)


def _exact(layer: nn.Module) -> None:
    layer.self_attn.scaling = 1.0


def _gelu(layer: nn.Module) -> None:
    layer.mlp.act_fn = nn.GELU()


PATCHES: dict[str, Callable[[nn.Module], Any]] = {
    "positions-divided": _on_model(_divided),
    "interleaved-rope": _function("apply_rotary_pos_emb", _complex_rope),
    "no-rope": _function("apply_rotary_pos_emb", lambda q, k, cos, sin: (q, k)),
    "window-everywhere": _mask(FULL, lambda q, k, w: (k <= q) & (k > q - w)),
    "no-causal-mask": _mask("", lambda q, k, w: (k - q).abs() < w),
    "pre-norm": _each_layer(lambda layer: _order(layer, before=True)),
    "norm-after-sum": _each_layer(lambda layer: _order(layer, before=False)),
    "norm-weight-plus-one": _on_model(_plus_one),
    "no-qk-norm": _each_layer(_no_qk_norm),
    "qk-norm-per-head": _each_layer(_per_head),
    "qk-norm-after-rope": _late,
    "no-score-scale": _each_layer(_exact),
    "kv-heads-tiled": _function("repeat_kv", lambda x, times: x.repeat(1, times, 1, 1)),
    "keys-values-zero": _each_layer(_no_kv),
    "gate-up-swapped": _each_layer(_swap),
    "gelu": _each_layer(_gelu),
    "embedding-scaled": _on_model(_scaled),
    "untied-head": _on_model(_tied),
}

WRONG = {**CONFIGS, **PATCHES}
