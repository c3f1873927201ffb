"""The report's six sections, a file each: its claims, and its table for any MODEL as plain data.

To change what a claim says, how it is checked or what a table shows, change it in its file and
nowhere else.
"""

from __future__ import annotations

from typing import Any

from olmo_explain.report.claim import Claim
from olmo_explain.report.evidence import Evidence
from olmo_explain.report.sections import access, configuration, facts, flops, forward, scripts

PARTS = {
    "configuration": configuration,
    "access": access,
    "forward": forward,
    "flops": flops,
    "facts": facts,
    "scripts": scripts,
}

ALL_CLAIMS: tuple[Claim, ...] = tuple(claim for part in PARTS.values() for claim in part.claims())
"""Every statement of the report that can be true or false, each with the check that decides it."""

SECTIONS = tuple(dict.fromkeys(claim.section for claim in ALL_CLAIMS))
"""The sections of the report, as claims name them: its header is the first."""


def measure_sections(evidence: Evidence) -> dict[str, Any]:
    """What each section's tables show, in the order of the report.

    It is measured on `evidence.asked`; where MODEL cannot run, what needs numbers comes from
    `evidence.running`, and the section says which model that was.
    """
    return {name: part.measure(evidence) for name, part in PARTS.items()}
