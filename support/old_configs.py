"""Copies of `tiny` whose config.json says its RoPE otherwise."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from olmo_explain.checkpoint import preset


def tiny_with(directory: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """`tiny` in this directory, its config.json changed by `change`; the weights are links."""
    directory.mkdir(parents=True, exist_ok=True)
    for file in preset("tiny").directory.iterdir():
        if file.name != "config.json":
            (directory / file.name).symlink_to(file)
    fields = json.loads(preset("tiny").read("config.json"))
    change(fields)
    (directory / "config.json").write_text(json.dumps(fields))
    return directory


def without_rope_parameters(fields: dict[str, Any]) -> None:
    """The old form, as transformers 4.57 and OLMo-core's exporter write it."""
    del fields["rope_parameters"]


def with_the_old_key(fields: dict[str, Any]) -> None:
    """Older still: `type` in place of `rope_type`."""
    del fields["rope_parameters"]
    fields["rope_scaling"]["type"] = fields["rope_scaling"].pop("rope_type")


def with_mscale(fields: dict[str, Any]) -> None:
    """YaRN's factor by `mscale` and `mscale_all_dim`, DeepSeek's names, and not said itself."""
    for rope in (fields["rope_scaling"], fields["rope_parameters"]["full_attention"]):
        del rope["attention_factor"]
        rope |= {"mscale": 1.5, "mscale_all_dim": 0.5}


def with_two_thetas(fields: dict[str, Any]) -> None:
    """A θ for each layer type, and a YaRN that leaves the amplitude alone."""
    del fields["rope_scaling"], fields["rope_theta"]
    fields["rope_parameters"]["sliding_attention"]["rope_theta"] = 500_000
    fields["rope_parameters"]["full_attention"]["attention_factor"] = 1.0
