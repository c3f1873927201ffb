"""What a forward pass costs, by operation: any length, batch and convention, 7B, 32B or tiny."""

from typing import get_args

import traitlets

from olmo_explain.checkpoint import (
    BYTES_PER_PARAMETER,
    PRESETS,
    ModelLike,
    OlmoConfig,
    read_config,
    resolve,
    whole_number,
)
from olmo_explain.costs import CONVENTIONS, ENDLESS, Against, Costs, count_costs
from olmo_explain.explorers.shared import Explorer, check_text, public, script, style

MOST = 1024
SIZES = (
    "hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim", "intermediate_size",
    "vocab_size", "tie_word_embeddings", "max_position_embeddings",
)  # fmt: skip
PHASES, UNITS = ("prefill", "decode"), ("MACs", "FLOPs")
PARTS = ("scores", "apply", "projections", "mlp", "lm_head")


class CostExplorer(Explorer):
    """The parts of a pass, and where attention overtakes, for one `seq`, `batch` and `model`.

    `convention`: which pairs of query and key are counted. `phase`: all positions at once, or one
    new position with the others in the KV cache. `unit`: MACs, or FLOPs, two for each.
    `against`: beside what attention is half. `part`: the one of which the exact count is shown.
    """

    _esm = script("controls", "following", "length", "axis", "costs")
    _css = style("tables", "sentence", "axis", "costs")

    model = traitlets.Unicode().tag(sync=True)
    seq = traitlets.Int(min=1, max=ENDLESS).tag(sync=True)
    batch = traitlets.Int(1, min=1, max=MOST).tag(sync=True)
    convention = traitlets.Enum(list(CONVENTIONS), "windowed").tag(sync=True)
    phase = traitlets.Enum(PHASES, PHASES[0]).tag(sync=True)
    unit = traitlets.Enum(UNITS, UNITS[0]).tag(sync=True)
    against = traitlets.Enum(get_args(Against), "linear").tag(sync=True)
    part = traitlets.Enum(PARTS, PARTS[0]).tag(sync=True)

    longest = traitlets.Int(ENDLESS).tag(sync=True)
    most = traitlets.Int(MOST).tag(sync=True)
    sizes = traitlets.Dict(help="by model, the fields that costs follow from").tag(sync=True)

    def __init__(self, configs: dict[str, OlmoConfig], **state):
        self._configs = configs
        super().__init__(
            sizes={model: _sizes(config) for model, config in configs.items()}, **state
        )

    @traitlets.validate("model")
    def _among_the_models(self, proposal: dict) -> str:
        if proposal["value"] not in self._configs:
            raise traitlets.TraitError(f"model is one of {', '.join(self._configs)}")
        return proposal["value"]

    @property
    def costs(self) -> Costs:
        """The costs that are shown, as `count_costs` gives them."""
        decode = self.phase == "decode"
        return count_costs(self._configs[self.model], self.seq, self.batch, decode=decode)


def explore_costs(
    model: ModelLike = "olmo3-7b", *, seq: int = 4096, batch: int = 1, convention: str = "windowed"
) -> CostExplorer:
    """A widget that counts a forward pass. Needs config.json only; works without a kernel.

    >>> explorer = explore_costs("olmo3-7b", seq=65_536)
    >>> explorer.costs.attention[explorer.convention]
    191867329183744
    """
    source = resolve(model)
    configs = {name: read_config(name) for name in PRESETS}
    name = public(source.name)
    configs[name] = read_config(source)
    seq, batch = whole_number("seq", seq), whole_number("batch", batch)
    check_text("convention", convention)
    return CostExplorer(configs, model=name, seq=seq, batch=batch, convention=convention)


def _sizes(config: OlmoConfig) -> dict:
    return {
        **{field: getattr(config, field) for field in SIZES},
        "sliding_layers": config.layer_types.count("sliding_attention"),
        "full_layers": config.layer_types.count("full_attention"),
        "sliding_window": config.sliding_window or 0,
        "dtype": config.dtype,
        "bytes_per_parameter": BYTES_PER_PARAMETER[config.dtype],
    }
