"""Loss against cost, a front for each P; and throughput against speed in serving."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cost_analysis.common.arrays import Array, single
from cost_analysis.common.pareto import non_dominated
from cost_analysis.common.units import GIB, format_count
from cost_analysis.figures.style import (
    UNBROKEN,
    label_panel,
    log_axis,
    marker_of,
    model_title,
    new_figure,
    row_of_axes,
    stream_handles,
    stream_style,
    write_caption,
)
from cost_analysis.search.plan import Plan, Question
from cost_analysis.search.serving import Served, ServingView


def pareto_caption(asked: Question, plan: Plan) -> str:
    """What a plan chose from."""
    largest = format_count(asked.fitted.runs.parameters.max())
    space = plan.space
    engines = dict.fromkeys(setup.system.engine.name for setup in space.setups)
    devices = dict.fromkeys(setup.system.hardware.description for setup in space.setups)
    formats = dict.fromkeys(setup.system.precision.weights for setup in space.setups)
    where = " or ".join(devices) if len(devices) < 4 else f"{len(devices)} devices"
    load = (
        f"batch {'/'.join(dict.fromkeys(str(setup.batch_size) for setup in space.setups))}"
        if space.rate is None
        else f"{space.rate:g} requests/s at random"
    )
    return (
        f"{where.replace(' ', UNBROKEN)}, engine {' or '.join(engines)}, "
        f"weights {' or '.join(formats)}; {load}, {space.input_length} input and "
        f"{space.output_length} output tokens. Sizes: {model_title(space.base)} wider or narrower, "
        "within all limits (dots). "
        "Below: the loss that streams save at the same cost. Loss: the law fitted on "
        f"{asked.law}; above {largest} parameters it is extrapolated."
    )


def serving_caption(view: ServingView) -> str:
    """What is served, on what, and how that was computed."""
    system, lengths = view.streams[-1].server.system, view.lengths
    wider = f" Wider model: {view.chosen.description}." if view.chosen else ""
    return (
        f"{model_title(view.spec)}, engine {system.engine.name}, "
        f"weights {system.precision.weights}, "
        f"on {system.hardware.description.replace(' ', UNBROKEN)}; "
        f"{lengths.mean(lengths.prompts):.4g} input and {lengths.mean(lengths.outputs):.4g} output "
        f"tokens{' on average' if len(lengths.weights) > 1 else ''}.{wider} Left: batches of 1, 2, "
        "4, … up to what fits, a marker each. Right: Poisson arrivals, continuous batching, means "
        "of the steady state."
    )


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


POINTS = 200
"""Loads along a curve."""

LIGHTEST = 0.01
"""The lightest load of a curve, and what the heaviest leaves, as shares of what is carried."""

WIDER: dict[str, Any] = {"color": "#d4502a", "linestyle": (0, (5, 1.5)), "marker": "P"}
CHANGE: dict[str, Any] = {"color": "black", "linewidth": 1.0, "linestyle": (0, (1, 2))}


def throughput(view: ServingView) -> Figure:
    """Throughput against the time of a token over the batch, and latency against load."""
    figure = new_figure(4.9)
    left, right = row_of_axes(figure, 2)
    token = "Time per output token [ms]" if view.lengths.steps else "Time of a request [ms]"
    label_panel(left, "Always so many in flight", "Output tokens per second", token)
    label_panel(right, "Requests at random", "Requests per second", "Latency of a request [s]")
    for model, style in _styled_models(view):
        if model.room:
            _batch_curve(left, view, model, style)
            _load_curve(right, model, style)
    for axes in (left, right):
        if axes.lines:
            log_axis(axes, "x")
            log_axis(axes, "y")
    _mark_change(right, view)
    handles = stream_handles([single(model.server.spec.streams) for model in view.streams])
    if view.wider:
        line = Line2D([], [], linestyle=WIDER["linestyle"], **marker_of(WIDER))
        line.set_label(f"P = 1 of the loss of P = {view.spec.streams}")
        handles.append(line)
    figure.legend(handles=handles, loc="outside upper center", ncols=5)
    write_caption(figure, serving_caption(view))
    return figure


def _styled_models(view: ServingView) -> list[tuple[Served, dict[str, Any]]]:
    styles = [stream_style(index, len(view.streams)) for index in range(len(view.streams))]
    found = list(zip(view.streams, styles, strict=True))
    return [*found, (view.wider, WIDER)] if view.wider else found


def _batch_curve(axes: Axes, view: ServingView, model: Served, style: dict[str, Any]) -> None:
    """Tokens a second against the time of each, a marker each doubling of the batch."""
    batches = model.batches
    rate = model.server.closed_rate(batches)
    tokens = rate * view.lengths.mean(view.lengths.outputs)
    each = model.server.closed_tpot(batches) if view.lengths.steps else batches / rate
    axes.plot(tokens, each * 1e3, linestyle=style["linestyle"], linewidth=1.2, **marker_of(style))


def _load_curve(axes: Axes, model: Served, style: dict[str, Any]) -> None:
    """Latency against load, up to what the model carries."""
    rates = model.carried * (1 - np.geomspace(1 - LIGHTEST, LIGHTEST, POINTS))
    latency = np.broadcast_to(model.load(rates).latency, rates.shape)
    axes.plot(rates, latency, color=style["color"], linestyle=style["linestyle"], linewidth=1.5)
    middle = np.searchsorted(rates, model.carried / 3)
    axes.plot(rates[middle], latency[middle], linestyle="none", **marker_of(style))


def _mark_change(axes: Axes, view: ServingView) -> None:
    """The load at which the faster one changes."""
    for crossover in view.crossovers:
        if crossover.metric == "latency" and crossover.ends is not None:
            axes.axvline(crossover.ends, **CHANGE)
            first = f"P = {view.spec.streams}" if crossover.wins_light else "P = 1 of its loss"
            axes.annotate(
                f"{first} is faster\nup to {crossover.ends:.3g}/s",
                (crossover.ends, 0.97),
                xycoords=("data", "axes fraction"),
                xytext=(-5, 0),
                textcoords="offset points",
                ha="right",
                va="top",
                fontsize=8.5,
            )
