"""The figure of a plan: loss against memory and latency, a front for each number of streams."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cost_analysis.candidates import Array
from cost_analysis.captions import pareto_caption
from cost_analysis.pareto import non_dominated
from cost_analysis.plan_question import Question
from cost_analysis.planner import Plan
from cost_analysis.plot_style import (
    label_panel,
    log_axis,
    marker_of,
    new_figure,
    stream_handles,
    stream_style,
    write_caption,
)
from cost_analysis.units import GIB

FRONT: dict[str, Any] = {"color": "0.8", "linewidth": 6.0, "solid_capstyle": "round", "zorder": 1.5}
LIMIT: dict[str, Any] = {"color": "black", "linewidth": 1.0, "linestyle": (0, (1, 2))}
MARKS = 6
"""Markers along a curve."""


def pareto(asked: tuple[Question, Plan]) -> Figure:
    """Loss against memory and latency: what each number of streams reaches, and gains."""
    question, plan = asked
    found = plan.found
    figure = new_figure(6.9)
    panels = figure.subplots(2, 2, sharex="col", height_ratios=(5, 4))
    costs = (
        ("Memory", "Memory [GiB]", found.memory / GIB, _memory_limit(plan) / GIB),
        ("Latency", "Latency of a request [s]", found.latency, question.limits.latency),
    )
    rows = _worth_drawing(question, plan)
    few = min(plan.space.streams)
    for column, (title, label, cost, limit) in enumerate(costs):
        above, below = panels[:, column]
        label_panel(above, f"Loss against {title.lower()}", "", "Loss")
        label_panel(below, "", label, f"Loss saved over P = {few}")
        _fronts(above, plan, rows, cost)
        _gains(below, plan, rows, cost)
        for axes in (above, below):
            if limit is not None and limit <= axes.get_xlim()[1]:
                axes.axvline(limit, **LIMIT)
    handles = _handles(plan)
    figure.legend(handles=handles, loc="outside upper center", ncols=_columns(len(handles)))
    write_caption(figure, pareto_caption(question, plan))
    return figure


def _columns(handles: int) -> int:
    return handles if handles <= 6 else (handles + 1) // 2


def _handles(plan: Plan) -> list[Line2D]:
    return [
        *stream_handles(sorted(plan.space.streams)),
        Line2D([], [], **FRONT, label="none is better"),
        Line2D([], [], marker="*", markersize=13, **_BEST, label="the plan"),
    ]


def _worth_drawing(question: Question, plan: Plan) -> Any:
    """Feasible rows, without sizes below those that the law was fitted on if the best is above."""
    large = plan.found.parameters >= question.fitted.runs.parameters.min()
    rows = plan.feasible & large
    return rows if rows[plan.ranking].any() else plan.feasible


_BEST: dict[str, Any] = {"color": "#d4502a", "linestyle": "none", "markeredgecolor": "white"}


def _memory_limit(plan: Plan) -> float:
    return max(setup.memory_limit for setup in plan.space.setups)


def _fronts(axes: Axes, plan: Plan, rows: Any, cost: Array) -> None:
    """The front of each number of streams in one cost, the front of all, and the plan."""
    found = plan.found
    axes.plot(*_front(rows, cost, found.loss), **FRONT)
    for count, style in _styled(plan):
        _curve(axes, *_front(rows & (found.streams == count), cost, found.loss), style)
    best = plan.ranking[0]
    axes.plot(cost[best], found.loss[best], marker="*", markersize=14, zorder=5, **_BEST)
    log_axis(axes, "x")


def _gains(axes: Axes, plan: Plan, rows: Any, cost: Array) -> None:
    """What streams take off the loss that the fewest streams reach at the same cost."""
    found = plan.found
    few = min(plan.space.streams)
    base = _front(rows & (found.streams == few), cost, found.loss)
    for count, style in _styled(plan):
        at, loss = _front(rows & (found.streams == count), cost, found.loss)
        if len(base[0]):
            same = np.interp(np.log(at), np.log(base[0]), base[1], np.nan, np.nan)
            _curve(axes, at, same - loss, style)
    axes.axhline(0, color="0.4", linewidth=0.8, zorder=1)


def _styled(plan: Plan) -> list[tuple[int, dict[str, Any]]]:
    streams = sorted(plan.space.streams)
    return [(count, stream_style(i, len(streams))) for i, count in enumerate(streams)]


def _curve(axes: Axes, cost: Array, value: Array, style: dict[str, Any]) -> None:
    every = _spread_out(cost)
    axes.plot(cost, value, color=style["color"], linestyle=style["linestyle"], linewidth=1.3)
    axes.plot(cost[every], value[every], linestyle="none", **marker_of(style))


def _front(rows: Any, cost: Array, loss: Array) -> tuple[Array, Array]:
    """The rows that no other beats in cost and loss, cheapest first."""
    cost, loss = cost[rows], loss[rows]
    kept = non_dominated([cost, loss])
    order = np.argsort(cost[kept], kind="stable")
    return cost[kept][order], loss[kept][order]


def _spread_out(cost: Array) -> Any:
    """A few indices, evenly along a logarithmic axis."""
    if not len(cost):
        return []
    places = np.geomspace(cost[0], cost[-1], MARKS)
    return np.unique(np.searchsorted(cost, places).clip(0, len(cost) - 1))
