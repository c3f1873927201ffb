"""What `verify` costs, against two plain forward passes: the model's own and one by hand."""

import torch
from torch import nn

from benchmarks.frame import Plan, Subject, Way, take_turns, tell
from benchmarks.models import ids, one_layer, tiny, wide, wide_name
from olmo_explain.proof import verify

TITLE = "verify, against two plain forward passes"


def measure(plan: Plan) -> Subject:
    subject = Subject("verify", TITLE)
    models = {
        "tiny": tiny(),
        wide_name(plan.quick, 1): one_layer(plan.quick),
        wide_name(plan.quick): wide(plan.quick),
    }
    for name, model in models.items():
        tell(f"verify: {name}")
        times = take_turns(ways(model), plan)
        subject.rows.extend(times.rows(f"{name}, 64 positions"))
    wide.cache_clear()  # what comes next needs the memory
    return subject


def ways(model: nn.Module) -> dict[str, Way]:
    inputs = ids(64)

    @torch.no_grad()
    def twice() -> None:
        model(inputs)
        model(inputs)

    def verified() -> None:
        assert verify(model, inputs).ok

    return {"two plain forwards": twice, "verify": verified}
