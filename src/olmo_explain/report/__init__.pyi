from .claim import VERDICTS, CheckedClaim, Claim
from .evidence import Evidence
from .original import HEAD, HEAD_ROWS, LAYER, SEQ, bf16_step
from .remeasuring import Report, remeasure
from .sections import ALL_CLAIMS, SECTIONS
from .slips import SLIPS

__all__ = [
    "ALL_CLAIMS",
    "HEAD",
    "HEAD_ROWS",
    "LAYER",
    "SECTIONS",
    "SEQ",
    "SLIPS",
    "VERDICTS",
    "CheckedClaim",
    "Claim",
    "Evidence",
    "Report",
    "bf16_step",
    "remeasure",
]
