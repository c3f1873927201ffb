"""Every statement of the report that can be true or false, each with the check that decides it.

`frame` says what a claim is and how a verdict comes about, `evidence` what is measured and on
which model. The other files hold the claims, one file for each section of the report, in its
order. To change what a claim says, or how it is checked, change it there and nowhere else.
"""

from __future__ import annotations

from olmo_explain.report.claim import SECTIONS, VERDICTS, CheckedClaim, Claim, Verdict
from olmo_explain.report.evidence import Evidence, Subject
from olmo_explain.report.sections import access, configuration, facts, flops, forward, scripts

ALL_CLAIMS: tuple[Claim, ...] = tuple(
    claim
    for section in (configuration, access, forward, flops, facts, scripts)
    for claim in section.claims()
)
"""All of them, in the order of the report."""

__all__ = [
    "ALL_CLAIMS",
    "SECTIONS",
    "VERDICTS",
    "CheckedClaim",
    "Claim",
    "Evidence",
    "Subject",
    "Verdict",
]
