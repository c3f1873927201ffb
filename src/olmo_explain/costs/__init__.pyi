from .counting import (
    ATTENTION,
    CONVENTIONS,
    ENDLESS,
    LINEAR,
    Against,
    Convention,
    Costs,
    Operation,
    count_costs,
    crossover_seq,
    crossovers,
    total,
)
from .roofline import Placement, Roofline, measure_roofline

__all__ = [
    "ATTENTION",
    "CONVENTIONS",
    "ENDLESS",
    "LINEAR",
    "Against",
    "Convention",
    "Costs",
    "Operation",
    "Placement",
    "Roofline",
    "count_costs",
    "crossover_seq",
    "crossovers",
    "measure_roofline",
    "total",
]
