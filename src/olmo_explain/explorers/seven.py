"""The real 7B, which a page reads when its reader asks: where it is, how much travels, and what
the report recorded of one of its heads."""

import traitlets

from olmo_explain.checkpoint import PROJECTIONS, head_slices, initial_norm, preset, read_config
from olmo_explain.explorers.shared import script
from olmo_explain.live import reader
from olmo_explain.report import HEAD, HEAD_ROWS, LAYER, bf16_step

MODEL = "allenai/Olmo-3-7B-Instruct"


class OffersSeven(traitlets.HasTraits):
    """An explorer that offers it, in JavaScript alone: Python hears of nothing that is read."""

    seven = traitlets.Dict(help="of the 7B: see `about`").tag(sync=True)

    @traitlets.default("seven")
    def _about(self) -> dict:
        return about()


def about() -> dict:
    """The head of the report, what was recorded of it with half a step of bfloat16, and the bytes
    that travel for each projection, of columns those between them too."""
    config = read_config(preset("olmo3-7b"))
    bytes_read = {}
    for name, part in head_slices(config, LAYER, HEAD).items():
        rows, columns = part.shape
        width = columns if part.axis == 0 else config.num_attention_heads * config.head_dim
        bytes_read[name] = 2 * ((rows - 1) * width + columns)
    return {
        "repository": MODEL,
        "layer": LAYER,
        "head": HEAD,
        "layers": config.num_hidden_layers,
        "heads": config.num_attention_heads,
        "bytes": {name: bytes_read[name] for name in PROJECTIONS},
        "recorded": {name: [norm, bf16_step(norm) / 2] for name, (_, _, norm) in HEAD_ROWS.items()},
        "initial_norm": initial_norm(config),
    }


def script_with_reader(*names: str) -> str:
    """The ES module of an explorer that offers it."""
    return reader() + script("seven", *names)
