"""The serving view as records and pages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cost_analysis.common.arrays import Array
from cost_analysis.common.units import format_bytes, format_count, format_seconds
from cost_analysis.cost.memory import NOT_COUNTED
from cost_analysis.inputs.request import length_warnings
from cost_analysis.inputs.spec import Workload
from cost_analysis.law.family import size_of
from cost_analysis.report.layouts import devices_in_words
from cost_analysis.report.plan import engine_note
from cost_analysis.report.render import Page, Record, Table, whole
from cost_analysis.search.serving import LoadCrossover, Served, ServingView


def load_rows(view: ServingView, rates: Array) -> list[Record]:
    """Every model at every rate, a flat record each."""
    rows: list[Record] = []
    for model in view.models:
        load = model.load(rates)
        for index, rate in enumerate(rates):
            values = {
                name: float(np.broadcast_to(getattr(load, attribute), rates.shape)[index])
                for name, attribute in _LOAD_COLUMNS.items()
            }
            rows.append({"model": model.name, "requests_per_s": float(rate), **values})
    return rows


_LOAD_COLUMNS = {
    "ttft_s": "ttft",
    "tpot_s": "tpot",
    "latency_s": "latency",
    "requests_in_flight": "requests",
    "peak_requests": "peak_requests",
    "memory_bytes": "memory",
    "busy": "busy",
}


def batch_rows(view: ServingView) -> list[Record]:
    """Every model with always so many requests in flight, a flat record each."""
    rows: list[Record] = []
    for model in view.models:
        batches = model.batches
        if not len(batches):
            continue
        rate, tpot = model.server.closed_rate(batches), model.server.closed_tpot(batches)
        tokens = rate * view.lengths.mean(view.lengths.outputs)
        for row in zip(batches, rate, tokens, tpot, strict=True):
            names = ("batch_size", "requests_per_s", "tokens_per_s", "tpot_s")
            rows.append({"model": model.name, **dict(zip(names, map(float, row), strict=True))})
    return rows


def serving_record(view: ServingView, rate: float | None) -> Record:
    """The serving view as a nested record.

    Args:
        view: The view.
        rate: Requests a second that were asked for; None where tables of loads will do [1/s].
    """
    lengths = view.lengths
    rates = view.rates if rate is None else np.array([rate])
    return {
        "lengths": {
            "kinds": len(lengths.weights),
            "mean_input": lengths.mean(lengths.prompts),
            "mean_output": lengths.mean(lengths.outputs),
        },
        "memory_limit_bytes": whole(view.memory_limit),
        "models": [model_record(model) for model in view.models],
        "load": [_finite(row) for row in load_rows(view, rates)],
        "batch": [_finite(row) for row in batch_rows(view)],
        "contests": [
            {
                "metric": crossover.metric,
                "streams_win_light_load": crossover.wins_light,
                "changes_at_per_s": crossover.ends,
            }
            for crossover in view.crossovers
        ],
    }


def _finite(row: Mapping[str, Any]) -> Record:
    return {name: v if isinstance(v, str) else whole(v) for name, v in row.items()}


def model_record(model: Served) -> Record:
    """What a model takes and carries, as a flat record."""
    server = model.server
    spec = server.spec
    return {
        "model": model.name,
        "P": spec.streams,
        "non_embedding_parameters": whole(size_of(spec)),
        "hidden_size": spec.hidden_size,
        "intermediate_size": spec.intermediate_size,
        "one_request_bytes": whole(server.memory_bytes(1)),
        "cache_per_request_bytes": whole(server.cache_bytes(1)),
        "devices": whole(server.system.layout.devices),
        "concurrent_requests": model.room,
        "carried_per_s": whole(model.carried),
    }


def serving_page(view: ServingView, rate: float | None) -> Page:
    """What fits, who wins at which load, and speed against load and batch."""
    server = view.streams[-1].server
    lengths, system = view.lengths, server.system
    device = devices_in_words(system.hardware, system.layout)
    title = f"Serving {_called(view)} with P = {view.spec.streams} on {device}"
    asked = (
        f"{lengths.mean(lengths.prompts):.4g} in, {lengths.mean(lengths.outputs):.4g} out"
        f"{' on average' if len(lengths.weights) > 1 else ''}, "
        f"{system.precision.weights} weights, engine {system.engine.name}"
    )
    tables = [_room_table(view)]
    if rate is not None:
        tables.append(_rate_table(view, rate))
    tables += [_load_table(view), _batch_table(view)]
    chosen = [f"wider, by {view.chosen.method}: {view.chosen.description}"] if view.chosen else []
    return Page(
        title,
        (asked, "", *verdict(view)),
        tuple(table for table in tables if table.rows),
        (
            *chosen,
            *(view.chosen.warnings if view.chosen else ()),
            *length_warnings(view.spec, Workload(1, lengths.prompts.max(), lengths.outputs.max())),
            "in flight: being prefilled or decoded; at most: 99 % of the time; +: as many as the "
            "engine takes (--max_requests)",
            "load: random (Poisson) arrivals, continuous batching, prefills alone and first; "
            "means of the steady state by Little's law; -: more than it carries",
            "batch: always so many in flight, each replaced as it ends",
            engine_note(system, view.spec),
            f"memory not counted: {NOT_COUNTED}",
        ),
    )


def _called(view: ServingView) -> str:
    return view.spec.name.upper() or f"hidden {view.spec.hidden_size}"


def verdict(view: ServingView) -> list[str]:
    """Who wins at which load, in lines."""
    streamed = view.streams[-1]
    lines = [f"{_winner(crossover)}" for crossover in view.crossovers if _winner(crossover)]
    carried = ", ".join(
        f"{model.name} {_three(model.carried)}" for model in view.models if model.carried > 0
    )
    if not streamed.room:
        lines = [f"{streamed.name} does not fit: not one request is served"]
    return [*lines, f"Requests a second carried at most: {carried or 'none'}"]


def _three(value: float) -> str:
    """A figure of three digits."""
    return f"{value:#.3g}".rstrip(".")


def _winner(crossover: LoadCrossover) -> str:
    """Who is faster where, in one metric."""
    name = {"ttft": "First token", "tpot": "Tokens", "latency": "Whole request"}[crossover.metric]
    first, then = ("streams", "parameters") if crossover.wins_light else ("parameters", "streams")
    if crossover.ends is None:
        return f"{name}: {first} are faster at every load"
    return f"{name}: {first} are faster up to {_three(crossover.ends)} requests/s, then {then}"


def _room_table(view: ServingView) -> Table:
    """How many requests fit."""
    rows = tuple(
        (
            model.name,
            format_count(row["non_embedding_parameters"]),
            format_bytes(row["one_request_bytes"]),
            format_bytes(row["cache_per_request_bytes"]),
            f"{model.room:,}{'+' if model.room == model.server.most else ''}",
            _three(model.carried),
        )
        for model in view.models
        for row in [model_record(model)]
    )
    headers = ("", "size", "one request", "cache of each", "fit at once", "requests/s")
    where = "" if view.streams[-1].server.system.layout.is_single else " of each device"
    return Table(f"What fits in {format_bytes(view.memory_limit)}{where}", headers, rows)


def _rate_table(view: ServingView, rate: float) -> Table:
    """The steady state at the rate that was asked for."""
    rows = [
        (
            row["model"],
            *(_time(row[name]) for name in ("ttft_s", "tpot_s", "latency_s")),
            _figure(row["requests_in_flight"], "{:.3g}"),
            _figure(row["peak_requests"], "{:.0f}"),
            _figure(row["memory_bytes"], None),
            _figure(row["busy"], "{:.0%}"),
        )
        for row in load_rows(view, np.array([rate]))
    ]
    headers = ("", "TTFT", "TPOT", "request", "in flight", "at most", "memory", "busy")
    return Table(f"At {rate:g} requests/s", headers, tuple(rows))


def _time(value: Any) -> str:
    return format_seconds(value) if math.isfinite(value) else "-"


def _figure(value: Any, pattern: str | None) -> str:
    if not math.isfinite(value):
        return "-"
    return format_bytes(value) if pattern is None else pattern.format(value)


def _load_table(view: ServingView) -> Table:
    """Speed against load: the streamed model beside the wider one."""
    pair = view.rivals
    loads = [model.load(view.rates) for model in pair]
    rows = []
    for index, rate in enumerate(view.rates):
        times = [
            (float(load.ttft[index]), float(load.tpot[index]), float(load.latency[index]))
            for load in loads
        ]
        cells = [_time(value) for model in times for value in model]
        rows.append((f"{rate:g}", *cells, *_faster(pair, [model[2] for model in times])))
    headers = ["requests/s"]
    for model in pair:
        headers += [f"{model.name} TTFT" if len(pair) == 1 else "TTFT", "TPOT", "request"]
    title = "Speed against load" + (
        f": {pair[0].name}, then the wider model" if len(pair) > 1 else ""
    )
    faster = ["faster"] if len(pair) > 1 else []
    return Table(title, (*headers, *faster), tuple(rows), left=(len(headers),) if faster else ())


def _faster(rivals: Sequence[Served], latency: Sequence[float]) -> list[str]:
    """Which of two answers a request sooner."""
    if len(rivals) < 2:
        return []
    known = [(seconds, model.name) for seconds, model in zip(latency, rivals, strict=True)]
    known = [pair for pair in known if math.isfinite(pair[0])]
    return [min(known)[1] if known else "none"]


def _batch_table(view: ServingView) -> Table:
    """Throughput against the time of a token, over the batch."""
    pair = [model for model in view.rivals if model.room]
    if not pair:
        return Table("", (), ())
    batches = max((model.batches for model in pair), key=len)
    rows = []
    for batch in batches:
        row = [f"{batch:.0f}"]
        for model in pair:
            if batch > model.room:
                row += ["-", "-"]
                continue
            tokens = model.server.closed_rate(batch) * view.lengths.mean(view.lengths.outputs)
            row += [f"{float(tokens):,.0f}", _time(float(model.server.closed_tpot(batch)))]
        rows.append(tuple(row))
    headers = ["in flight"]
    for model in pair:
        headers += [f"{model.name}: tokens/s", "TPOT"]
    return Table("Throughput against speed, over the batch", tuple(headers), tuple(rows), left=())
