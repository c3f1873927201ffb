"""The six sections of the report for any MODEL, as plain data: what the tables of `report` show.

Each function measures one section on `evidence.asked`; where MODEL cannot run, what needs numbers
comes from `evidence.running`, and the section says which model that was.
"""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Any

from olmo_explain.checkpoint import head_slices, initial_norm
from olmo_explain.report.evidence import BATCH, HEAD, LAYER, PROMPT, SEQ, Evidence, has_head
from olmo_explain.report.sections.access import LINEAR
from olmo_explain.report.sections.configuration import FIELDS, in_words, period
from olmo_explain.report.sections.scripts import SUCCESSORS

if TYPE_CHECKING:
    from olmo_explain.checkpoint import OlmoConfig
    from olmo_explain.proof import StepResult
    from olmo_explain.report.evidence import Subject

ACCESSES = {
    "Embedding": ("weight[token_id]", ("embedding",)),
    "Linear": ("x @ weight.T", LINEAR),
    "Attention scores": ("q @ k.T / √head_dim", ("scores",)),
    "Attention apply": ("pattern @ v", ("z",)),
    "RMSNorm": (
        "x / √(mean(x²) + ε) · weight, in float32",
        ("q_norm", "k_norm", "attn_out", "mlp_out", "final_norm"),
    ),
}


def measure_sections(evidence: Evidence) -> dict[str, Any]:
    """All six, in the order of the report."""
    return {
        "configuration": configuration(evidence),
        "access": access(evidence),
        "forward": forward(evidence),
        "flops": flops(evidence),
        "facts": facts(evidence),
        "scripts": [asdict(successor) for successor in SUCCESSORS],
    }


def configuration(evidence: Evidence) -> dict[str, Any]:
    """Fields, layer types, every kind of weight, and the norms of heads."""
    subject, config = evidence.asked, evidence.asked.config
    pattern, repeats = period(config)
    full = config.rope["full_attention"]
    return {
        "fields": {field: getattr(config, field) for field in FIELDS}
        | {"rope_type": full.rope_type, "rope_factor": full.factor},
        "layer_types": {
            "in_words": in_words(config),
            "pattern": pattern,
            "repeats": repeats,
            "full_attention_layers": config.full_attention_layers,
            "sliding_window": config.sliding_window,
        },
        "components": [
            {
                "name": part.name,
                "shape": list(part.shape),
                "count": part.count,
                "parameters": part.parameters,
                "module": type(
                    subject.modules.get_submodule(part.names()[0].rpartition(".")[0])
                ).__name__,
            }
            for part in config.components
        ],
        "parameters": config.parameters,
        "bytes": config.bytes,
        "dtype": config.dtype,
        "head": _head(subject),
        "norms": _norms(subject),
        "initial_norm": initial_norm(config),
    }


def _head(subject: Subject) -> dict[str, Any] | None:
    """The report's head, where there is one; norms are None where there are no weights."""
    if not has_head(subject.config):
        return None
    norms = subject.head.norms if subject.head else {}
    return {
        "layer": LAYER,
        "head": HEAD,
        "layer_type": subject.config.layer_types[LAYER],
        "slices": {
            name: {"slice": str(part), "shape": list(part.shape), "norm": norms.get(name)}
            for name, part in head_slices(subject.config, LAYER, HEAD).items()
        },
    }


def _norms(subject: Subject) -> dict[str, Any]:
    """The norms of every head, or why there are none."""
    if subject.norms is None:
        return {"skipped": subject.missing, "heads": None}
    return {"skipped": None, "heads": {name: n.tolist() for name, n in subject.norms.items()}}


def access(evidence: Evidence) -> dict[str, Any]:
    """How each kind of weight is read, each step of each layer against the reference."""
    subject = evidence.running
    verified = subject.verified
    return {
        "measured_on": subject.name,
        "dtype": verified.dtype,
        "rope_regime": verified.rope.regime,
        "ok": verified.ok,
        "rows": [
            {
                "type": kind,
                "operation": operation,
                **_proof([step for step in verified.steps if step.name in names]),
            }
            for kind, (operation, names) in ACCESSES.items()
        ],
        "all": _proof(verified.steps),
    }


def _proof(steps: list[StepResult]) -> dict[str, Any]:
    """How many values were compared and how many of them are equal, bit for bit."""
    distances = [step.max_abs_diff for step in steps if step.max_abs_diff is not None]
    return {
        "values": len(steps),
        "equal": sum(step.equal for step in steps),
        "max_abs_diff": max(distances, default=None),
    }


def forward(evidence: Evidence) -> dict[str, Any]:
    """Calls, what they read, and each layer's steps in the order in which they ran."""
    asked, running = evidence.asked, evidence.running
    ran = asked.ran
    tokens = ran.calls[0].input_shapes[0][-1]
    return {
        "prompt": PROMPT if asked.runs and asked.loaded[1] else None,
        "tokens": tokens,
        "device": "cpu" if asked.runs else "meta",
        "counts": ran.counts,
        "total": ran.total,
        "parameters_held": ran.parameters_held,
        "parameters_read": ran.parameters_read,
        "bytes_read": ran.bytes_read,
        "seconds": asked.seconds if asked.runs else None,
        "sequence": {"measured_on": running.name, "ways": _ways(running)},
    }


def _ways(subject: Subject) -> list[dict[str, Any]]:
    """The orders in which layers computed their values, and which layers did so."""
    ways: dict[tuple, list[int]] = {}
    for layer, steps in groupby(subject.order, key=lambda step: step.layer):
        ways.setdefault(tuple((step.step, step.name) for step in steps), []).append(layer)
    return [
        {"layers": layers, "steps": [{"step": step, "name": name} for step, name in way]}
        for way, layers in ways.items()
    ]


def flops(evidence: Evidence) -> dict[str, Any]:
    """MACs and FLOPs of one layer at the report's length, and where attention overtakes."""
    costs = evidence.asked.costs.to_dict()
    names = set(evidence.asked.costs.layer())
    return {
        "seq": SEQ,
        "batch": BATCH,
        "operations": [o for o in costs["operations"] if o["name"] in names and o["macs"]],
        "layer": costs["layer"],
        "model": costs["model"],
        "attention": costs["attention"],
        "crossover_seq": costs["crossover_seq"],
    }


def facts(evidence: Evidence) -> dict[str, Any]:
    """Sizes as products, and what the modules of a layer are."""
    from torch import nn

    config, modules = evidence.asked.config, evidence.asked.modules
    linear = [module for module in modules.modules() if isinstance(module, nn.Linear)]
    layer = modules.model.layers[0]
    activations = [call for call in evidence.asked.ran.calls if call.path.endswith("act_fn")]
    return {
        "intermediate_size": as_product(config.intermediate_size),
        "hidden_size": as_product(config.hidden_size),
        "head_dim": _head_dim(config),
        "num_attention_heads": as_product(config.num_attention_heads),
        "norms_per_layer": [
            path for path, part in layer.named_modules() if type(part).__name__.endswith("RMSNorm")
        ],
        "linear_modules": len(linear),
        "linear_modules_with_bias": sum(module.bias is not None for module in linear),
        "activation": sorted({call.type for call in activations}),
        "activation_calls": len(activations),
    }


def _head_dim(config: OlmoConfig) -> str:
    D, H, Dh = config.hidden_size, config.num_attention_heads, config.head_dim
    return f"{Dh} = {D} / {H} heads" if H * Dh == D else f"{Dh}, not {D} / {H}"


def as_product(number: int) -> str:
    """A size as a power of two times what is odd in it.

    >>> as_product(11008)
    '11008 = 256 × 43'
    """
    power = number & -number
    return f"{number} = {power} × {number // power}"
