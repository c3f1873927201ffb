"""Figures of what a forward pass costs, in the manner of `plots`."""

from collections.abc import Mapping
from itertools import chain, cycle, repeat
from typing import cast

import numpy as np

from olmo_explain.checkpoint import LayerType, OlmoConfig
from olmo_explain.costs import (
    ATTENTION,
    CONVENTIONS,
    LINEAR,
    Convention,
    Costs,
    Roofline,
    count_costs,
    crossovers,
    total,
)
from olmo_explain.figures.picture import Picture
from olmo_explain.figures.style import ACCENT, QUIET, WARM, finish, start

SHORTEST = 64  # where attention's share begins to be seen
# In a full layer causal and windowed are one line: the broken one lies on the other.
LINES: dict[Convention, tuple[str, str]] = {
    "full": (QUIET, ":"),
    "windowed": (ACCENT, "-"),
    "causal": (WARM, "--"),
}
LABELS = {"q_proj": "Linear", "scores": "scores, apply", "softmax": "softmax", "silu": "SiLU"}
PLACES = {
    "sliding_attention": "a sliding layer",
    "full_attention": "a full layer",
    "model": "the model",
}


def plot_costs_by_operation(costs: Costs, model: str, convention: Convention = "full") -> Picture:
    """A bar for each matrix product, all layers together; scores and apply are hatched."""
    macs = {name: part.macs for name, part in costs.model(convention).items() if part.macs}
    whole = sum(macs.values())
    with start(1, height=0.5 + 0.28 * len(macs)) as (figure, (axis,)):
        bars = axis.barh(list(macs), [count / 1e9 for count in macs.values()], color=ACCENT)
        for name, bar in zip(macs, bars, strict=True):
            if name in ATTENTION:
                bar.set(facecolor=WARM, hatch="///", edgecolor="white", linewidth=0)
        axis.bar_label(bars, [f"{count:,}" for count in macs.values()], padding=4, fontsize=9)
        axis.set(xlabel="billions of MACs")
        axis.xaxis.set_major_formatter("{x:,.6g}")
        axis.margins(x=0.3)
        axis.invert_yaxis()
    most = max(macs, key=lambda name: macs[name])
    attention = sum(macs[name] for name in ATTENTION)
    return finish(
        figure,
        f"{whole:,} multiply-accumulates by operation: {_pass(costs)}, attention counted "
        f"{CONVENTIONS[convention]}. Model: {model}.",
        f"Bar chart of MACs by operation. The largest is {most}, {macs[most]:,} of {whole:,}; "
        f"scores and apply together have {attention:,}, {attention / whole:.1%}.",
    )


def plot_attention_share(config: OlmoConfig, model: str) -> Picture:
    """Attention's share of a layer's MACs against positions, by convention; dots: half."""
    octaves = np.arange(np.log2(SHORTEST), np.log2(config.max_position_embeddings) + 0.01, 0.25)
    lengths = sorted({round(2**octave) for octave in octaves})
    overtakes = crossovers(config)
    with start(len(overtakes), height=2.7, shared=True) as (figure, axes):
        for axis, (place, crossings) in zip(axes, overtakes.items(), strict=True):
            axis.axhline(50, color=QUIET, linewidth=0.8)
            for convention, (colour, style) in LINES.items():
                shares = [100 * _share(config, n, place, convention) for n in lengths]
                axis.plot(lengths, shares, style, color=colour, label=CONVENTIONS[convention])
                if (crossings[convention] or np.inf) <= lengths[-1]:
                    axis.plot(crossings[convention], 50, "o", color=colour)
            axis.set(title=PLACES[place], xlabel="positions", ylim=(0, 100))
            axis.set_xscale("log", base=2)
            axis.set_xticks([2**power for power in range(6, 21, 2) if 2**power <= lengths[-1]])
        axes[0].set_ylabel("attention, % of MACs")
        axes[0].legend()
    said = [
        f"in {PLACES[place]}, {', '.join(_crossing(crossings, name) for name in CONVENTIONS)}"
        for place, crossings in overtakes.items()
    ]
    return finish(
        figure,
        "Scores and apply against the seven Linear modules of a layer; a dot where the two are "
        f"equal, up to {lengths[-1]:,} positions. Model: {model}.",
        f"{len(overtakes)} panels of attention's share of MACs against positions. Half is "
        f"reached {'; '.join(said)}.",
    )


def plot_roofline(machine: Roofline, passes: Mapping[str, Costs], model: str) -> Picture:
    """One layer's operations on a machine's roofline, a kind of mark for each pass."""
    # Smaller marks lie on larger ones.
    marks = zip(cycle("os^DvPX"), cycle((ACCENT, WARM, QUIET)), chain((9, 5), repeat(4)))
    said, reach = [], [0.1, 10 * machine.ridge]
    labels: dict[float, list[str]] = {}
    with start(1, height=3.4) as (figure, (axis,)):
        for name, costs in passes.items():
            layer = costs.layer(convention="windowed").values()
            intensities = [operation.intensity for operation in layer]
            reached = [machine.reachable(intensity) / 1e9 for intensity in intensities]
            marker, colour, size = next(marks)
            axis.plot(intensities, reached, marker, color=colour, ms=size, label=name, zorder=3)
            _label(costs, labels)
            waiting = [o.name for o in layer if machine.place(o).bound == "memory"]
            linear = sum(name in waiting for name in LINEAR)
            said.append(f"{name}: {linear} of {len(LINEAR)} Linear modules wait for memory")
            reach.append(2 * max(intensities))
        for at, names in labels.items():
            place = (at, machine.reachable(at) / 1e9)
            text = ", ".join(names)
            axis.annotate(text, place, (8, -12), textcoords="offset points", fontsize=8)
        roof = np.geomspace(min(reach), max(reach), 200)
        axis.plot(roof, [machine.reachable(x) / 1e9 for x in roof], color=QUIET, linewidth=1.2)
        axis.axvline(machine.ridge, color=QUIET, linestyle=":", linewidth=1)
        axis.set(
            xscale="log",
            yscale="log",
            xlabel="arithmetic intensity, FLOPs a byte",
            ylabel="GFLOP/s",
        )
        axis.margins(y=0.15)
        axis.legend(loc="lower right")
    return finish(
        figure,
        f"One full-attention layer on this machine: {machine.flops_per_second / 1e9:,.0f} GFLOP/s "
        f"in {machine.dtype}, {machine.bytes_per_second / 1e9:,.1f} GB/s; left of the dotted line, "
        f"{machine.ridge:,.1f} FLOPs a byte, an operation waits for memory. Model: {model}.",
        f"Roofline: reachable GFLOP/s against FLOPs a byte, rising up to {machine.ridge:,.1f} and "
        f"level from there. {'. '.join(said)}.",
    )


def _pass(costs: Costs) -> str:
    if costs.decode:
        return f"one new position after {costs.seq - 1:,}, batch {costs.batch:,}"
    return f"{costs.seq:,} positions, batch {costs.batch:,}"


def _label(costs: Costs, labels: dict[float, list[str]]) -> None:
    """Adds what stands at an intensity; those that would lie over one another share a label."""
    layer = costs.layer(convention="windowed")
    for name, label in LABELS.items():
        at = layer[name].intensity
        near = next((other for other in labels if 0.5 < other / at < 2), at)
        if label not in labels.setdefault(near, []):
            labels[near].append(label)


def _share(config: OlmoConfig, seq: int, place: str, convention: Convention) -> float:
    costs = count_costs(config, seq)
    parts = (
        costs.model(convention)
        if place == "model"
        else costs.layer(cast(LayerType, place), convention)
    )
    attention, linear = (total(parts[n] for n in names).macs for names in (ATTENTION, LINEAR))
    return attention / (attention + linear)


def _crossing(crossings: dict[Convention, int | None], convention: Convention) -> str:
    seq = crossings[convention]
    return f"{CONVENTIONS[convention]} {'never' if seq is None else f'at {seq:,}'}"
