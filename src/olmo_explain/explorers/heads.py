"""One head at a time: what it looks at, what the model says without it, and where it lies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets

from olmo_explain.checkpoint import (
    PROJECTIONS,
    Checkpoint,
    HeadSlice,
    ModelLike,
    OlmoConfig,
    Source,
    head_norms,
    head_slices,
    initial_norm,
    read_config,
    resolve,
)
from olmo_explain.errors import ExplainError, UsageError
from olmo_explain.explorers.sentence import SentenceExplorer, own
from olmo_explain.explorers.seven import OffersSeven, script_with_reader
from olmo_explain.explorers.shared import label, load_for, pieces, style
from olmo_explain.running import NEAR
from olmo_explain.words import quoted

if TYPE_CHECKING:  # norms alone do not wait for torch
    from jaxtyping import Float, Int
    from torch import Tensor
    from transformers import PreTrainedModel

DTYPE = "float32"
COLOURS = ("pattern", "induction", "previous", "norm")
SCORES = ("induction", "previous")  # as looking.py says of each head
MANY = 64  # heads: of more than these no pattern is a thumbnail beside all others
PATTERN_SCALE = 65_535  # attention weights travel as uint16: steps of 0.000015
CELLS = 32  # squares along a side of the picture of a matrix
BARS = 6  # next tokens; and one more, the best of the model as it is
TELLING = 0.25  # of a token's attention: enough to say that it found what followed before


class HeadExplorer(SentenceExplorer, OffersSeven):
    """The pattern of a head, what comes next with it and without it, and its part of the weights.

    The reader's choice, in both directions (set it and the picture moves, move the picture and it
    changes): `layer`, `head`, `query`, the token that looks, `text`, and `off`, a list of
    [layer, head] that write zeros; `colour`, what colours the heads, and `projection`, whose norms
    do where it is "norm".
    """

    _esm = script_with_reader(
        "controls",
        "answering",
        "following",
        "sentence",
        "cells",
        "arcs",
        "tokens",
        "next",
        "tiles",
        "heads_slices",
        "heads",
    )
    _css = style("sentence", "figure", "slices", "heads")

    layer = traitlets.Int(0).tag(sync=True)
    head = traitlets.Int(0).tag(sync=True)
    projection = traitlets.Enum(PROJECTIONS, PROJECTIONS[0]).tag(sync=True)
    query = traitlets.Int(0).tag(sync=True)
    off = traitlets.List(traitlets.List(traitlets.Int())).tag(sync=True)
    colour = traitlets.Enum(COLOURS, COLOURS[0]).tag(sync=True)

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
    slices = traitlets.List(
        traitlets.Dict(), help="of each head, by projection: where it lies, in any layer"
    ).tag(sync=True)
    weights = traitlets.Bytes(b"", help="uint8 [projection, layer, down, across]: mean |weight|")
    weights.tag(sync=True)
    strongest = traitlets.Bytes(b"", help="float32 [projection, layer]: the mean that 255 is")
    strongest.tag(sync=True)

    ids = traitlets.List(traitlets.Int()).tag(sync=True)
    patterns = traitlets.Bytes(b"", help="uint16 [layer, head, query, key]").tag(sync=True)
    scores = traitlets.Bytes(b"", help="float32 [score, layer, head]").tag(sync=True)
    next_tokens = traitlets.List(
        traitlets.List(traitlets.Unicode()),
        help="behind each token the likeliest, and last the likeliest of the model as it is",
    ).tag(sync=True)
    next_shares = traitlets.Bytes(b"", help="float32 [query, token, (as it is, now)]")
    next_shares.tag(sync=True)
    off_shown = traitlets.List(
        traitlets.List(traitlets.Int()), help="the heads without which all this was computed"
    ).tag(sync=True)

    def __init__(self, source: Source, config: OlmoConfig, norms: dict[str, np.ndarray], **state):
        """`norms`: float32 [layer, head] for each of q_proj, k_proj, v_proj, o_proj."""
        self._config = config
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
        self.observe(self._switch, "off")

    def _follow(self, model: PreTrainedModel, ids: Int[Tensor, "1 pos"]) -> dict:
        before, last = len(self.tokens) - 1, ids.shape[1] - 1
        # The last token stays the last.
        query = last if self.query == before else min(self.query, last)
        _, tokenizer = self._loaded
        return _seen(model, tokenizer, ids, self.off) | {"query": query}

    def _switch(self, change: dict) -> None:
        if not self.ids:  # nothing was read: there is nothing to be without
            return
        import torch

        model, tokenizer = self._loaded
        seen = _seen(model, tokenizer, torch.tensor([self.ids]), self.off)
        with self.hold_sync():
            for trait, value in seen.items():
                setattr(self, trait, value)

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

    @traitlets.validate("off")
    def _are_heads(self, proposal: dict) -> list[list[int]]:
        try:
            if not all(len(head) == 2 for head in proposal["value"]):
                raise UsageError(f"off is {quoted(proposal['value'])}", "Give [[layer, head], …]")
            check = self._config
            return [[check.check_layer(a), check.check_head(b)] for a, b in proposal["value"]]
        except ExplainError as error:  # of a TraitError traitlets takes everything back
            raise traitlets.TraitError(str(error)) from None


def explore_heads(
    model: ModelLike = "tiny",
    prompt: str | Sequence[int] | None = NEAR,
    *,
    layer: int | None = None,
    head: int = 0,
) -> HeadExplorer:
    """A widget that chooses a layer and a head of MODEL. In a published page it needs no kernel.

    `prompt`: a text, in a field where a reader may type another, or token ids. With `prompt=None`
    it shows norms only, and reads only the attention weights of the checkpoint: it need not fit
    into memory, nor be on this machine.
    `layer`: when not given the last full-attention layer, or the last of all where none is full.
    It begins with the last token, or, where the head finds nothing for it, with the one for which
    it most surely finds what followed the same token before.

    >>> chosen = explore_heads("tiny", layer=7, head=2)
    >>> chosen.layer, chosen.head
    (7, 2)
    """
    source = resolve(model)
    config = read_config(source)
    if layer is None:
        layer = (config.full_attention_layers or [config.num_hidden_layers - 1])[-1]
    layer, head = config.check_layer(layer), config.check_head(head)
    many = config.num_hidden_layers * config.num_attention_heads > MANY
    state = {"layer": layer, "head": head, "name": label(source.name), "colour": "norm"}
    if prompt is not None:
        state |= _attention(source, prompt, layer, head)
        state["colour"] = "induction" if many else "pattern"
    # Norms come last: what loading has fetched from the hub is then read from the cache.
    checkpoint = Checkpoint(source)
    norms = head_norms(checkpoint)
    return HeadExplorer(source, config, norms, slices=_slices(checkpoint, config), **state)


def _attention(source: Source, prompt: str | Sequence[int], layer: int, head: int) -> dict:
    instead = "prompt=None shows norms alone"
    model, tokenizer, ids = load_for(source, DTYPE, prompt, instead=instead)
    seen = _seen(model, tokenizer, ids)
    return {
        **own(prompt),
        **seen,
        **_weights(model),
        "tokens": pieces(tokenizer, seen["ids"]),
        "query": _telling(seen, layer, head, model.config.num_attention_heads),
    }


def _seen(
    model: PreTrainedModel,
    tokenizer: Any | None,
    ids: Int[Tensor, "1 pos"],
    off: Iterable[Sequence[int]] = (),
) -> dict:
    """All that is shown of a sentence, while the heads in `off` write zeros."""
    import torch

    from olmo_explain.explorers.looking import SCORES as OF
    from olmo_explain.explorers.looking import Seen
    from olmo_explain.running import ablate_head
    from olmo_explain.undo import no_grad

    def run() -> tuple[Float[Tensor, "pos vocab"], Float[Tensor, "layers heads query key"]]:
        found = model(ids, output_attentions=True, use_cache=False)
        return found.logits[0].float().softmax(-1), torch.stack(found.attentions)[:, 0].float()

    off = [list(each) for each in off]
    with no_grad(), ExitStack() as silence:
        before, patterns = run()
        now = before
        for layer, head in off:
            silence.enter_context(ablate_head(model, layer, head))
        if off:
            now, patterns = run()
    read = ids[0].tolist()
    likeliest = now.topk(min(BARS, now.shape[1])).indices  # (T, BARS)
    best = torch.cat([likeliest, before.argmax(-1, keepdim=True)], 1)
    shares = torch.stack([before.gather(1, best), now.gather(1, best)], -1)
    scores = torch.stack([OF[name](patterns, Seen(), read) for name in SCORES])
    flat = np.nan_to_num(patterns.numpy())
    return {
        "ids": read,
        "patterns": np.rint(flat * PATTERN_SCALE).astype("<u2").tobytes(),
        "scores": scores.numpy().astype("<f4").tobytes(),
        "next_tokens": [pieces(tokenizer, row) for row in best.tolist()],
        "next_shares": shares.numpy().astype("<f4").tobytes(),
        "off_shown": off,
    }


def _telling(seen: dict, layer: int, head: int, heads: int) -> int:
    """Where to begin: a token that finds what followed the same token before, else the last."""
    ids, T = seen["ids"], len(seen["ids"])
    pattern = np.frombuffer(seen["patterns"], "<u2").reshape(-1, T, T)[layer * heads + head]
    found = [
        sum(pattern[query, key + 1] for key in range(query) if ids[key] == ids[query])
        for query in range(T)
    ]
    best = int(np.argmax(found))
    return best if found[-1] < TELLING * PATTERN_SCALE <= found[best] else T - 1


def _slices(checkpoint: Checkpoint, config: OlmoConfig) -> list[dict]:
    """Where each head lies in its layer's matrices, and in how many pieces in the file."""
    return [
        {name: _slice(checkpoint, part) for name, part in head_slices(config, 0, head).items()}
        for head in range(config.num_attention_heads)
    ]


def _slice(checkpoint: Checkpoint, part: HeadSlice) -> dict:
    place = checkpoint.locate(part.tensor, **part.chosen())
    return {
        "slice": str(part),
        "axis": part.axis,
        "start": part.start,
        "stop": part.stop,
        "shape": list(part.shape),
        "matrix": list(place.tensor.shape),
        "pieces": len(place.byte_ranges),
        "bytes": place.bytes_needed,
    }


def _weights(model: PreTrainedModel) -> dict:
    """The four matrices of each layer as pictures: a square is a mean of |weight|."""
    import torch

    means, strongest = [], []
    for name in PROJECTIONS:
        for layer in model.model.layers:
            weight = layer.self_attn.get_submodule(name).weight.detach().abs()
            rows, columns = weight.shape
            side = max(rows, columns)
            shown = min(CELLS, side) / side
            size = max(1, round(rows * shown)), max(1, round(columns * shown))
            mean = torch.nn.functional.adaptive_avg_pool2d(weight[None].float(), size)[0]
            most = float(mean.max())
            strongest.append(most)
            means.append((mean * (255 / (most or 1))).nan_to_num().round().byte().numpy().tobytes())
    return {"weights": b"".join(means), "strongest": np.array(strongest, "<f4").tobytes()}


def _by_query_head(norms: np.ndarray, config: OlmoConfig) -> np.ndarray:
    """[layer, key-value head] → [layer, query head]; unchanged where each has its own."""
    return np.repeat(norms, config.num_attention_heads // norms.shape[1], axis=1)
