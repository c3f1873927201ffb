from .verification import StepResult, Verification, place, verify

__all__ = [
    "StepResult",
    "Verification",
    "place",
    "verify",
]
