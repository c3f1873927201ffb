"""From a model's files to the scripts with which a page computes."""

import hashlib
import json
from base64 import b64encode
from dataclasses import asdict
from importlib.resources import files

import torch

from olmo_explain.by_hand import run_by_hand
from olmo_explain.checkpoint import ModelLike, read_config, resolve
from olmo_explain.running import GREETING, SONNET, load, prompt_ids

MODULES = ("rope", "olmo", "weights", "tokenizer", "session", "console")
OFFERED = (
    "STEPS", "Session", "Tokenizer", "fromBase64", "joined", "largest", "openModel",
    "readSafetensors",
)  # fmt: skip
PARTS = 8  # of the weights, about half a megabyte each for tiny
SAMPLES = (
    GREETING.text,
    SONNET.text,
    "ROMEO:\nMy love is as deep as the sea 🌊\n\n",
    " ".join([SONNET.text] * 3),  # five windows long
)
"""Prompts on which a page compares its own logits with PyTorch's."""


def engine() -> str:
    """The text of a script that declares one name, `live`, which holds the engine's own.

    Without imports or exports: it can stand before a widget's module, or in a classic script.
    """
    modules = "\n".join(_text(f"{name}.js") for name in MODULES)
    return f'const live = (() => {{\n"use strict";\n{modules}\nreturn {{ {", ".join(OFFERED)} }};\n}})();\n'


def page_scripts(model: ModelLike = "tiny") -> dict[str, str]:
    """The scripts of a site by their file names, to be put into one folder.

    `live.js` belongs into each page, and loads the others by itself: `tiny.js`, the engine with
    config, tokenizer and samples, and the weights in parts. Takes a MODEL that has a tokenizer and
    one safetensors file, in bfloat16 or float32.
    """
    source = resolve(model)
    weights = source.read("model.safetensors")
    version = hashlib.sha256(weights).hexdigest()[:8]  # parts of two models are never mixed
    size = -(-len(weights) // PARTS)
    parts = {f"tiny/{at}.js": weights[at * size : (at + 1) * size] for at in range(PARTS)}
    about = {
        "name": source.name,
        "config": asdict(read_config(source)),
        "tokenizer": json.loads(source.read("tokenizer.json")),
        "samples": _samples(model),
    }
    names = json.dumps([f"{name}?v={version}" for name in parts])
    main = (
        f"document.currentScript.model = (() => {{\n{engine()}"
        f"const about = {json.dumps(about)};\n"
        "const open = (parts) =>\n"
        "  live.openModel({ ...about, weights: live.joined(parts.map(live.fromBase64)) });\n"
        f"return {{ parts: {names}, open }};\n}})();\n"
    )
    return {
        "live.js": _text("page.js"),
        "tiny.js": main,
        **{
            name: f'document.currentScript.part = "{b64encode(part).decode()}";\n'
            for name, part in parts.items()
        },
    }


def _samples(model: ModelLike) -> list[dict]:
    loaded, tokenizer = load(model, "float32")
    return [_sample(loaded, prompt_ids(loaded, tokenizer, prompt)) for prompt in SAMPLES]


def _sample(model: torch.nn.Module, ids: torch.Tensor) -> dict:
    logits = run_by_hand(model, ids)["logits"][0, -1]  # (V,)
    return {
        "ids": ids[0].tolist(),
        "logits": b64encode(logits.numpy().astype("<f4").tobytes()).decode(),
    }


def _text(filename: str) -> str:
    return (files("olmo_explain.live") / filename).read_text(encoding="utf-8")
