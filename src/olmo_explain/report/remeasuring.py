"""The report, measured again: its claims with their verdicts, and its six sections for any MODEL.

>>> report = remeasure("tiny")
>>> report.verdicts["reproduced"] > report.verdicts["corrected"], report.ok
(True, True)
"""

from collections import Counter
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from jinja2 import Environment, Template

from olmo_explain.checkpoint import ModelLike
from olmo_explain.proof import place
from olmo_explain.report.claim import VERDICTS, CheckedClaim
from olmo_explain.report.evidence import Evidence
from olmo_explain.report.sections import ALL_CLAIMS, SECTIONS, measure_sections
from olmo_explain.report.sections.configuration import RECORDED_NORMS
from olmo_explain.waiting import progress
from olmo_explain.words import shape, text


@dataclass(frozen=True, repr=False)
class Report:
    """Every claim with its verdict, and the report's six sections as MODEL has them.

    `seven`: the model whose shapes decided claims about the 7B's sizes. `running`: the model whose
    numbers proved what is computed. `sections`: plain data, by section. `problems`: what was wrong,
    a line each. That the report is corrected is no problem; that a step differs from the
    reference, that the RoPE is not OLMo 3's, or that weights refute a recorded norm is one.
    """

    model: str
    seven: str
    running: str
    rope_regime: str
    claims: list[CheckedClaim]
    sections: dict[str, Any]
    problems: list[str]

    @property
    def ok(self) -> bool:
        return not self.problems

    @property
    def verdicts(self) -> dict[str, int]:
        """How many claims there are of each verdict."""
        counts = Counter(claim.verdict for claim in self.claims)
        return {verdict: counts[verdict] for verdict in VERDICTS}

    @property
    def skipped(self) -> dict[str, list[str]]:
        """The claims for which MODEL itself was not used, by the reason why."""
        skipped: dict[str, list[str]] = {}
        for claim in self.claims:
            if claim.skipped:
                skipped.setdefault(claim.skipped, []).append(claim.id)
        return skipped

    def to_dict(self) -> dict[str, Any]:
        """As `olmo-explain report --json` prints it."""
        return {
            "model": self.model,
            "measured_on": {"sizes": self.seven, "numbers": self.running},
            "versions": {name: version(name) for name in ("transformers", "torch")},
            "rope_regime": self.rope_regime,
            "verdicts": self.verdicts,
            "claims": [asdict(claim) for claim in self.claims],
            "sections": self.sections,
            "skipped": [{"why": why, "claims": ids} for why, ids in self.skipped.items()],
            "problems": self.problems,
            "ok": self.ok,
        }

    def to_markdown(self) -> str:
        """The whole report as a document: each section's tables, then its claims."""
        by_section = {
            title: [claim for claim in self.claims if claim.section == title] for title in SECTIONS
        }
        return _template().render(by_section=by_section, **self.to_dict())

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {verdict}" for verdict, count in self.verdicts.items())
        text = f"{len(self.claims)} claims measured on {self.model}: {counts}"
        return f"{text}; {' '.join(self.problems)}" if self.problems else text


def remeasure(model: ModelLike) -> Report:
    """Every claim of the report checked, and its six sections measured on a MODEL.

    Claims about the 7B's sizes are checked on MODEL where it has the 7B's shape, else on the
    bundled config `olmo3-7b`. What needs numbers (access types, the order of steps) is proven on
    MODEL where its weights are on this machine and fit into memory, else on `tiny`. Of weights that
    lie elsewhere only head H27@L17 is read; `skipped` names the claims that want more.

    >>> [c.id for c in remeasure("olmo3-7b").claims if c.verdict == "recorded"][-2:]
    ['forward.time', 'forward.prompt']
    """
    evidence = Evidence(model)
    _measure_ahead(evidence)
    claims = [claim.check(evidence) for claim in ALL_CLAIMS]
    return Report(
        model=evidence.asked.name,
        seven=evidence.seven.name,
        running=evidence.running.name,
        rope_regime=evidence.seven.rope.regime,
        claims=claims,
        sections=measure_sections(evidence),
        problems=_problems(evidence, claims),
    )


def _problems(evidence: Evidence, claims: list[CheckedClaim]) -> list[str]:
    verified = evidence.running.verified
    ropes = (evidence.asked.rope, evidence.seven.rope, verified.rope)
    problems = list(dict.fromkeys(rope.remedy for rope in ropes if rope.remedy))
    if first := verified.first_difference:
        problems.append(f"{evidence.running}: {place(first)} differs: {verified.cause}.")
    for claim in claims:
        if claim.id in RECORDED_NORMS and claim.verdict == "corrected":
            problems.append(f"{claim.statement}, but it is {claim.why}")
    return problems


# -- long work ------------------------------------------------------------------------------------


def _measure_ahead(evidence: Evidence) -> None:
    """Measures what takes long, and says so on stderr if a terminal is there.

    Everything is kept in `evidence`, so the claims find it measured. Reading, loading and checking
    have bars of their own.
    """
    asked, seven = evidence.asked, evidence.seven
    with progress(f"Building the modules of {seven}"):
        _ = seven.rope, asked.rope
    running = evidence.running
    _ = seven.head, asked.norms, running.loaded, running.verified
    with progress(f"Tracing {running}"):
        _ = seven.ran, asked.ran, running.order


# -- as a document --------------------------------------------------------------------------------


@cache
def _template() -> Template:
    environment = Environment(trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    environment.filters |= {"cell": cell, "shape": shape}
    template = files("olmo_explain.report") / "report.md.jinja"
    return environment.from_string(template.read_text(encoding="utf-8"))


def cell(value: Any) -> str:
    """A value in a cell of a Markdown table.

    >>> cell(7298011136), cell([4096, 128]), cell("a | b"), cell(None)
    ('7,298,011,136', '4096, 128', 'a \\\\| b', '–')
    """
    return " ".join(text(value, digits=10).split()).replace("|", "\\|")
