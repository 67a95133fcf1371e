"""The figure of the serving view: throughput against speed, and speed against load."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cost_analysis.captions import serving_caption
from cost_analysis.plot_style import (
    label_panel,
    log_axis,
    marker_of,
    new_figure,
    row_of_axes,
    stream_handles,
    stream_style,
    write_caption,
)
from cost_analysis.serving_view import Served, ServingView

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
    for model, style in _styled(view):
        if model.room:
            _batch_curve(left, view, model, style)
            _load_curve(right, model, style)
    for axes in (left, right):
        if axes.lines:
            log_axis(axes, "x")
            log_axis(axes, "y")
    _mark_change(right, view)
    handles = stream_handles([model.server.spec.streams for model in view.streams])
    if view.wider:
        line = Line2D([], [], linestyle=WIDER["linestyle"], **marker_of(WIDER))
        line.set_label(f"P = 1 of the loss of P = {view.spec.streams}")
        handles.append(line)
    figure.legend(handles=handles, loc="outside upper center", ncols=5)
    write_caption(figure, serving_caption(view))
    return figure


def _styled(view: ServingView) -> list[tuple[Served, dict[str, Any]]]:
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
    for contest in view.contests:
        if contest.metric == "latency" and contest.ends is not None:
            axes.axvline(contest.ends, **CHANGE)
            first = f"P = {view.spec.streams}" if contest.wins_light else "P = 1 of its loss"
            axes.annotate(
                f"{first} is faster\nup to {contest.ends:.3g}/s",
                (contest.ends, 0.97),
                xycoords=("data", "axes fraction"),
                xytext=(-5, 0),
                textcoords="offset points",
                ha="right",
                va="top",
                fontsize=8.5,
            )
