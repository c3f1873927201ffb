"""Figures of what a forward pass costs."""

import math
from collections.abc import Mapping, Sequence
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
from olmo_explain.figures.chart import LINES, Chart
from olmo_explain.figures.drawing import ACCENT, SMALL, Drawing
from olmo_explain.figures.picture import Picture

SHOWN = (*LINEAR, "scores")  # on a roofline
PLACES = {  # the first is the one to look at
    "full_attention": "a full layer",
    "model": "the model",
    "sliding_attention": "a sliding layer",
}


def plot_attention_share(
    config: OlmoConfig, model: str, convention: Convention = "windowed"
) -> Picture:
    """Attention's share of MACs against positions: in a layer of each type and in the model.

    A dot where it is half. A dotted line where the positions end that the model is made for.
    """
    longest = config.max_position_embeddings
    lengths = [round(2**octave) for octave in np.arange(8, np.log2(4 * longest) + 0.01, 0.25)]
    drawing, crossings = Drawing(262), crossovers(config)
    chart = Chart(drawing, (lengths[0], lengths[-1]), (0, 100), (True, False))
    places = [2**power for power in range(9, 30, 3) if 2**power <= lengths[-1]]
    heights = {25.0 * n: f"{25 * n} %" for n in range(5)}
    chart.frame(heights, {n: _short(n) for n in places}, "positions")
    chart.upright(longest, f"made for {longest:,}", anchor="end")
    there = [place for place in PLACES if place in crossings]
    chart.lines(
        {
            PLACES[place]: (lengths, [100 * _share(config, n, place, convention) for n in lengths])
            for place in there
        }
    )
    said = []
    for place, (colour, *_) in zip(there, LINES, strict=False):
        crossing = crossings[place][convention]
        said.append(f"in {PLACES[place]} {'never' if crossing is None else f'at {crossing:,}'}")
        if crossing is not None and crossing <= lengths[-1]:
            x, y = chart.x(crossing), chart.y(50)
            drawing.circle(x, y, 5, fill=colour)
            before = crossing <= longest
            where = (x - 9, y - 7) if before else (x + 5, y + 19)
            side = "end" if before else "start"
            drawing.text(*where, f"{crossing:,}", anchor=side, colour=colour, weight=600)
    return drawing.picture(
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
    layers = {name: costs.layer(convention="windowed") for name, costs in passes.items()}
    at = [layer[part].intensity for layer in layers.values() for part in SHOWN]
    at += [it.intensity for it in timed]
    low, high = min([0.3, *(x / 2 for x in at)]), max([4 * machine.ridge, *(2 * x for x in at)])
    speeds = [machine.reachable(low), machine.flops_per_second]
    speeds += [it.flops_per_second for it in timed]
    drawing = Drawing(312 + 24 * len(layers))
    ends = min(speeds) / 1.5e9, max(speeds) * 1.5 / 1e9
    chart = Chart(drawing, (low, high), ends, (True, True), right=466, top=44, bottom=232)
    chart.frame(_tens(*ends), _tens(low, high), "FLOPs for each byte")
    drawing.text(0, chart.top - 15, "GFLOP/s", size=SMALL, quiet=True)
    ridge, roof = machine.ridge, [low, machine.ridge, high]
    chart.upright(ridge, f"{ridge:,.1f}")
    chart.line(roof, [machine.reachable(x) / 1e9 for x in roof], thick=1.5)
    said = []
    for number, (name, layer) in enumerate(layers.items()):
        for part in (layer[part] for part in SHOWN):
            x, y = chart.x(part.intensity), chart.y(machine.reachable(part.intensity) / 1e9)
            _mark(drawing, number, x, y)
        _mark(drawing, number, chart.left + 8, 307 + 24 * number)
        drawing.text(chart.left + 24, 312 + 24 * number, f"{name}, at best", size=SMALL)
        waiting = [it.name for it in layer.values() if machine.place(it).bound == "memory"]
        linear = sum(part in waiting for part in LINEAR)
        said.append(f"{name}: {linear} of {len(LINEAR)} Linear modules wait for memory")
    for it in timed:
        x, y = chart.x(it.intensity), chart.y(it.flops_per_second / 1e9)
        drawing.circle(x, y, 5, fill=ACCENT)
        rows = f"{it.rows:,}"
        drawing.text(x, y + 24, rows, anchor="middle", size=SMALL, colour=ACCENT, weight=600)
    if timed:
        drawing.circle(330, 307, 5, fill=ACCENT)
        drawing.text(344, 312, "measured, rows", size=SMALL, colour=ACCENT)
        ran = ", ".join(f"{it.rows:,}: {it.flops_per_second / 1e9:,.3g}" for it in timed)
        said.append(f"As it ran, GFLOP/s by rows: {ran}")
    return drawing.picture(
        f"This machine in {machine.dtype}: {machine.flops_per_second / 1e9:,.0f} GFLOP/s, "
        f"{machine.bytes_per_second / 1e9:,.1f} GB/s. Left of the dotted line, at "
        f"{machine.ridge:,.1f} FLOPs for each byte, it waits for memory. Hollow: a full layer's "
        f"linear modules and scores, at best, counted windowed. Model: {model}.",
        f"Roofline: reachable GFLOP/s against FLOPs for each byte, rising up to "
        f"{machine.ridge:,.1f} and level from there. {'. '.join(said)}.",
    )


def _mark(drawing: Drawing, number: int, x: float, y: float) -> None:
    """A hollow mark: a circle for the first pass, then a smaller square, triangle, diamond."""
    if number == 0:
        drawing.circle(x, y, 6.5, fill="none", outline="currentColor")
        return
    corners = [((4, 4), (-4, 4), (-4, -4), (4, -4)), ((0, -5), (5, 4), (-5, 4)),
               ((0, -6), (6, 0), (0, 6), (-6, 0))][(number - 1) % 3]  # fmt: skip
    drawing.path("M" + "L".join(f"{x + dx:.4g} {y + dy:.4g}" for dx, dy in corners) + "z")


def _tens(low: float, high: float) -> dict[float, str]:
    """The powers of ten in a range, not more than six of them."""
    powers = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
    return {10.0**power: f"{10.0**power:,g}" for power in powers[:: 1 + len(powers) // 6]}


def _short(positions: int) -> str:
    """512, 4K, 32K: as many as powers of two are told in."""
    return f"{positions // 1024:,}K" if positions >= 1024 else f"{positions}"


def _share(config: OlmoConfig, seq: int, place: str, convention: Convention) -> float:
    costs = count_costs(config, seq)
    parts = (
        costs.model(convention)
        if place == "model"
        else costs.layer(cast(LayerType, place), convention)
    )
    attention, linear = (total(parts[n] for n in names).macs for names in (ATTENTION, LINEAR))
    return attention / (attention + linear)
