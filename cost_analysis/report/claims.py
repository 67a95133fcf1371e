"""Claims, crossovers, and claims by storage format as records and pages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from cost_analysis.common.arrays import single
from cost_analysis.common.checks import FLAGS
from cost_analysis.common.units import format_bytes, format_ratio, format_seconds
from cost_analysis.compare.claims import FormatClaim, Law, Ratio, Reading, Terms
from cost_analysis.compare.cost_models import Setting
from cost_analysis.compare.crossover import Crossing
from cost_analysis.inputs.dtypes import Precision
from cost_analysis.inputs.spec import ModelSpec
from cost_analysis.inputs.system import System
from cost_analysis.law.equal_loss import Baseline
from cost_analysis.law.runs import DATASET_NAMES
from cost_analysis.law.scaling_law import residuals
from cost_analysis.report.estimate_record import finite
from cost_analysis.report.render import Page, Record, Table, whole

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
        "baseline_parameters": None
        if baseline is None
        else whole(round(single(baseline.parameters))),
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
    listed_ratios = "; ".join(f"{engine} {', '.join(cells)}" for engine, cells in ratios.items())
    return [f"latency by engine (operators, {of.method}, {of.dataset}): {listed_ratios}"]


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


_UNITS = {
    "memory": "bytes",
    "weights": "bytes",
    "learned": "bytes",
    "cache": "bytes",
    "activations": "bytes",
    "latency": "s",
    "prefill": "s",
    "decode": "s",
}


def format_claim_record(claim: FormatClaim) -> Record:
    """A claim as one flat record."""
    formats = claim.precision
    return {
        FLAGS["weights"]: formats.weights,
        FLAGS["activations"]: formats.activations,
        FLAGS["kv_cache"]: formats.kv_cache,
        "memory_ratio": finite(claim.memory_ratio),
        "latency_ratio": finite(claim.latency_ratio),
        **_increases("wider", claim.wider),
        **_increases("streams", claim.streams),
    }


def _increases(who: str, terms: Terms) -> Record:
    return {f"{who}_{name}_{unit}": getattr(terms, name) for name, unit in _UNITS.items()}


def format_claims_page(
    claims: Sequence[FormatClaim],
    streamed: ModelSpec,
    baseline: Baseline,
    setting: Setting,
    system: System,
) -> Page:
    """What the wider model and the streams add in each choice of formats."""
    batch, prompt, output = (
        listed(getattr(setting, name))
        for name in ("batch_sizes", "input_lengths", "output_lengths")
    )
    return Page(
        f"What {streamed.streams} streams add to {streamed.name.upper()} in fewer bits, and what "
        "parameters add",
        (
            f"batch {batch}, the mean over input {prompt} and output {output} tokens,",
            f"on {system.hardware.description}, engine {system.engine.name}",
            f"wider, by {baseline.method}: {baseline.description}",
        ),
        (_memory_table(claims), _time_table(claims)),
        (
            "format: weights/activations/cache",
            "ratio: what the wider model adds to P = 1, over what the streams add",
            "learned: prefixes and aggregator, which stay 16-bit",
            *_narrow_products(claims, system),
            *baseline.warnings,
        ),
    )


def _memory_table(claims: Sequence[FormatClaim]) -> Table:
    rows = tuple(
        (
            _formats(claim.precision),
            format_bytes(claim.wider.memory),
            format_bytes(claim.streams.learned),
            format_bytes(claim.streams.cache),
            format_bytes(claim.streams.activations),
            format_ratio(claim.memory_ratio),
        )
        for claim in claims
    )
    headers = ("format", "wider adds", "streams: learned", "cache", "activations", "ratio")
    return Table("Memory", headers, rows)


def _time_table(claims: Sequence[FormatClaim]) -> Table:
    rows = tuple(
        (
            _formats(claim.precision),
            format_seconds(claim.wider.prefill),
            format_seconds(claim.wider.decode),
            format_seconds(claim.streams.prefill),
            format_seconds(claim.streams.decode),
            format_ratio(claim.latency_ratio),
        )
        for claim in claims
    )
    headers = ("format", "wider: prefill", "decode", "streams: prefill", "decode", "ratio")
    return Table("Latency", headers, rows)


def _formats(formats: Precision) -> str:
    return f"{formats.weights}/{formats.activations}/{formats.kv_cache}"


def _narrow_products(claims: Sequence[FormatClaim], system: System) -> list[str]:
    """What the device computes in a wider type."""
    used = {
        dtype.unit: system.hardware.peak_dtype(dtype)
        for dtype in (claim.precision.compute for claim in claims)
    }
    return [
        f"{system.hardware.name} has no {unit} units: {unit} products are computed in {wider}"
        for unit, wider in used.items()
        if unit != wider
    ]
