"""Section 2: how each kind of weight is read, and the products of attention."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from olmo_explain.costs import LINEAR
from olmo_explain.proof import StepResult
from olmo_explain.report.claim import PROVEN, Claim
from olmo_explain.report.evidence import Evidence, Subject, is_norm
from olmo_explain.running import hooked

claim = partial(Claim, section="2. Weight access types")

LINEAR_VALUES = (*LINEAR, "logits")
"""What Linear modules give, as `verify` names it."""

ACCESSES = {
    "Embedding": ("weight[token_id]", ("embedding",)),
    "Linear": ("x @ weight.T", LINEAR_VALUES),
    "Attention scores": ("q @ k.T / √head_dim", ("scores",)),
    "Attention apply": ("pattern @ v", ("z",)),
    "RMSNorm": (
        "x / √(mean(x²) + ε) · weight, in float32",
        ("q_norm", "k_norm", "attn_out", "mlp_out", "final_norm"),
    ),
}


def claims() -> Iterator[Claim]:
    def equal(id: str, statement: str, *values: str, **parts: Any) -> Claim:
        return claim(
            id,
            statement,
            "equal",
            measure=lambda e: e.running.proof(*values),
            how="olmo-explain verify {e.running}: {about}",
            about=", ".join(values),
            **PROVEN,
            **parts,
        )

    yield equal(
        "access.embedding",
        "Embedding: weight[token_id], and manual indexing matches",
        "embedding",
        chapter="03_embedding",
    )
    yield equal(
        "access.linear",
        "Linear: x @ weight.T, and a manual matmul matches",
        *LINEAR_VALUES,
        chapter="04_linear",
    )
    yield claim(
        "access.bias",
        "Linear: x @ weight.T + bias",
        "x @ weight.T + bias",
        chapter="04_linear",
        measure=_linear_formula,
        how="the Linear modules of {e.seven} in transformers, on the meta device",
        corrected="{measured}: there is no bias to add in any Linear, as the report itself says "
        "in its section 5.",
    )
    attention: dict[str, Any] = {
        "chapter": "05_attention",
        "note": "Verified here; the report took it from the architecture.",
    }
    yield equal("access.scores", "Attention scores: Q @ K.T / sqrt(d_k)", "scores", **attention)
    yield equal("access.apply", "Attention apply: attn_weights @ V", "z", **attention)
    yield claim(
        "access.rmsnorm",
        "RMSNorm: x * weight / rms(x)",
        "equal",
        chapter="07_rmsnorm",
        measure=lambda e: formula_against_modules(e.running, literal_rms_norm),
        how="that formula against every RMSNorm of {e.running}, on its own inputs and on zeros",
        corrected="The formula {measured}. The modules add rms_norm_eps to the mean square, "
        "compute in float32 and round once: olmo-explain verify proves that bit for bit.",
        **PROVEN,
    )


def _linear_formula(evidence: Evidence) -> str:
    biases = evidence.seven.biases
    if any(biases) and not all(biases):
        return f"x @ weight.T, + bias in {sum(biases)} of {len(biases)}"
    return "x @ weight.T + bias" if any(biases) else "x @ weight.T"


def literal_rms_norm(x: Tensor, module: Any) -> Tensor:
    """What the report writes, in the dtype of x: no epsilon, no float32."""
    return x * module.weight / x.pow(2).mean(-1, keepdim=True).sqrt()


def formula_against_modules(
    subject: Subject, formula: Callable[[Tensor, nn.Module], Tensor]
) -> str:
    """`equal` where `formula(x, module)` is what each RMSNorm gives, of its input and of zeros."""
    norms = [module for module in subject.model.modules() if is_norm(module)]
    differing: set[nn.Module] = set()
    zeros: set[nn.Module] = set()

    def compare(module: nn.Module, args: tuple, output: Tensor) -> None:
        (x,) = args
        if not torch.equal(formula(x, module), output):
            differing.add(module)
        nothing = torch.zeros_like(x[:, :1])
        if not torch.equal(formula(nothing, module), module.forward(nothing)):
            zeros.add(module)

    with hooked() as hooks, torch.no_grad():
        for module in norms:
            hooks.after(module, partial(compare, module))
        subject.model(subject.ids, use_cache=False)
    if not differing | zeros:
        return "equal"
    return (
        f"rounds otherwise in {len(differing)} of {len(norms)} norms, and fails for a vector of "
        f"zeros in {len(zeros)}"
    )


def measure(evidence: Evidence) -> dict[str, Any]:
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
