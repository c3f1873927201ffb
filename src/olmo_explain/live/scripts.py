"""From a model's files to the scripts with which a page computes."""

import hashlib
import json
from base64 import b64encode
from dataclasses import asdict
from string import Template

from olmo_explain.by_hand import run_by_hand
from olmo_explain.checkpoint import Source, preset, read_config
from olmo_explain.live.faults import exported_faults
from olmo_explain.live.reading import reader, text_of
from olmo_explain.running import GREETING, SONNET, load, prompt_ids

MODULES = ("rope", "olmo", "weights", "tokenizer", "asked", "session", "look", "console")
OFFERED = (
    "STEPS", "Session", "Tokenizer", "fromBase64", "joined", "largest", "openModel",
    "readSafetensors",
)  # fmt: skip
PARTS = 8  # of the weights, half a megabyte each
SAMPLES = (
    GREETING.text,
    SONNET.text,
    "ROMEO:\nMy love is as deep as the sea 🌊\n\n",
    " ".join([SONNET.text] * 3),  # five windows long
)
"""Prompts on which a page compares its own logits with PyTorch's."""


ENGINE = Template("""const live = (() => {
"use strict";
$modules
return { $offered };
})();
""")

READER = "document.currentScript.readHead = (() => {\n%sreturn readHead;\n})();\n"

TINY = Template("""document.currentScript.model = (() => {
$engine
const about = $about;
const weights = (parts) => live.joined(parts.map(live.fromBase64));
const open = (parts) => live.openModel({ ...about, weights: weights(parts) });
return { open, parts: $parts };
})();
""")


def engine() -> str:
    """The text of a script that declares one name, `live`, which holds the engine's own.

    Without imports or exports: it can stand before a widget's module, or in a classic script.
    """
    modules = "\n".join(text_of(f"{name}.js") for name in MODULES)
    return ENGINE.substitute(modules=modules, offered=", ".join(OFFERED))


def page_scripts() -> dict[str, str]:
    """The scripts with which a site's pages run `tiny`, by their file names in one folder.

    `live.js` belongs into each page and loads the others at the first call: `tiny.js`, the engine
    with config, tokenizer and samples, and the weights in parts; `reader.js`, which reads a head.
    """
    about, weights = bundled()
    size = -(-len(weights) // PARTS)
    parts = {f"tiny/{at}.js": weights[at * size : (at + 1) * size] for at in range(PARTS)}
    version = hashlib.sha256(weights).hexdigest()[:8]  # parts of two models are never mixed
    return {
        "live.js": text_of("page.js"),
        "reader.js": READER % reader(),
        "tiny.js": TINY.substitute(
            engine=engine(),
            about=json.dumps(about),
            parts=json.dumps([f"{name}?v={version}" for name in parts]),
        ),
        **{
            name: f'document.currentScript.part = "{b64encode(part).decode()}";\n'
            for name, part in parts.items()
        },
    }


def bundled() -> tuple[dict, bytes]:
    """What the engine must know of `tiny` to open it, and the bytes of its weights."""
    source = preset("tiny")
    config = read_config(source)
    about = {
        "name": source.name,
        "config": asdict(config),
        "faults": exported_faults(config),
        "tokenizer": json.loads(source.read("tokenizer.json")),
        "samples": _samples(source),
    }
    return about, source.read("model.safetensors")


def _samples(source: Source) -> list[dict]:
    model, tokenizer = load(source, "float32")
    found = []
    for prompt in SAMPLES:
        ids = prompt_ids(model, tokenizer, prompt)
        logits = run_by_hand(model, ids)[None, "logits"][0, -1].numpy()  # (V,)
        data = b64encode(logits.astype("<f4").tobytes()).decode()
        found.append({"ids": ids[0].tolist(), "logits": data})
    return found
