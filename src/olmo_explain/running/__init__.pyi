from . import circuits
from .ablation import ablate_head, ablate_output_slice, contributions, head_contributions
from .capturing import ONLY_EAGER, attention_of, capture
from .circuits import (
    attention_patterns,
    best_head,
    induction_scores,
    next_shares,
    repeated_sequences,
    repetition_losses,
)
from .generation import Generation, Written, generate
from .hooks import Hooks, check_hookable, check_olmo, check_one_dtype, hooked
from .loading import load, on_meta
from .operators import Operator
from .order import Step, sequence
from .prompting import GREETING, SONNET, Prompt, prompt_ids
from .rope_guard import (
    REMEDIES,
    RopeMeasurement,
    installed_rope_regime,
    measure_rope,
    old_config_rope_regime,
    rope_regime,
)
from .sentences import APART, FAR, NEAR, OTHERS
from .tracing import Call, Trace, trace

__all__ = [
    "APART",
    "FAR",
    "GREETING",
    "NEAR",
    "ONLY_EAGER",
    "OTHERS",
    "REMEDIES",
    "SONNET",
    "Call",
    "Generation",
    "Hooks",
    "Operator",
    "Prompt",
    "RopeMeasurement",
    "Step",
    "Trace",
    "Written",
    "ablate_head",
    "ablate_output_slice",
    "attention_of",
    "attention_patterns",
    "best_head",
    "capture",
    "check_hookable",
    "check_olmo",
    "check_one_dtype",
    "circuits",
    "contributions",
    "generate",
    "head_contributions",
    "hooked",
    "induction_scores",
    "installed_rope_regime",
    "load",
    "measure_rope",
    "next_shares",
    "old_config_rope_regime",
    "on_meta",
    "prompt_ids",
    "repeated_sequences",
    "repetition_losses",
    "rope_regime",
    "sequence",
    "trace",
]
