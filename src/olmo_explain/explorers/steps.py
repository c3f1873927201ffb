"""The fifteen steps of a layer: what each computes, from what, and whether it is proven."""

from collections.abc import Sequence

import torch
import traitlets
from jaxtyping import Int
from torch import Tensor

from olmo_explain.by_hand import STEPS, Activations, run_by_hand
from olmo_explain.checkpoint import ModelLike, OlmoConfig, Source, config_of, read_config, resolve
from olmo_explain.errors import UsageError
from olmo_explain.explorers.sentence import SentenceExplorer, own
from olmo_explain.explorers.shared import label, load_for, pieces, script, style
from olmo_explain.proof import verify
from olmo_explain.running import NEAR
from olmo_explain.words import quoted

DTYPE = "bfloat16"

# For every value of a layer: its formula, its axes, the values that it is made of, and the weight.
ABOUT = {
    "resid_pre": ("the residual stream as it comes in", "T D", "", None),
    "q_proj": ("resid_pre @ W.T", "T H·Dh", "resid_pre", "self_attn.q_proj"),
    "k_proj": ("resid_pre @ W.T", "T K·Dh", "resid_pre", "self_attn.k_proj"),
    "v_proj": ("resid_pre @ W.T", "T K·Dh", "resid_pre", "self_attn.v_proj"),
    "v": ("v_proj, cut into heads", "K T Dh", "v_proj", None),
    "q_norm": (
        "q_proj / rms(q_proj) · w, over all heads at once",
        "T H·Dh",
        "q_proj",
        "self_attn.q_norm",
    ),
    "k_norm": (
        "k_proj / rms(k_proj) · w, over all heads at once",
        "T K·Dh",
        "k_proj",
        "self_attn.k_norm",
    ),
    "cos": ("cos(position · frequency) · factor of the layer type", "T Dh", "", None),
    "sin": ("sin(position · frequency) · factor of the layer type", "T Dh", "", None),
    "q": ("q_norm, cut into heads, turned by its position", "H T Dh", "q_norm cos sin", None),
    "k": ("k_norm, cut into heads, turned by its position", "K T Dh", "k_norm cos sin", None),
    "scores": ("q @ k.T / √head_dim", "H T T", "q k", None),
    "mask": ("0 where a key is seen, the lowest number where not", "1 T T", "", None),
    "masked_scores": ("scores + mask", "H T T", "scores mask", None),
    "pattern": ("softmax(masked_scores) over the keys", "H T T", "masked_scores", None),
    "z": ("pattern @ v", "T H Dh", "pattern v", None),
    "o_proj": ("z, heads side by side, @ W.T", "T D", "z", "self_attn.o_proj"),
    "attn_out": ("o_proj / rms(o_proj) · w", "T D", "o_proj", "post_attention_layernorm"),
    "resid_mid": ("resid_pre + attn_out", "T D", "resid_pre attn_out", None),
    "gate_proj": ("resid_mid @ W.T", "T F", "resid_mid", "mlp.gate_proj"),
    "up_proj": ("resid_mid @ W.T", "T F", "resid_mid", "mlp.up_proj"),
    "silu": ("gate_proj · σ(gate_proj)", "T F", "gate_proj", None),
    "intermediate": ("silu · up_proj", "T F", "silu up_proj", None),
    "down_proj": ("intermediate @ W.T", "T D", "intermediate", "mlp.down_proj"),
    "mlp_out": ("down_proj / rms(down_proj) · w", "T D", "down_proj", "post_feedforward_layernorm"),
    "resid_post": ("resid_mid + mlp_out", "T D", "resid_mid mlp_out", None),
}
assert list(ABOUT) == list(STEPS)


class StepExplorer(SentenceExplorer):
    """Of a `text` a layer and a value: `layer`, `at`; in it `head`, `token`, `number`."""

    _esm = script(
        "controls", "answering", "following", "sentence", "cells", "tiles", "steps_map", "steps"
    )
    _css = style("sentence", "figure", "steps")

    layer = traitlets.Int(0).tag(sync=True)
    at = traitlets.Int(0, help="which value, in the order of STEPS").tag(sync=True)
    head = traitlets.Int(0).tag(sync=True)
    token = traitlets.Int(0).tag(sync=True)
    number = traitlets.Int(0).tag(sync=True)

    name = traitlets.Unicode().tag(sync=True)
    layer_types = traitlets.List(traitlets.Unicode()).tag(sync=True)
    sliding_window = traitlets.Int(0).tag(sync=True)
    steps = traitlets.List(traitlets.Dict(), help="about each value, and where in a layer's data")
    steps.tag(sync=True)
    equal = traitlets.List(
        traitlets.List(traitlets.Bool()), help="[layer][value]: the real module's, bit for bit"
    ).tag(sync=True)
    differences = traitlets.List(
        traitlets.List(traitlets.Float(allow_none=True)),
        help="[layer][value]: max |Δ| from the real module; None for a NaN or an infinite one",
    ).tag(sync=True)
    data = traitlets.Bytes(help="bfloat16, all values of layer 0, then of layer 1, …").tag(
        sync=True
    )

    def __init__(
        self,
        source: Source,
        config: OlmoConfig,
        model: torch.nn.Module,
        ids: Int[Tensor, "1 pos"],
        **state,
    ):
        super().__init__(
            source,
            DTYPE,
            name=label(source.name),
            layer_types=list(config.layer_types),
            sliding_window=config.sliding_window or 0,
            **self._walked(model, ids),
            **state,
        )

    def _walked(self, model: torch.nn.Module, ids: Int[Tensor, "1 pos"]) -> dict:
        self._values = run_by_hand(model, ids)
        checked = {(result.layer, result.name): result for result in verify(model, ids).steps}
        layers = range(config_of(model).num_hidden_layers)
        data = bytearray()
        for layer in layers:
            for name in STEPS:
                bits = _matrices(name, self._values[layer, name]).view(torch.uint16)
                data += bits.numpy().tobytes()
        return {
            "data": bytes(data),
            "steps": _about_steps(model, self._values),
            "equal": [[checked[at, name].equal for name in STEPS] for at in layers],
            "differences": [[checked[at, name].max_abs_diff for name in STEPS] for at in layers],
        }

    def _follow(self, model: torch.nn.Module, ids: Int[Tensor, "1 pos"]) -> dict:
        walked = self._walked(model, ids)
        _, tokens, numbers = walked["steps"][self.at]["matrices"]
        # A place in the picture of the sentence before may lie outside this one.
        place = {"token": min(self.token, tokens - 1), "number": min(self.number, numbers - 1)}
        return walked | place

    @property
    def value(self) -> float:
        """The number that was chosen, as `run_by_hand` computed it."""
        name = list(STEPS)[self.at]
        matrices = _matrices(name, self._values[self.layer, name])
        return matrices[min(self.head, len(matrices) - 1), self.token, self.number].item()


def explore_steps(
    model: ModelLike = "tiny",
    prompt: str | Sequence[int] = NEAR,
    *,
    layer: int = 0,
    step: str = "resid_pre",
) -> StepExplorer:
    """A widget that walks through a layer, computed by hand in bfloat16 beside the real module.

    It saves every value of every layer into the page: meant for a small model and a short prompt,
    a text, in a field in which a reader may type another, or token ids. It begins with the last
    token that stands twice, and, where there are keys, with what followed it the first time.

    >>> explorer = explore_steps("tiny", layer=3, step="pattern")
    >>> explorer.equal[explorer.layer][explorer.at]
    True
    """
    if not isinstance(step, str) or step not in STEPS:
        raise UsageError(f"There is no value {quoted(step)}", f"Choose one of {', '.join(STEPS)}")
    source = resolve(model)
    config = read_config(source)
    layer = config.check_layer(layer)
    loaded, tokenizer, ids = load_for(source, DTYPE, prompt)
    return StepExplorer(
        source,
        config,
        loaded,
        ids,
        layer=layer,
        at=list(STEPS).index(step),
        **_telling(ids[0].tolist(), ABOUT[step][1]),
        tokens=pieces(tokenizer, ids[0].tolist()),
        **own(prompt),
    )


def _telling(ids: list[int], axes: str) -> dict:
    """The last token that stands twice, and, where keys are, what followed it the first time."""
    twice = [token for token in range(len(ids)) if ids[token] in ids[:token]]
    if not twice:
        return {"token": len(ids) - 1}
    token = twice[-1]
    earlier = max(at for at in range(token) if ids[at] == ids[token])
    return {"token": token, "number": earlier + 1 if axes.endswith(" T") else 0}


def _about_steps(model: torch.nn.Module, values: Activations) -> list[dict]:
    about, at = [], 0
    for name, step in STEPS.items():
        formula, axes, reads, weight = ABOUT[name]
        tensor = values[0, name]
        matrices = _matrices(name, tensor)
        parameter = model.get_parameter(f"model.layers.0.{weight}.weight") if weight else None
        about.append(
            {
                "name": name,
                "step": step,
                "formula": formula,
                "axes": axes.split(),
                "reads": reads.split(),
                "shape": list(tensor.shape[1:]),
                "matrices": list(matrices.shape),
                "at": at,
                "weight": weight and f"{weight}.weight",
                "weightShape": [] if parameter is None else list(parameter.shape),
                "weightBytes": 0 if parameter is None else parameter.nbytes,
            }
        )
        at += matrices.numel()
    return about


def _matrices(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """A value of the first prompt as matrices to look at: [head, token, number] in bfloat16."""
    first = tensor[0].bfloat16()
    if name == "z":  # (T, H, Dh)
        first = first.transpose(0, 1)
    return first.reshape(-1, *first.shape[-2:]).contiguous()
