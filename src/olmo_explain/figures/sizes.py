"""Figures of what follows from config.json: parameters by kind, the KV cache."""

import re

import numpy as np

from olmo_explain.checkpoint import OlmoConfig
from olmo_explain.figures.picture import Picture
from olmo_explain.figures.style import ACCENT, WARM, finish, start


def plot_parameters(config: OlmoConfig, model: str) -> Picture:
    """A bar for each kind of tensor: all its parameters, in all layers together."""
    totals = {_short(part.name): part.parameters * part.count for part in config.components}
    shown = {name: count for name, count in totals.items() if count >= 0.001 * config.parameters}
    rest = config.parameters - sum(shown.values())
    shown["all norms together"] = rest
    with start(1, height=0.5 + 0.3 * len(shown)) as (figure, (axis,)):
        bars = axis.barh(list(shown), [count / 1e6 for count in shown.values()], color=ACCENT)
        axis.bar_label(bars, [f"{count:,}" for count in shown.values()], padding=4, fontsize=9)
        axis.set(xlabel="millions of parameters")
        axis.margins(x=0.25)
        axis.invert_yaxis()
    most = max(shown, key=lambda name: shown[name])
    return finish(
        figure,
        f"Where the {config.parameters:,} parameters are. Model: {model}.",
        f"Bar chart of parameters by kind of tensor. The largest is {most}, "
        f"{shown[most]:,} of {config.parameters:,}; all norms together have {rest:,}.",
    )


def plot_kv_cache(config: OlmoConfig, model: str) -> Picture:
    """Bytes of the KV cache against positions: sliding layers capped at their window, or not."""
    positions = np.linspace(0, config.max_position_embeddings, 257, dtype=int)
    curves = {
        "sliding layers keep their window": (True, ACCENT, "-"),
        "every layer keeps every position": (False, WARM, "--"),
    }
    ends = []
    with start(1, height=2.8) as (figure, (axis,)):
        for label, (capped, colour, style) in curves.items():
            gib = [config.kv_cache_bytes(int(n), capped=capped) / 2**30 for n in positions]
            axis.plot(positions, gib, style, color=colour, label=label)
            ends.append(f"{label} {gib[-1]:.1f} GiB")
        axis.set(xlabel="positions", ylabel="GiB", xlim=(0, None), ylim=(0, None))
        axis.xaxis.set_major_formatter("{x:,.0f}")
        axis.legend()
    return finish(
        figure,
        f"The KV cache, {config.dtype}, batch 1. Model: {model}.",
        f"Two lines of cache size against positions. At {positions[-1]:,} positions: "
        f"{', '.join(ends)}.",
    )


def _short(name: str) -> str:
    return re.sub(r"^model\.(layers\.\{layer\}\.)?|\.weight$", "", name)
