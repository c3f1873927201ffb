"""Figures of what a forward pass costs, in the manner of `plots`."""

from collections.abc import Mapping, Sequence
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
    Timed,
    count_costs,
    crossovers,
    total,
)
from olmo_explain.figures.picture import Picture
from olmo_explain.figures.style import ACCENT, INK, QUIET, WARM, finish, start

LINES = {
    "sliding_attention": (WARM, "--", 1.8),
    "full_attention": (ACCENT, "-", 1.8),
    "model": (INK, "-", 2.4),
}
SHOWN = (*LINEAR, "scores")  # on a roofline
PLACES = {
    "sliding_attention": "a sliding layer",
    "full_attention": "a full layer",
    "model": "the model",
}


def plot_attention_share(
    config: OlmoConfig, model: str, convention: Convention = "windowed"
) -> Picture:
    """Attention's share of MACs against positions: in a layer of each type and in the model.

    A dot where it is half. A dotted line where the positions end that the model is made for.
    """
    longest = config.max_position_embeddings
    lengths = [round(2**octave) for octave in np.arange(8, np.log2(4 * longest) + 0.01, 0.25)]
    said = []
    with start(1, height=3.1, width=4.8) as (figure, (axis,)):
        axis.axhline(50, color=QUIET, linewidth=0.8)
        axis.axvline(longest, color=QUIET, linestyle=":", linewidth=1)
        axis.annotate(
            f"made for {longest:,}", (longest, 97), (-6, 0), textcoords="offset points",
            ha="right", va="top", fontsize=9,
        )  # fmt: skip
        for place, crossings in crossovers(config).items():
            colour, style, width = LINES[place]
            shares = [100 * _share(config, n, place, convention) for n in lengths]
            axis.plot(lengths, shares, style, color=colour, linewidth=width, label=PLACES[place])
            crossing = crossings[convention]
            said.append(f"in {PLACES[place]} {'never' if crossing is None else f'at {crossing:,}'}")
            if crossing is not None and crossing <= lengths[-1]:
                axis.plot(crossing, 50, "o", color=colour, ms=7)
                within = crossing <= longest
                axis.annotate(
                    f"{crossing:,}", (crossing, 50), (-8, 6) if within else (-2, -18),
                    textcoords="offset points", ha="right" if within else "left",
                    color=colour, weight="bold",
                )  # fmt: skip
        axis.set(xlabel="positions", ylabel="attention, % of MACs", ylim=(0, 100))
        axis.set_xscale("log", base=2)
        ticks = [2**power for power in range(9, 30, 3) if 2**power <= lengths[-1]]
        axis.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        axis.legend(loc="upper left", bbox_to_anchor=(0, 0.9))
    return finish(
        figure,
        "Scores and apply as a share of a layer's matrix products, the seven linear modules being "
        f"the rest, counted {CONVENTIONS[convention]}. Model: {model}.",
        f"Attention's share of MACs against positions. Half is reached {', '.join(said)}. "
        f"The model is made for {longest:,} positions.",
    )


def plot_roofline(
    machine: Roofline, passes: Mapping[str, Costs], model: str, timed: Sequence[Timed] = ()
) -> Picture:
    """One layer's operations under a machine's roof, and products as they ran there.

    Computed ones lie on the roof, as fast as they could be: hollow, a kind of mark for each pass.
    `timed`: filled dots, each with its number of rows; none is above the roof.
    """
    machine = machine.reaching(timed)
    marks = zip(cycle("osD^vPX"), chain((9, 6), repeat(5)))  # smaller marks lie on larger ones
    said, reach = [], [0.3, 4 * machine.ridge]
    with start(1, height=3.5, width=4.8) as (figure, (axis,)):
        for name, costs in passes.items():
            layer = costs.layer(convention="windowed")
            shown = [layer[part] for part in SHOWN]
            marker, size = next(marks)
            axis.plot(
                [part.intensity for part in shown],
                [machine.reachable(part.intensity) / 1e9 for part in shown],
                marker, color=WARM, fillstyle="none", ms=size, label=name, zorder=3,
            )  # fmt: skip
            waiting = [
                part.name for part in layer.values() if machine.place(part).bound == "memory"
            ]
            linear = sum(part in waiting for part in LINEAR)
            said.append(f"{name}: {linear} of {len(LINEAR)} Linear modules wait for memory")
            reach += [part.intensity * factor for part in shown for factor in (0.6, 1.7)]
        if timed:
            at, speeds = [it.intensity for it in timed], [it.flops_per_second / 1e9 for it in timed]
            axis.plot(at, speeds, "o", color=ACCENT, ms=6, label="measured: rows at once", zorder=4)
            for it, x, y in zip(timed, at, speeds, strict=True):
                place = {"xytext": (7, -11), "textcoords": "offset points"}
                axis.annotate(f"{it.rows:,}", (x, y), **place, color=ACCENT, weight="bold")
            ran = ", ".join(f"{it.rows:,}: {it.flops_per_second / 1e9:,.3g}" for it in timed)
            said.append(f"As it ran, GFLOP/s by rows: {ran}")
        roof = np.geomspace(min(reach), max(reach), 200)
        axis.plot(roof, [machine.reachable(x) / 1e9 for x in roof], color=QUIET, linewidth=1.5)
        axis.axvline(machine.ridge, color=QUIET, linestyle=":", linewidth=1)
        axis.set(xscale="log", yscale="log", xlabel="FLOPs for each byte", ylabel="GFLOP/s")
        axis.xaxis.set_major_formatter("{x:,.4g}")
        axis.yaxis.set_major_formatter("{x:,.4g}")
        axis.margins(y=0.12)
        axis.legend(loc="lower right")
    return finish(
        figure,
        f"This machine in {machine.dtype}: {machine.flops_per_second / 1e9:,.0f} GFLOP/s, "
        f"{machine.bytes_per_second / 1e9:,.1f} GB/s. Left of the dotted line, at "
        f"{machine.ridge:,.1f} FLOPs for each byte, it waits for memory. Hollow: a full layer's "
        f"linear modules and scores, at best, counted windowed. Model: {model}.",
        f"Roofline: reachable GFLOP/s against FLOPs for each byte, rising up to "
        f"{machine.ridge:,.1f} and level from there. {'. '.join(said)}.",
    )


def _share(config: OlmoConfig, seq: int, place: str, convention: Convention) -> float:
    costs = count_costs(config, seq)
    parts = (
        costs.model(convention)
        if place == "model"
        else costs.layer(cast(LayerType, place), convention)
    )
    attention, linear = (total(parts[n] for n in names).macs for names in (ATTENTION, LINEAR))
    return attention / (attention + linear)
