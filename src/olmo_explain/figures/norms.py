"""The norms of all heads as heat maps; caption and alt text are computed with the drawing."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from olmo_explain.checkpoint import OlmoConfig
from olmo_explain.figures.picture import Picture
from olmo_explain.figures.style import finish, start


def plot_head_norms(
    norms: Mapping[str, Float[np.ndarray, "layer head"]], config: OlmoConfig, model: str
) -> Picture:
    """A heat map of layers × heads for each projection, on one scale of colours."""
    low = min(values.min() for values in norms.values())
    high = max(values.max() for values in norms.values())
    with start(len(norms), height=0.9 + 2.2 * _aspect(norms), shared=True) as (figure, axes):
        for axis, (name, values) in zip(axes, norms.items(), strict=True):
            image = axis.imshow(values, vmin=low, vmax=high, aspect="auto", cmap="viridis")
            axis.set(title=name, xlabel="head", xticks=_ticks(values.shape[1]))
            axis.spines[:].set_visible(False)
        axes[0].set_ylabel("layer")
        axes[0].set_yticks(*_layer_ticks(config))
        bar = figure.colorbar(image, ax=axes, pad=0.02)
        bar.outline.set_visible(False)
    ranges = ", ".join(f"{k} {v.min():.2f} to {v.max():.2f}" for k, v in norms.items())
    return finish(
        figure,
        f"Frobenius norm of every head's slice. Model: {model}.",
        f"{len(norms)} heat maps of layers by heads, one a projection. Norms: {ranges}.",
    )


def _aspect(norms: Mapping[str, np.ndarray]) -> float:
    layers, heads = next(iter(norms.values())).shape
    return min(max(layers / heads, 0.8), 1.6)


def _ticks(count: int) -> range:
    return range(0, count, 1 if count <= 8 else 8)


def _layer_ticks(config: OlmoConfig) -> tuple[list[int], list[str]]:
    """Every layer of a small model, the full-attention ones of a large; these are named."""
    full = config.full_attention_layers
    layers = range(config.num_hidden_layers) if config.num_hidden_layers <= 12 else full
    return list(layers), [f"full {i}" if i in full else str(i) for i in layers]
