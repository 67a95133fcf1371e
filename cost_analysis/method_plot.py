"""Draws ways of spending compute: what each costs, as multiples of the base."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from cost_analysis.captions import methods_caption
from cost_analysis.method_choice import Contest
from cost_analysis.plot_style import new_figure, row_of_axes, write_caption

PANELS = (
    ("Memory", "memory"),
    ("First token", "ttft"),
    ("Each further token", "tpot"),
    ("Whole request", "latency"),
    ("FLOPs", "flops"),
)
"""Titles and attributes of the costs that are drawn."""

ROOM = 1.9
"""Width of an axis beyond its largest ratio, for the numbers behind the bars."""


def methods(found: Contest) -> Figure:
    """A panel a cost, a bar a method, its length the logarithm of the ratio to the base."""
    names = [cost.spending.name for cost in found.costs[1:]]
    figure = new_figure(1.3 + 0.3 * max(len(names), 3))
    panels = row_of_axes(figure, len(PANELS))
    first = found.costs[0]
    for axes, (title, attribute) in zip(panels, PANELS, strict=True):
        of = float(getattr(first, attribute))
        ratios = [
            float(getattr(cost, attribute)) / of if of else np.nan for cost in found.costs[1:]
        ]
        _bars(axes, title, ratios)
        axes.set_yticks(range(len(names)), names if axes is panels[0] else [])
    write_caption(figure, methods_caption(found))
    return figure


def _bars(axes: Axes, title: str, ratios: list[float]) -> None:
    known = [ratio for ratio in ratios if np.isfinite(ratio)] or [1.0]
    low, high = min(1.0, *known), max(1.25, *known)
    places = np.arange(len(ratios))
    axes.barh(places, np.subtract(ratios, 1.0), left=1.0, height=0.62, color="#8379b5")
    axes.axvline(1.0, color="0.3", linewidth=0.8)
    for place, ratio in zip(places, ratios, strict=True):
        text = f"{ratio:.2f}×" if np.isfinite(ratio) else "none"
        axes.annotate(
            text, (max(ratio, 1.0) if np.isfinite(ratio) else 1.0, place), xytext=(3, 0),
            textcoords="offset points", va="center", fontsize=7.5,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlim(low / 1.05, high * ROOM)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(len(ratios) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.set_title(title)
