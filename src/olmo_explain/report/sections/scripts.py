"""Section 6: what the report's three scripts did, and what does it now."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from olmo_explain.by_hand import STEPS
from olmo_explain.report.claim import PROVEN, Claim
from olmo_explain.report.evidence import Evidence
from olmo_explain.report.sections.access import LINEAR_VALUES

proven: Callable[..., Claim] = partial(Claim, section="6. Test scripts", **PROVEN)


@dataclass(frozen=True)
class Successor:
    """`commands` and `chapters` do now what `script` did."""

    script: str
    purpose: str
    commands: tuple[str, ...]
    chapters: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.script}: {self.purpose}"


INTERNALS = Successor(
    "torch_internals_probe.py",
    "Weight storage, attention/MLP step traces",
    ("weights", "head", "verify"),
    ("02_weights_on_disk", "05_attention", "08_mlp"),
)
READER = Successor(
    "torch_weight_reader_probe.py",
    "Verifies exact weight reading operations",
    ("verify",),
    ("03_embedding", "04_linear", "07_rmsnorm"),
)
TRACER = Successor(
    "olmo_forward_trace.py",
    "Hooks into OLMo model, traces forward pass",
    ("trace", "trace --ops"),
    ("10_forward_trace",),
)
SUCCESSORS = (INTERNALS, READER, TRACER)


def claims() -> Iterator[Claim]:
    yield proven(
        "scripts.internals",
        str(INTERNALS),
        ["weight storage", "attention steps", "MLP steps"],
        chapter="02_weights_on_disk",
        measure=_internals,
        how="its successors: olmo-explain weights, head and verify {e.running}",
    )
    yield proven(
        "scripts.reader",
        str(READER),
        "equal",
        chapter="04_linear",
        measure=lambda e: e.running.proof("embedding", *LINEAR_VALUES),
        how="its successor: olmo-explain verify {e.running}, from the bytes on disk",
    )
    yield proven(
        "scripts.trace",
        str(TRACER),
        "every module",
        chapter="10_forward_trace",
        measure=_traced,
        how="its successor: olmo-explain trace {e.running}",
    )


def measure(evidence: Evidence) -> list[dict[str, Any]]:
    """The scripts and their successors: the same for every model."""
    return [asdict(successor) for successor in SUCCESSORS]


def _internals(evidence: Evidence) -> list[str] | None:
    """Which of the three the successors show: every weight's place, and each step of a layer."""
    subject = evidence.running
    if subject.proof(*STEPS) is None:
        return None
    stored, names = subject.checkpoint, set(subject.config.shapes)
    differing = {step.step for step in subject.verified.steps if not step.equal}
    steps = {step.step for step in subject.verified.steps} - differing
    shown = {
        "weight storage": stored is not None
        and names <= set(stored.names)
        and all(stored.locate(name).bytes_needed for name in names),
        "attention steps": steps >= set(range(1, 11)),
        "MLP steps": steps >= set(range(11, 16)),
    }
    return [what for what, there in shown.items() if there]


def _traced(evidence: Evidence) -> str:
    """Whether every module that works itself was seen at work."""
    subject = evidence.running
    leaves = {path for path, part in subject.model.named_modules() if not list(part.children())}
    seen = {call.path for call in subject.ran.calls}
    return "every module" if leaves <= seen else f"not {', '.join(sorted(leaves - seen))}"
