from .sameness import Sameness, same
from .verification import StepResult, Verification, place, tolerance, verify

__all__ = ["Sameness", "StepResult", "Verification", "place", "same", "tolerance", "verify"]
