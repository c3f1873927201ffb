"""How one pair of a head turns with the position: default and YaRN, right and wrong."""

import math

import traitlets

from olmo_explain.checkpoint import REGIMES, ModelLike, Rope, read_config, resolve, whole_number
from olmo_explain.errors import UsageError
from olmo_explain.explorers.shared import Explorer, public, script, style

SCORES = ("all", "pair")


class RopeExplorer(Explorer):
    """A pair, a position and a layer type, under what an installation applies (`regime`).

    `score_of`: whose score is drawn against the distance, of all pairs or of the chosen one.
    """

    _esm = script("controls", "following", "length", "axis", "rope")
    _css = style("tables", "sentence", "axis", "rope")

    pair = traitlets.Int(0).tag(sync=True)
    position = traitlets.Int(0).tag(sync=True)
    layer_type = traitlets.Unicode("full_attention").tag(sync=True)
    regime = traitlets.Enum(REGIMES, REGIMES[0]).tag(sync=True)
    score_of = traitlets.Enum(SCORES, SCORES[0]).tag(sync=True)

    name = traitlets.Unicode().tag(sync=True)
    head_dim = traitlets.Int().tag(sync=True)
    max_position = traitlets.Int().tag(sync=True)
    window = traitlets.Int(help="positions that a sliding layer sees").tag(sync=True)
    yarn = traitlets.Dict(help="the fields of the scaled RoPE").tag(sync=True)

    @property
    def applied(self) -> Rope:
        """The RoPE that the chosen layer type gets under the chosen regime."""
        rope = Rope(**self.yarn)
        scaled = {
            "per-layer": self.layer_type == "full_attention",
            "yarn-everywhere": True,
            "yarn-lost": False,
        }[self.regime]
        return rope if scaled else Rope("default", rope.rope_theta)


def explore_rope(
    model: ModelLike = "olmo3-7b", *, pair: int = 24, position: int = 1000
) -> RopeExplorer:
    """A widget that turns one pair of a head. Needs config.json only; works without a kernel.

    >>> explorer = explore_rope("olmo3-7b")
    >>> explorer.regime = "yarn-everywhere"  # what transformers 5.0 to 5.12 applied
    >>> explorer.layer_type = "sliding_attention"
    >>> explorer.layer_type, explorer.applied.attention_factor
    ('sliding_attention', 1.2079441541679836)
    """
    source = resolve(model)
    pair, position = (
        whole_number(what, given, least=-math.inf)
        for what, given in (("pair", pair), ("position", position))
    )
    config = read_config(source)
    yarn = config.rope["full_attention"]
    if yarn.rope_type != "yarn":
        raise UsageError(f"{source.name} scales no layer with YaRN", "Choose an OLMo 3")
    return RopeExplorer(
        pair=max(0, min(pair, config.head_dim // 2 - 1)),
        position=max(0, min(position, config.max_position_embeddings - 1)),
        name=f"{public(source.name)}, config only",
        head_dim=config.head_dim,
        max_position=config.max_position_embeddings - 1,
        window=config.sliding_window or config.max_position_embeddings,
        yarn=yarn.to_dict(),
    )
