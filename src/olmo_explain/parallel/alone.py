"""Who runs the model: this process alone, or all that torchrun started together."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from olmo_explain.errors import UsageError

if TYPE_CHECKING:  # torch is loaded when a model is, not before
    from jaxtyping import Int
    from torch import Tensor
    from transformers import PreTrainedModel

    from olmo_explain.checkpoint import Checkpoint, OlmoConfig, Source
    from olmo_explain.parallel.tensor_parallel import TensorParallel
    from olmo_explain.proof import Verification
    from olmo_explain.running import Trace


class Alone:
    """This process, with the whole model. `TensorParallel` answers to the same calls."""

    def load(self, source: Source, dtype: str | None = None) -> tuple[PreTrainedModel, Any | None]:
        from olmo_explain.running import load

        return load(source, dtype)

    def trace(
        self, model: PreTrainedModel, ids: Int[Tensor, "b p"], source: Source, *, ops: bool = False
    ) -> Trace:
        from olmo_explain.running import trace

        return trace(model, input_ids=ids, ops=ops)

    def verify(
        self,
        model: PreTrainedModel,
        ids: Int[Tensor, "b p"],
        stored: Checkpoint,
        config: OlmoConfig,
    ) -> Verification:
        from olmo_explain.proof import verify

        return verify(model, ids, weights=stored, config=config)


@contextmanager
def runner(command: str, *, several: bool) -> Iterator[Alone | TensorParallel]:
    """What runs the model of a command, for as long as it lasts.

    UsageError where torchrun started several processes and each would do the same work.
    """
    if several:
        from olmo_explain.parallel.processes import together
        from olmo_explain.parallel.tensor_parallel import TensorParallel

        with together(command) as group:
            yield TensorParallel(group)
        return
    count = os.environ.get("WORLD_SIZE", "1")
    if was_started_by_torchrun() and count != "1":
        leave_it_to_the_first()
        raise UsageError(
            f"torchrun started {count} processes, and each would run the whole model",
            "Add --tp, or leave out torchrun",
        )
    yield Alone()


def was_started_by_torchrun() -> bool:
    """Whether it was torchrun: launchers of every kind set RANK and WORLD_SIZE."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def leave_it_to_the_first() -> None:
    """Ends this process if it is one of several and not the first, which says what is wrong."""
    if was_started_by_torchrun() and re.fullmatch("0*[1-9][0-9]*", os.environ.get("RANK", "0")):
        from olmo_explain.parallel.processes import leave

        leave(2)
