from .bytes import explore_bytes
from .claims import explore_claims
from .costs import explore_costs
from .heads import explore_heads
from .model import explore_model
from .rope import explore_rope
from .shared import pieces
from .steps import explore_steps

__all__ = [
    "explore_bytes",
    "explore_claims",
    "explore_costs",
    "explore_heads",
    "explore_model",
    "explore_rope",
    "explore_steps",
    "pieces",
]
