from .by_hand import run_by_hand
from .checkpoint import (
    Checkpoint,
    OlmoConfig,
    diff,
    head_history,
    head_norms,
    head_slices,
    head_spectra,
    initial_norm,
    read_config,
)
from .costs import count_costs
from .course import check
from .explorers import (
    explore_bytes,
    explore_claims,
    explore_costs,
    explore_heads,
    explore_model,
    explore_rope,
    explore_steps,
)
from .figures import plot_history, table, where_we_are
from .proof import diagnose, same, verify
from .report import remeasure
from .running import ablate_head, generate, head_contributions, load, trace

__all__ = [
    "Checkpoint",
    "OlmoConfig",
    "ablate_head",
    "check",
    "count_costs",
    "diagnose",
    "diff",
    "explore_bytes",
    "explore_claims",
    "explore_costs",
    "explore_heads",
    "explore_model",
    "explore_rope",
    "explore_steps",
    "generate",
    "head_contributions",
    "head_history",
    "head_norms",
    "head_slices",
    "head_spectra",
    "initial_norm",
    "load",
    "plot_history",
    "read_config",
    "remeasure",
    "run_by_hand",
    "same",
    "table",
    "trace",
    "verify",
    "where_we_are",
]
