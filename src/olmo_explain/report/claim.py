"""What a claim is, and how a check becomes a verdict. No torch.

>>> claim = Claim("config.hidden_size", CONFIGURATION, "hidden_size is 4096", 4096, "01_config",
...               measure=lambda e: e.seven.config.hidden_size, how="olmo-explain config {e.seven}")
>>> claim.check(Evidence("olmo3-7b")).verdict
'reproduced'

A verdict is never written down: it follows from what was claimed and what was measured.

- `reproduced`: measured, and as claimed.
- `corrected`: measured, and otherwise. `why` gives the right value and the reason.
- `recorded`: not to be measured here. `why` says what would.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from olmo_explain.report.evidence import Evidence

Verdict = Literal["reproduced", "corrected", "recorded"]
VERDICTS: tuple[Verdict, ...] = ("reproduced", "corrected", "recorded")

HEADER = "The report itself"
CONFIGURATION = "1. Configuration"
ACCESS = "2. Weight access types"
FORWARD = "3. Forward pass"
FLOPS = "4. FLOPs per layer"
FACTS = "5. Architectural facts"
SCRIPTS = "6. Test scripts"
SECTIONS = (HEADER, CONFIGURATION, ACCESS, FORWARD, FLOPS, FACTS, SCRIPTS)
"""The sections of the report, as `CheckedClaim.section` names them."""

Words = str | Callable[["Evidence", Any], str]
"""A sentence: text with {e.…} and {measured} to fill in, or a function of the two."""


def same(claimed: Any, measured: Any, evidence: Evidence) -> bool | None:
    """Equal, as JSON values are. None where nothing was measured."""
    return None if measured is None else _plain(claimed) == _plain(measured)


@dataclass(frozen=True)
class Claim:
    """One statement of the report, and the check that may prove it wrong.

    `measure` gives the value to compare with `claimed`, None where this evidence does not hold it.
    `judge` says whether they agree, None where that can't be told; by default they must be equal.
    `how` names the command and the model; `corrected`, `recorded` and `note` are the reason that
    goes with each verdict (`note` with `reproduced`, where there is something to add).
    `skipped` says, for a MODEL that has what the check needs, why it was not used; else nothing.
    """

    id: str
    section: str
    statement: str
    claimed: Any
    chapter: str
    measure: Callable[[Evidence], Any]
    how: Words
    judge: Callable[[Any, Any, Evidence], bool | None] = same
    corrected: Words = "Measured: {measured}."
    recorded: Words = ""
    note: Words = ""
    skipped: Callable[[Evidence], str] = lambda evidence: ""

    def check(self, evidence: Evidence) -> CheckedClaim:
        """Measures, compares, and gives the verdict."""
        measured = self.measure(evidence)
        agrees = self.judge(self.claimed, measured, evidence)
        verdict: Verdict = "recorded"
        if agrees is not None:
            verdict = "reproduced" if agrees else "corrected"
        why = {"reproduced": self.note, "corrected": self.corrected, "recorded": self.recorded}
        return CheckedClaim(
            id=self.id,
            section=self.section,
            statement=self.statement,
            claimed=_plain(self.claimed),
            measured=_plain(measured),
            verdict=verdict,
            how=_say(self.how, evidence, measured),
            why=_say(why[verdict], evidence, measured),
            chapter=self.chapter,
            skipped=self.skipped(evidence),
        )


@dataclass(frozen=True)
class CheckedClaim:
    """A claim with its verdict. `claimed` and `measured` are plain JSON values.

    `chapter`: the notebook that shows it. `skipped`: why MODEL itself was not measured though it
    has what that takes, but lying elsewhere, say; empty where it was, or has nothing to measure.
    """

    id: str
    section: str
    statement: str
    claimed: Any
    measured: Any
    verdict: Verdict
    how: str
    why: str
    chapter: str
    skipped: str

    def to_dict(self) -> dict[str, Any]:
        """As one of `claims` in `olmo-explain report --json`."""
        return asdict(self)


def _say(words: Words, evidence: Evidence, measured: Any) -> str:
    if callable(words):
        return words(evidence, measured)
    return words.format(e=evidence, measured=_plain(measured))


def _plain(value: Any) -> Any:
    """As JSON would give it back."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
