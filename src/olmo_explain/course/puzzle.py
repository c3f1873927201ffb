"""Three engines that run `tiny`, each with a mistake, for the puzzle at the end of chapter 6."""

from __future__ import annotations

from typing import TYPE_CHECKING

from olmo_explain.checkpoint import read_config
from olmo_explain.course.bundled import tiny

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

ENGINES = {"A": "default-theta", "B": "no-window", "C": "no-attention-factor"}
"""What each does wrong, by the name of `by_hand.FAULTS`."""


def three_engines(ids: Int[Tensor, "batch pos"]) -> dict[str, Float[Tensor, "batch pos vocab"]]:
    """Their logits on token ids, by letter. Which mistakes they make is for you to find.

    >>> list(three_engines(torch.tensor([[5, 6, 7]])))
    ['A', 'B', 'C']
    """
    from olmo_explain.by_hand import known_faults
    from olmo_explain.undo import no_grad

    model, _ = tiny()
    known, weights = known_faults(read_config("tiny")), model.state_dict()
    given = {}
    with no_grad():
        for engine, fault in ENGINES.items():
            *_, last = known[fault][0].walk(weights, ids)
            given[engine] = last.tensor
    return given
