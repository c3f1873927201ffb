from .explanation import Diagnosis
from .golden_file import golden_bytes
from .sameness import Sameness, same
from .searching import diagnose
from .verification import StepResult, Verification, place, tolerance, verify

__all__ = [
    "Diagnosis",
    "Sameness",
    "StepResult",
    "Verification",
    "diagnose",
    "golden_bytes",
    "place",
    "same",
    "tolerance",
    "verify",
]
