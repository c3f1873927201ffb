"""One head at a time: the norms of its four slices, and what it attends to on a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import traitlets

from olmo_explain.checkpoint import (
    PROJECTIONS,
    ModelLike,
    OlmoConfig,
    Source,
    head_norms,
    initial_norm,
    read_config,
    resolve,
)
from olmo_explain.explorers.sentence import SentenceExplorer, own
from olmo_explain.explorers.shared import label, load_for, pieces, script, style

if TYPE_CHECKING:  # norms alone do not wait for torch
    from jaxtyping import Int
    from torch import Tensor
    from transformers import PreTrainedModel

DEFAULT_PROMPT = (
    "ROMEO: My love is as deep as the sea, and the sea is wide.\n"
    "JULIET: My love is as deep as the sea"
)
DTYPE = "float32"
PATTERN_SCALE = 65_535  # attention weights travel as uint16: steps of 0.000015


class HeadExplorer(SentenceExplorer):
    """A grid of layers × heads, and the attention pattern of the head that was chosen.

    `layer`, `head`, `projection`, `query` and `text` are the reader's choice, in both directions:
    set them and the picture moves, move the picture and they change.
    """

    _esm = script("controls", "answering", "following", "sentence", "heads")
    _css = style("tables", "sentence", "heads")

    layer = traitlets.Int(0).tag(sync=True)
    head = traitlets.Int(0).tag(sync=True)
    projection = traitlets.Enum(PROJECTIONS, PROJECTIONS[0]).tag(sync=True)
    query = traitlets.Int(0).tag(sync=True)

    name = traitlets.Unicode().tag(sync=True)
    projections = traitlets.List(traitlets.Unicode(), list(PROJECTIONS)).tag(sync=True)
    layer_types = traitlets.List(traitlets.Unicode()).tag(sync=True)
    heads = traitlets.Int().tag(sync=True)
    kv_heads = traitlets.Int().tag(sync=True)
    head_dim = traitlets.Int().tag(sync=True)
    hidden_size = traitlets.Int().tag(sync=True)
    sliding_window = traitlets.Int(0).tag(sync=True)
    initial_norm = traitlets.Float().tag(sync=True)
    norms = traitlets.Bytes(help="float32 [projection, layer, head]").tag(sync=True)
    patterns = traitlets.Bytes(b"", help="uint16 [layer, head, query, key]").tag(sync=True)

    def __init__(self, source: Source, config: OlmoConfig, norms: dict[str, np.ndarray], **state):
        """`norms`: float32 [layer, head] for each of q_proj, k_proj, v_proj, o_proj."""
        per_query_head = [_by_query_head(norms[name], config) for name in PROJECTIONS]
        super().__init__(
            source,
            DTYPE,
            layer_types=list(config.layer_types),
            heads=config.num_attention_heads,
            kv_heads=config.num_key_value_heads,
            head_dim=config.head_dim,
            hidden_size=config.hidden_size,
            sliding_window=config.sliding_window or 0,
            initial_norm=initial_norm(config),
            norms=np.stack(per_query_head).astype("<f4").tobytes(),
            **state,
        )

    def _follow(self, model: PreTrainedModel, ids: Int[Tensor, "1 pos"]) -> dict:
        before, last = len(self.tokens) - 1, ids.shape[1] - 1
        # The last token stays the last.
        query = last if self.query == before else min(self.query, last)
        return {"patterns": _patterns(model, ids), "query": query}

    @traitlets.validate("layer", "head", "query")
    def _within_range(self, proposal: dict) -> int:
        counts = {
            "layer": len(self.layer_types),
            "head": self.heads,
            "query": len(self.tokens) or 1,
        }
        count = counts[proposal["trait"].name]
        if not 0 <= proposal["value"] < count:
            raise traitlets.TraitError(f"{proposal['trait'].name} goes from 0 to {count - 1}")
        return proposal["value"]


def explore_heads(
    model: ModelLike = "tiny",
    prompt: str | Sequence[int] | None = DEFAULT_PROMPT,
    *,
    layer: int | None = None,
    head: int = 0,
) -> HeadExplorer:
    """A widget that chooses a layer and a head of MODEL. In a published page it needs no kernel.

    `prompt`: a text, in a field where a reader may type another, or token ids. With `prompt=None`
    it shows norms only, and reads only the attention weights of the checkpoint: it need not fit
    into memory, nor be on this machine.
    `layer`: when not given the last full-attention layer, or the last of all where none is full.

    >>> chosen = explore_heads("tiny", layer=7, head=2)
    >>> chosen.layer, chosen.head
    (7, 2)
    """
    source = resolve(model)
    config = read_config(source)
    if layer is None:
        layer = (config.full_attention_layers or [config.num_hidden_layers - 1])[-1]
    state = {
        "layer": config.check_layer(layer),
        "head": config.check_head(head),
        "name": label(source.name),
    }
    if prompt is not None:
        state |= _attention(source, prompt)
    # Norms come last: what loading has fetched from the hub is then read from the cache.
    return HeadExplorer(source, config, head_norms(source), **state)


def _attention(source: Source, prompt: str | Sequence[int]) -> dict:
    instead = "prompt=None shows norms alone"
    model, tokenizer, ids = load_for(source, DTYPE, prompt, instead=instead)
    return {
        **own(prompt),
        "tokens": pieces(tokenizer, ids[0].tolist()),
        "patterns": _patterns(model, ids),
        "query": ids.shape[1] - 1,
    }


def _patterns(model: PreTrainedModel, ids: Int[Tensor, "1 pos"]) -> bytes:
    from olmo_explain.running import attention_patterns

    patterns = attention_patterns(model, ids)[:, 0].numpy()  # (L, H, T, T)
    return np.rint(patterns * PATTERN_SCALE).astype("<u2").tobytes()


def _by_query_head(norms: np.ndarray, config: OlmoConfig) -> np.ndarray:
    """[layer, key-value head] → [layer, query head]; unchanged where each has its own."""
    return np.repeat(norms, config.num_attention_heads // norms.shape[1], axis=1)
