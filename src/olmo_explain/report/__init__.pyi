from .claim import VERDICTS, CheckedClaim, Claim
from .evidence import HEAD, LAYER, SEQ, Evidence
from .remeasuring import Report, cell, remeasure
from .sections import ALL_CLAIMS, SECTIONS
from .sections.configuration import HEAD_ROWS, bf16_step

__all__ = [
    "ALL_CLAIMS",
    "HEAD",
    "HEAD_ROWS",
    "LAYER",
    "SECTIONS",
    "SEQ",
    "VERDICTS",
    "CheckedClaim",
    "Claim",
    "Evidence",
    "Report",
    "bf16_step",
    "cell",
    "remeasure",
]
