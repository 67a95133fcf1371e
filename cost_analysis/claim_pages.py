"""Claims, comparisons and crossovers as records and pages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from cost_analysis.claims import Law, Ratio, Reading
from cost_analysis.crossings import Crossing
from cost_analysis.records import Record, finite, whole
from cost_analysis.report import Page, Table
from cost_analysis.scaling_law import residuals
from cost_analysis.training_runs import DATASET_NAMES
from cost_analysis.units import format_count, format_ratio

INTERVAL = len(" (16.3-20.5)")
"""Width of an interval behind a ratio."""


def listed(values: Sequence[int]) -> int | str:
    """Values as a record holds them: the number itself, or "1,2,4,8" for a mean over several."""
    distinct = list(dict.fromkeys(values))
    return distinct[0] if len(distinct) == 1 else ",".join(map(str, values))


def reading_record(reading: Reading) -> Record:
    """A reading as one flat record."""
    baseline = reading.baseline
    return {
        "cost_model": reading.cost_model,
        "engine": reading.engine,
        "baseline": reading.method,
        "dataset": reading.dataset,
        "base": reading.base.name.upper(),
        "P": reading.streams,
        "batch_size": listed(reading.setting.batch_sizes),
        "input_length": listed(reading.setting.input_lengths),
        "output_length": listed(reading.setting.output_lengths),
        **_ratio_columns("memory", reading.memory),
        **_ratio_columns("latency", reading.latency),
        "baseline_parameters": None if baseline is None else whole(round(baseline.parameters)),
        "baseline_description": "" if baseline is None else baseline.description,
        "note": reading.note,
    }


def _ratio_columns(name: str, ratio: Ratio) -> Record:
    return {
        f"{name}_ratio": finite(ratio.value),
        f"{name}_ratio_low": ratio.low,
        f"{name}_ratio_high": ratio.high,
    }


def claims_page(
    readings: Sequence[Reading],
    by_engine: Sequence[Reading],
    laws: Mapping[str, Law],
    level: float,
) -> Page:
    """All readings side by side, what their spread means, and the latency by other engines."""
    first = readings[0]
    rows = tuple(
        (
            reading.cost_model,
            reading.method,
            reading.dataset,
            str(listed(reading.setting.batch_sizes)),
            _ratio_cell(reading.memory),
            _ratio_cell(reading.latency),
        )
        for reading in readings
    )
    headers = ("costs", "baseline", "data", "batch", "memory", "latency")
    lengths = [listed(getattr(first.setting, f"{end}_lengths")) for end in ("input", "output")]
    title = (
        f"How many times less do {first.streams} streams add to {first.base.name.upper()} than "
        "parameters do"
    )
    summary = (
        "for the same loss: (parameter-scaled model - base) / (streamed model - base),",
        f"cost as the mean over input {lengths[0]} and output {lengths[1]} tokens",
        "",
        *_wrapped(_spread_sentence(readings)),
    )
    table = Table("Readings", headers, rows, left=(0, 1, 2, 3))
    notes = (*_engine_note(readings, by_engine), *_claim_notes(readings, laws, level))
    return Page(title, summary, (table,), notes)


def _engine_note(readings: Sequence[Reading], by_engine: Sequence[Reading]) -> list[str]:
    """What the latency claim becomes by each engine; nothing without engines."""
    if not by_engine:
        return []
    of = by_engine[0]
    ratios: dict[str, list[str]] = {}
    for reading in (*readings, *by_engine):
        if reading.engine and (reading.method, reading.dataset) == (of.method, of.dataset):
            ratios.setdefault(reading.engine, []).append(_ratio_cell(reading.latency).rstrip())
    told = "; ".join(f"{engine} {', '.join(cells)}" for engine, cells in ratios.items())
    return [f"latency by engine (operators, {of.method}, {of.dataset}): {told}"]


def _ratio_cell(ratio: Ratio) -> str:
    """A ratio and its interval, the ratios of a column one below the other."""
    if ratio.low is None:
        return format_ratio(ratio.value) + " " * INTERVAL
    return format_ratio(ratio.value) + f" ({ratio.low:#.3g}-{ratio.high:#.3g})".ljust(INTERVAL)


def _wrapped(text: str) -> list[str]:
    return [text] if text else []


def _spread_sentence(readings: Sequence[Reading]) -> str:
    parts = []
    for name in ("memory", "latency"):
        values = [getattr(reading, name).value for reading in readings]
        values = list(filter(math.isfinite, values))
        if values:
            parts.append(f"{min(values):.3g} to {max(values):.3g} times in {name}")
    if not parts:
        return "No reading of the claim exists here: see the notes."
    return (
        f"The same claim reads as {' and '.join(parts)}: which batch is meant matters most, then "
        "whose costs are counted, then which model is taken as equal."
    )


def _claim_notes(readings: Sequence[Reading], laws: Mapping[str, Law], level: float) -> list[str]:
    notes = []
    engine_note = "operators: our cost model on the engine and device asked for"
    notes.append(f"published: the paper's cost model; {engine_note}")
    for dataset, law in laws.items():
        worst = residuals(law.fitted.law, law.fitted.runs)[0]
        notes.append(
            f"law on {DATASET_NAMES[dataset]}: its largest residual is the run {worst.size}, "
            f"P = {worst.streams} (measured {worst.observed:.4f}, fitted "
            f"{worst.observed + worst.error:.4f})"
            + _hangs_on(readings, dataset, worst.size, worst.streams)
        )
    if any(reading.memory.low is not None for reading in readings):
        notes.append(f"intervals: {level:.0%} of bootstrap refits of the law on resampled runs")
    notes += dict.fromkeys(
        f"{reading.cost_model}, {reading.method}, {reading.dataset}: {reading.note}"
        for reading in readings
        if reading.note and reading.cost_model == readings[0].cost_model
    )
    return notes


def _hangs_on(readings: Sequence[Reading], dataset: str, size: str, streams: int) -> str:
    """Whether the measured baseline of a data set is interpolated from that very run."""
    for reading in readings:
        if reading.method == "measured" and reading.dataset == dataset and reading.baseline:
            used = {
                spec.name
                for spec, weight in zip(
                    reading.baseline.specs, reading.baseline.weights, strict=True
                )
                if weight
            }
            if streams == 1 and size.lower() in used:
                return ": the very point that the measured baseline hangs on"
    return ""


def crossing_record(crossing: Crossing) -> Record:
    """A crossing as one flat record."""
    return {
        "axis": crossing.axis,
        "metric": crossing.metric,
        "cost_model": crossing.cost_model,
        "device": crossing.device,
        "crossover": crossing.found.first,
        "searched_from": crossing.found.lowest,
        "searched_to": crossing.found.last,
        "meaning": crossing.meaning,
    }


def crossover_page(
    crossings: Sequence[Crossing], title: str, ridges: Mapping[str, float], notes: Sequence[str]
) -> Page:
    """Where each advantage ends."""
    rows = tuple(
        (
            crossing.device,
            crossing.cost_model,
            crossing.metric,
            crossing.axis,
            crossing.meaning,
        )
        for crossing in crossings
    )
    headers = ("device", "costs", "metric", "axis", "streams stop paying at")
    ridge_rows = tuple((name, f"{value:.0f}") for name, value in ridges.items())
    return Page(
        title,
        (),
        (
            Table("Crossovers", headers, rows, left=(0, 1, 2, 3, 4)),
            Table(
                "Streams × batch that ride free (ridge point of a weight matrix)",
                ("device", "token-streams"),
                ridge_rows,
            ),
        ),
        tuple(notes),
    )


def fit_page(fitted_rows: Sequence[Record], title: str, notes: Sequence[str]) -> Page:
    """A fitted law with its intervals."""
    rows = tuple(
        (
            row["parameter"],
            _significant(row["value"]),
            _interval(row, "bootstrap"),
            _interval(row, "leave_one_out"),
        )
        for row in fitted_rows
    )
    headers = ("", "value", "bootstrap", "leaving out one size")
    return Page(
        title, (), (Table("loss = E + (A / (N (1 + k ln P)))^alpha", headers, rows),), tuple(notes)
    )


def _interval(row: Record, method: str) -> str:
    low, high = row[f"{method}_low"], row[f"{method}_high"]
    return "" if low is None else f"{_significant(low)} to {_significant(high)}"


def _significant(value: float) -> str:
    return format_count(value) if value >= 1e5 else f"{value:.4f}"
