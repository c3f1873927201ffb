"""What a claim is, and how a check becomes a verdict.

>>> claim = Claim("layers.number", "There are 32 layers", 32, section="Mine", chapter="01_config",
...               measure=lambda e: e.seven.config.num_hidden_layers, how="olmo-explain config")
>>> claim.check(Evidence("olmo3-7b")).verdict
'reproduced'

A verdict is never written down: it follows from what was claimed and what was measured.

- `reproduced`: measured, and as claimed.
- `corrected`: measured, and otherwise. `why` gives the right value and the reason.
- `recorded`: not to be measured here. `why` says what would.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal, get_args

from olmo_explain.report.evidence import Evidence

Verdict = Literal["reproduced", "corrected", "recorded"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

Words = str | Callable[[Evidence, Any], str]
"""A sentence: a template of {e.…}, {measured} and {about}, or a function of the first two."""

PROVEN: dict[str, Any] = {
    "recorded": "{e.running} runs with another RoPE than its config.json asks for, so whatever "
    "depends on it differs from the reference. The report's problems say more.",
    "skipped": "{e.skipped_run}",
}
"""What a claim says that only numbers prove: why they could not, and why MODEL's were not used."""


def equal_as_json(claimed: Any, measured: Any, evidence: Evidence) -> bool | None:
    """Equal, as JSON values are. None where nothing was measured."""
    return None if measured is None else _plain(claimed) == _plain(measured)


@dataclass(frozen=True)
class Claim:
    """One statement of the report, and the check that may prove it wrong.

    `measure` gives the value to compare with `claimed`, None where this evidence does not hold it.
    `judge` says whether they agree, None where that can't be told; by default they must be equal.
    `how` names the command and the model; `corrected`, `recorded` and `note` are the reason that
    goes with each verdict (`note` with `reproduced`, where there is something to add).
    `about`: the field or value that a template names as {about}, where many claims share it.
    `skipped` says, for a MODEL that has what the check needs, why it was not used; else nothing.
    """

    id: str
    statement: str
    claimed: Any
    _: KW_ONLY
    section: str
    chapter: str
    measure: Callable[[Evidence], Any]
    how: Words
    judge: Callable[[Any, Any, Evidence], bool | None] = equal_as_json
    corrected: Words = "Measured: {measured}."
    recorded: Words = ""
    note: Words = ""
    about: str = ""
    skipped: Words = ""

    def check(self, evidence: Evidence) -> CheckedClaim:
        """Measures, compares, and gives the verdict."""
        measured = self.measure(evidence)
        agrees = self.judge(self.claimed, measured, evidence)
        verdict: Verdict = "recorded"
        if agrees is not None:
            verdict = "reproduced" if agrees else "corrected"
        why = {"reproduced": self.note, "corrected": self.corrected, "recorded": self.recorded}

        def say(words: Words) -> str:
            if callable(words):
                return words(evidence, measured)
            return words.format(e=evidence, measured=_plain(measured), about=self.about)

        return CheckedClaim(
            id=self.id,
            section=self.section,
            statement=self.statement,
            claimed=_plain(self.claimed),
            measured=_plain(measured),
            verdict=verdict,
            how=say(self.how),
            why=say(why[verdict]),
            chapter=self.chapter,
            skipped=say(self.skipped),
        )


@dataclass(frozen=True)
class CheckedClaim:
    """A claim with its verdict: as one of `claims` in `olmo-explain report --json`.

    `claimed` and `measured` are plain JSON values. `chapter`: the notebook that shows it.
    `skipped`: why MODEL itself was not measured though it has what that takes, but lying elsewhere,
    say; empty where it was, or has nothing to measure.
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


def _plain(value: Any) -> Any:
    """As JSON gives it back: tuples are lists."""
    return json.loads(json.dumps(value))
