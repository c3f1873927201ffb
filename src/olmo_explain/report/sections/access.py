"""Section 2: how each kind of weight is read, and the products of attention."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from olmo_explain.report.claim import ACCESS, Claim
from olmo_explain.report.evidence import unproven

if TYPE_CHECKING:
    from torch import Tensor, nn

    from olmo_explain.report.evidence import Evidence, Subject

LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "logits")


def claims() -> Iterator[Claim]:
    def proven(name: str, statement: str, chapter: str, *steps: str, **parts: Any) -> Claim:
        return Claim(
            id=f"access.{name}",
            section=ACCESS,
            statement=statement,
            claimed="equal",
            chapter=chapter,
            measure=lambda e: e.running.proof(*steps),
            how=f"olmo-explain verify {{e.running}}: {', '.join(steps)}",
            recorded=unproven,
            skipped=lambda e: e.skipped_run,
            **parts,
        )

    taken_from_architecture = "Verified here; the report took it from the architecture."
    yield proven(
        "embedding",
        "Embedding: weight[token_id], and manual indexing matches",
        "03_embedding",
        "embedding",
    )
    yield proven(
        "linear", "Linear: x @ weight.T, and a manual matmul matches", "04_linear", *LINEAR
    )
    yield Claim(
        id="access.bias",
        section=ACCESS,
        statement="Linear: x @ weight.T + bias",
        claimed="x @ weight.T + bias",
        chapter="04_linear",
        measure=_linear_formula,
        how="the Linear modules of {e.seven} in transformers, on the meta device",
        corrected="{measured}: there is no bias to add in any Linear, as the report itself says "
        "in its section 5.",
    )
    yield proven(
        "scores",
        "Attention scores: Q @ K.T / sqrt(d_k)",
        "05_attention",
        "scores",
        note=taken_from_architecture,
    )
    yield proven(
        "apply",
        "Attention apply: attn_weights @ V",
        "05_attention",
        "z",
        note=taken_from_architecture,
    )
    yield Claim(
        id="access.rmsnorm",
        section=ACCESS,
        statement="RMSNorm: x * weight / rms(x)",
        claimed="equal",
        chapter="07_rmsnorm",
        measure=lambda e: formula_against_modules(e.running, literal_rms_norm),
        how="that formula against every RMSNorm of {e.running}, on its own inputs and on zeros",
        corrected="The formula {measured}. The modules add rms_norm_eps to the mean square, "
        "compute in float32 and round once: olmo-explain verify proves that bit for bit.",
        skipped=lambda e: e.skipped_run,
    )


def _linear_formula(evidence: Evidence) -> str:
    from torch import nn

    modules = [m for m in evidence.seven.modules.modules() if isinstance(m, nn.Linear)]
    biased = sum(module.bias is not None for module in modules)
    if biased in (0, len(modules)):
        return "x @ weight.T" + (" + bias" if biased else "")
    return f"x @ weight.T, + bias in {biased} of {len(modules)}"


def literal_rms_norm(x: Tensor, module: nn.Module) -> Tensor:
    """What the report writes, in the dtype of x: no epsilon, no float32."""
    return x * module.weight / x.pow(2).mean(-1, keepdim=True).sqrt()


def formula_against_modules(subject: Subject, formula: Any) -> str:
    """`equal` where `formula(x, module)` is what each RMSNorm gives, of its input and of zeros."""
    import torch

    model, _ = subject.loaded
    norms = [m for m in model.modules() if type(m).__name__.endswith("RMSNorm")]
    differing: set[nn.Module] = set()
    zeros: set[nn.Module] = set()

    def compare(module: nn.Module, args: tuple, output: Tensor) -> None:
        (x,) = args
        if not torch.equal(formula(x, module), output):
            differing.add(module)
        nothing = torch.zeros_like(x[:, :1])
        if not torch.equal(formula(nothing, module), module.forward(nothing)):
            zeros.add(module)

    handles = [module.register_forward_hook(compare) for module in norms]
    try:
        with torch.no_grad():
            model(subject.ids, use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    if not differing | zeros:
        return "equal"
    return (
        f"rounds otherwise in {len(differing)} of {len(norms)} norms, and fails for a vector of "
        f"zeros in {len(zeros)}"
    )
