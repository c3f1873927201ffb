"""nnsight's cache and TransformerLens' run_with_cache, of the modules that `trace` watches.

    .venv-peers/bin/python -m benchmarks.peers [--quick]

Runs in an environment of its own (`make bench-peers`), and prints rows as JSON. Plain forwards
take turns with them there, since another environment may have other versions.
"""

import copy
import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, replace
from importlib.metadata import version

import torch
from torch import Tensor, nn

from benchmarks.frame import Plan, Row, take_turns, tell
from benchmarks.models import ids, models
from olmo_explain.running import trace

NNSIGHT, LENS = "nnsight cache", "TransformerLens run_with_cache"


def main() -> None:
    plan = Plan(quick="--quick" in sys.argv)
    rows, skipped = [], []
    for model_name, model in models(plan.quick).items():
        for positions in (2, 64):
            name = f"{model_name}, {positions} positions"
            tell(f"peers: {name}")
            for compare in (with_nnsight, with_transformer_lens):
                try:
                    rows.extend(compare(name, model, ids(positions), plan))
                except Exception as error:  # whatever another package raises, the rest goes on
                    said = str(error).strip().splitlines() or [""]
                    skipped.append(f"{compare.__name__}, {name}: {type(error).__name__}: {said[0]}")
    print(json.dumps({"rows": [asdict(row) for row in rows], "skipped": skipped}))


def with_nnsight(name: str, model: nn.Module, inputs: Tensor, plan: Plan) -> list[Row]:
    """Beside it, trace of the same modules, and the least that keeping their outputs can cost."""
    from nnsight import NNsight

    leaves = [path for path, module in model.named_modules() if not list(module.children())]
    wrapped = NNsight(copy.deepcopy(model))  # it works inside the modules that it is given

    @torch.no_grad()
    def cached() -> None:
        with wrapped.trace(inputs) as tracer:
            cache = tracer.cache(modules=[f"model.{path}" for path in leaves], device=None)
        assert len(cache.keys()) == len(leaves)

    ways = {
        "plain forward, peers' environment": lambda: plain(model, inputs),
        "trace, peers' environment": lambda: trace(model, inputs),
        "hooks that keep outputs": lambda: hooked(model, inputs, leaves),
        NNSIGHT: cached,
    }
    rows = take_turns(ways, plan).rows(name)
    return [_noted(row, NNSIGHT, f"nnsight {version('nnsight')}") for row in rows]


def with_transformer_lens(name: str, model: nn.Module, inputs: Tensor, plan: Plan) -> list[Row]:
    """Its bridge, in float32: 4.3.0 multiplies float32 patterns with bfloat16 values, and fails.

    It caches what it names, which is more than the outputs of modules, and puts its own modules
    into the model, so it gets a copy. Its logits must be those of the model.
    """
    from transformer_lens.model_bridge.sources import build_bridge_from_module

    wide = copy.deepcopy(model).float()
    bridge = build_bridge_from_module(
        copy.deepcopy(wide), type(wide).__name__, hf_config=copy.deepcopy(wide.config)
    )

    @torch.no_grad()
    def cached() -> Tensor:
        return bridge.run_with_cache(inputs)[0]

    with torch.no_grad():
        torch.testing.assert_close(cached(), wide(inputs).logits)
    base = "plain forward, float32, peers' environment"
    rows = take_turns({base: lambda: plain(wide, inputs), LENS: cached}, plan).rows(name)
    note = f"TransformerLens {version('transformer-lens')}, float32"
    return [_noted(row, LENS, note) for row in rows]


def _noted(row: Row, what: str, note: str) -> Row:
    return replace(row, note=note) if row.what == what else row


@torch.no_grad()
def plain(model: nn.Module, inputs: Tensor) -> None:
    model(inputs)


@torch.no_grad()
def hooked(model: nn.Module, inputs: Tensor, watched: list[str]) -> dict[str, Tensor]:
    """The least that keeping outputs can cost: a hook a module."""
    kept: dict[str, Tensor] = {}

    def keep(path: str) -> Callable:
        return lambda module, args, output: kept.__setitem__(path, output)

    with ExitStack() as undo:
        for path in watched:
            handle = model.get_submodule(path).register_forward_hook(keep(path))
            undo.callback(handle.remove)
        model(inputs)
    return kept


if __name__ == "__main__":
    main()
