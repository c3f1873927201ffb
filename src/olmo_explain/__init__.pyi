from .checking import check
from .checkpoint import Checkpoint
from .config import OlmoConfig, read_config
from .costs import count_costs
from .diagram import where_we_are
from .explorers.bytes import explore_bytes
from .explorers.claims import explore_claims
from .explorers.costs import explore_costs
from .explorers.heads import explore_heads
from .explorers.rope import explore_rope
from .explorers.steps import explore_steps
from .heads import head_norms, head_slices, initial_norm
from .interventions import ablate_head, head_contributions
from .models import load
from .reference import run_by_hand
from .report import remeasure
from .tables import table
from .tracing import trace
from .verification import verify

__all__ = [
    "Checkpoint",
    "OlmoConfig",
    "ablate_head",
    "check",
    "count_costs",
    "explore_bytes",
    "explore_claims",
    "explore_costs",
    "explore_heads",
    "explore_rope",
    "explore_steps",
    "head_contributions",
    "head_norms",
    "head_slices",
    "initial_norm",
    "load",
    "read_config",
    "remeasure",
    "run_by_hand",
    "table",
    "trace",
    "verify",
    "where_we_are",
]
