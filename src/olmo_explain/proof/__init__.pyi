from .verification import StepResult, Verification, place, tolerance, verify

__all__ = ["StepResult", "Verification", "place", "tolerance", "verify"]
