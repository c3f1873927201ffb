"""Figures of the norms of heads, each with a caption and alt text.

Caption and alt text are computed with the drawing, so that neither can drift from what is shown.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from olmo_explain.checkpoint import OlmoConfig
from olmo_explain.figures.picture import Picture
from olmo_explain.figures.style import ACCENT, WARM, finish, start


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


def plot_norms_by_layer(
    norms: Mapping[str, Float[np.ndarray, "layer head"]], initial: float, model: str
) -> Picture:
    """A dot a head, by layer; the dashed line is the norm that initialisation gives."""
    with start(len(norms), height=2.6, shared=True) as (figure, axes):
        for axis, (name, values) in zip(axes, norms.items(), strict=True):
            layers = np.repeat(np.arange(values.shape[0]), values.shape[1])
            axis.axhline(initial, color=WARM, linestyle="--", linewidth=1.2)
            axis.scatter(layers, values.ravel(), s=20, color=ACCENT, alpha=0.9, linewidths=0)
            axis.set(title=name, xlabel="layer", xticks=_ticks(values.shape[0]))
        highest = max(initial, *(values.max() for values in norms.values()))
        axes[0].set(ylabel="Frobenius norm", ylim=(0, 1.05 * highest))
    means = ", ".join(f"{name} {values.mean():.2f}" for name, values in norms.items())
    return finish(
        figure,
        f"Norms of head slices by layer, a dot a head; dashed: {initial:.2f}, the norm of a slice "
        f"at initialisation. Model: {model}.",
        f"{len(norms)} scatter plots of norm against layer. Mean norm, which is {initial:.2f} at "
        f"initialisation: {means}.",
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
