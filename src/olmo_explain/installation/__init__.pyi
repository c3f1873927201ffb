from .doctor import Findings, examine
from .preflight import Check, readiness, run_checks

__all__ = ["Check", "Findings", "examine", "readiness", "run_checks"]
