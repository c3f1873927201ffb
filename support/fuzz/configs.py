"""Fields of config.json drawn at random: right ones, and right ones of which one is changed.

Both go on for ever and begin the same way with the same seed. They are held against transformers.
"""

import copy
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from inspect import signature
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import torch
from support.commands import run
from support.fuzz.commands import check
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache
from transformers.models.olmo3.modeling_olmo3 import Olmo3Model
from transformers.utils import logging

import olmo_explain as oe
from olmo_explain.by_hand import frequencies
from olmo_explain.checkpoint import (
    ACTIVATIONS,
    BYTES_PER_PARAMETER,
    FIELDS,
    LAYER_TYPES,
    ROPE_FIELDS,
    YARN_FIELDS,
    OlmoConfig,
    check_supported,
)
from olmo_explain.errors import ConfigError, UsageError
from olmo_explain.running import measure_rope

POSITIONS = 7
CACHE = "cache" if "cache" in signature(Olmo3Model.forward).parameters else "past_key_values"
COMMANDS = (
    ("config",),
    ("flops", "--seq", "70"),
    ("trace", "--prompt-length", "1"),
    ("trace", "--ops"),
)

SLIDING, FULL = LAYER_TYPES
LOST = "a field that is not there"

ODD: tuple[Any, ...] = (
    LOST, None, True, False, 0, 0.0, -1, 1, 1.0, 3, 0.5, -0.5, 1e-320, 2**31, 2**63, 10**400,
    math.nan, math.inf, -math.inf, "", "8", "yarn", "\x1b[31mred", "é" * 200, [], [1], [None],
    [[]], {}, {"factor": 2.0}, {FULL: {}}, {SLIDING: None, FULL: 7},
)  # fmt: skip
"""What a field may hold, wherever it stands."""


def case(chance: Random) -> str:
    """One config that is right, or one with a fault: what transformers makes of it, or refused."""
    with silent():
        if chance.random() < 0.4:
            fields = next(configs(chance.getrandbits(64)))
            check_against_transformers(fields)
            return "right, " + _verified(fields)
        change, fields = next(mutants(chance.getrandbits(64)))
        try:
            is_refused = is_refused_by_name(change, fields)
            with TemporaryDirectory() as directory:
                (Path(directory) / "config.json").write_text(json.dumps(fields))
                command, *words = chance.choice(COMMANDS)
                ran = run(command, directory, *words, "--json", code=None)
            check(ran, as_json=True)
            refuses = is_refused or (command == "flops" and not _is_supported(fields))
            assert (ran.code == 2) == refuses, f"{command} ended with {ran.code}: {ran.stderr}"
        except BaseException as error:
            error.add_note(change)
            raise
        return "one changed, " + ("refused by name" if is_refused else "as transformers has it")


def _verified(fields: dict[str, Any]) -> str:
    """Every step of a model of random weights, where it is one that is computed by hand."""
    if not _is_supported(fields):
        return "as transformers has it"
    config, model = OlmoConfig.from_dict(fields), built(fields)
    checked = oe.verify(model, torch.arange(POSITIONS)[None] % config.vocab_size)
    assert checked.ok, repr(checked)
    return "verified"


def _is_supported(fields: dict[str, Any]) -> bool:
    """Whether it is one that is computed, and whose costs are counted."""
    try:
        check_supported(OlmoConfig.from_dict(fields))
    except UsageError:
        return False
    return True


def is_refused_by_name(change: str, fields: dict[str, Any]) -> bool:
    """Whether it is refused: then in one line that names the field. Else transformers has it so."""
    try:
        OlmoConfig.from_dict(fields, "M: config.json")
    except ConfigError as error:
        line = str(error)
        assert line.startswith("M: config.json ") and len(line) < 450, change
        assert not any(mark in line for mark in ("\n", "\x1b", "Error", "NoneType")), change
        field = change.split("=")[0].split(".")[-1]
        assert field in line or field in ("type", "hidden_size"), f"{change}: {line}"
        return True
    check_against_transformers(fields)
    return False


@contextmanager
def silent() -> Iterator[None]:
    """transformers has much to say of such configs."""
    before = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        logging.set_verbosity(before)


def built(fields: dict[str, Any]) -> nn.Module:
    """What transformers makes of it, with random weights in float32."""
    config = AutoConfig.for_model(**copy.deepcopy(fields))
    with torch.random.fork_rng():
        return AutoModelForCausalLM.from_config(
            config, attn_implementation="eager", dtype=torch.float32
        ).eval()


def check_against_transformers(fields: dict[str, Any]) -> None:
    """Shapes, parameters, RoPE and KV cache are those of the model that transformers builds."""
    config, model = OlmoConfig.from_dict(fields), built(fields)
    assert OlmoConfig.from_dict(config.to_dict()) == config
    real = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        real.pop("lm_head.weight")
    assert config.shapes == real
    assert config.parameters == sum(p.numel() for p in model.parameters())
    assert config.rms_norm_eps == model.model.norm.variance_epsilon
    kept = partial(replace(config, dtype="float32").kv_cache_bytes, POSITIONS, batch=2)
    assert kept_by(model) == kept(between_steps=True)
    assert kept_by(model, DynamicCache()) == kept(capped=False)  # one that knows no layer types
    loses_theta = (  # of which the guard warns
        config.model_type == "olmo3" and fields.get("rope_theta", 500_000) != 500_000
    )
    if loses_theta and SLIDING in config.layer_types:
        return
    rotary = model.model.rotary_emb
    for kind in set(config.layer_types):
        own = f"{kind}_" if config.model_type == "olmo3" else ""
        rope = config.rope[kind]
        assert torch.equal(frequencies(rope, config.head_dim), getattr(rotary, f"{own}inv_freq"))
        assert rope.attention_factor == getattr(rotary, f"{own}attention_scaling")
    assert measure_rope(model, config).regime == "per-layer"


def kept_by(model: nn.Module, cache: DynamicCache | None = None) -> int:
    """Bytes in the cache that a forward pass over two texts leaves: its own, or this one."""
    with torch.no_grad():
        ids = torch.zeros(2, POSITIONS, dtype=torch.long)
        answer = model(ids, use_cache=True, **{CACHE: cache})
    cache = answer[CACHE]
    return sum(4 * (layer.keys.numel() + layer.values.numel()) for layer in cache.layers)


# -- drawing them ----------------------------------------------------------------------------------


def configs(seed: int) -> Iterator[dict[str, Any]]:
    """Small OLMos of every kind that config.json allows, in forms that no release misreads."""
    draw = Random(seed)
    while True:
        yield _config(draw)


def mutants(seed: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """What was changed, and the fields: one of these, or one inside an object of RoPE."""
    draw = Random(seed)
    while True:
        fields = _config(draw)
        known = [*FIELDS, *fields, "unheard_of"]
        path, into = draw.choice(known), fields
        rope_fields = [*ROPE_FIELDS, *YARN_FIELDS, "type", FULL, SLIDING, "unheard_of"]
        while isinstance(into.get(path.split(".")[-1]), dict) and draw.random() < 0.8:
            into = into[path.split(".")[-1]]
            path += f".{draw.choice(rope_fields)}"
        value = copy.deepcopy(draw.choice(ODD))
        if value == LOST:
            into.pop(path.split(".")[-1], None)
        else:
            into[path.split(".")[-1]] = value
        yield f"{path}={value!r:.40}", fields


def _config(draw: Random) -> dict[str, Any]:
    is_olmo2 = draw.random() < 0.3
    layers, kv_heads = draw.randint(1, 5), draw.randint(1, 3)
    heads = kv_heads * draw.randint(1, 3)
    kinds = [draw.choice((SLIDING, FULL)) for _ in range(layers)]
    fields: dict[str, Any] = {
        "model_type": "olmo2" if is_olmo2 else "olmo3",
        "vocab_size": draw.randint(2, 50),
        "hidden_size": heads * 2 * draw.randint(1, 8) + draw.choice((0, 0, 1)),
        "intermediate_size": draw.randint(1, 40),
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "max_position_embeddings": draw.choice((8, 64, 4096)),
        "pad_token_id": draw.choice((None, 0, -1)),
    }
    maybe: dict[str, Any] = {
        "num_key_value_heads": kv_heads,
        "head_dim": 2 * draw.randint(1, 64),
        "rms_norm_eps": draw.choice((0.0, 1e-6, 1e-5, 0.1)),
        "initializer_range": draw.choice((0.0, 0.02, 1.0)),
        "hidden_act": draw.choice(ACTIVATIONS),
        "attention_bias": draw.random() < 0.5,
        "attention_dropout": draw.choice((0, 0.0, 0.5)),
        "tie_word_embeddings": draw.random() < 0.5,
        "use_cache": draw.random() < 0.5,
        "dtype": draw.choice(tuple(BYTES_PER_PARAMETER)),
        "torch_dtype": draw.choice(tuple(BYTES_PER_PARAMETER)),
        "eos_token_id": draw.choice((None, 1, [0, 1])),
        "bos_token_id": draw.choice((None, 1)),
        "layer_types": [FULL] * layers if is_olmo2 else kinds,
        "partial_rotary_factor": 1.0,
    }
    if not is_olmo2:
        maybe["sliding_window"] = draw.choice((1, 2, 3, 8, 4096))
    fields |= {name: value for name, value in maybe.items() if draw.random() < 0.6}
    if "head_dim" not in fields and fields["hidden_size"] // heads % 2:
        fields["head_dim"] = 2
    return fields | _rope(draw, is_olmo2)


def _rope(draw: Random, is_olmo2: bool) -> dict[str, Any]:
    """The fields of RoPE, as transformers 4 or 5 writes them."""
    yarn = _yarn(draw, is_olmo2)
    if draw.random() < 0.4:  # transformers 5.13 and newer lose any other θ of an OLMo 3
        theta = _theta(draw) if is_olmo2 else 500_000
        return {"rope_theta": theta, "rope_scaling": draw.choice((None, yarn, yarn))}
    if is_olmo2:
        return {"rope_parameters": draw.choice((_plain, _with_theta))(draw, yarn)}
    ropes = {kind: draw.choice((_plain, _with_theta))(draw, yarn) for kind in (SLIDING, FULL)}
    return {"rope_parameters": ropes}


def _plain(draw: Random, yarn: dict[str, Any]) -> dict[str, Any]:
    return {"rope_type": "default", "rope_theta": _theta(draw)}


def _with_theta(draw: Random, yarn: dict[str, Any]) -> dict[str, Any]:
    return yarn | {"rope_theta": _theta(draw)}


def _theta(draw: Random) -> float:
    return draw.choice((10_000, 500_000, 10 ** draw.uniform(2, 7)))


def _yarn(draw: Random, is_olmo2: bool) -> dict[str, Any]:
    maybe = {
        "original_max_position_embeddings": draw.choice((1, 8, 512, 8192)),
        "attention_factor": draw.choice((None, 0.0, 1.0, 1.2079441541679836, 3.0)),
        "beta_fast": draw.choice((None, 0, 0.5, 4, 32.0)),
        "beta_slow": draw.choice((None, 0, 0.5, 1, 4.0)),
        "mscale": draw.choice((None, 0, 0.7, 1.5)),
        "mscale_all_dim": draw.choice((None, 0, 0.5, 1)),
    }
    if is_olmo2:
        maybe["truncate"] = draw.random() < 0.5
    given = {name: value for name, value in maybe.items() if draw.random() < 0.5}
    factor = draw.choice((0.5, 1, 1.0, 8, 64.0, draw.uniform(1, 64)))
    return {"rope_type": "yarn", "factor": factor, **given}
