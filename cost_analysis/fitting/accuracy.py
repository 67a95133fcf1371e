"""Predictions compared with measurements: errors, intervals, and cross-validation.

The error of a time is predicted / measured - 1: above 0 is too slow. A rate is judged by the time
that it stands for, so that its error has the same sense.

A fold is a source, a model, a device or an engine: all its rows are left out, the engines are
fitted to the others, and the fold is predicted. The 80 % interval of a prediction comes from these
errors (`fitting/intervals.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cost_analysis.common.arrays import single
from cost_analysis.common.errors import InputError
from cost_analysis.common.units import GIB, gib
from cost_analysis.cost.activations import FLOAT32
from cost_analysis.cost.memory import kv_cache_bytes, memory
from cost_analysis.fitting.engine_fit import EngineFit, fit_engines
from cost_analysis.fitting.held_out import HeldOut, held_out, traits_of
from cost_analysis.fitting.intervals import Calibration, calibrated
from cost_analysis.fitting.measurements import MEMORY_METRIC, SIZES, Measurement
from cost_analysis.fitting.predictions import (
    Floats,
    engine_of,
    in_own_unit,
    measured_seconds,
    rows_of,
    stacked_engine,
)
from cost_analysis.inputs.engine import Engine, Spread
from cost_analysis.inputs.layout import Layout
from cost_analysis.inputs.spec import ModelSpec, Workload

WITHIN = 0.3
"""Error within which a row counts as near."""

DEVICE_OVERHEAD = 2.9 * GIB
"""Memory that FasterTransformer's figure of the whole device includes beside weights, cache and
activations [B]: CUDA context and cuBLAS workspaces; the middle of what its smallest rows show."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """A measurement and what the model predicts.

    Attributes:
        measurement: The row.
        engine: The engine that it was predicted with.
        predicted: In the metric's own unit.
        lower: Lower end of the 80 % interval; the prediction itself for memory.
        upper: Upper end.
        error: Of the time that the metric stands for, or of the memory; above 0 is too much.
    """

    measurement: Measurement
    engine: Engine
    predicted: float
    lower: float
    upper: float
    error: float

    @property
    def covered(self) -> bool:
        """The interval holds what was measured."""
        return self.lower <= self.measurement.value <= self.upper


@dataclass(frozen=True, slots=True)
class Summary:
    """The errors of some rows.

    Attributes:
        rows: How many.
        median: Median of the absolute errors.
        ninety: 90th percentile of the absolute errors.
        near: Share of the rows within `WITHIN`.
        signed: Median of the errors; above 0 is too slow.
        covered: Share of the rows whose interval holds the measured value.
    """

    rows: int
    median: float
    ninety: float
    near: float
    signed: float
    covered: float = float("nan")


def summary(errors: Floats, covered: Sequence[bool] = ()) -> Summary:
    """The errors of some rows, of which there must be one."""
    sizes = np.abs(errors)
    return Summary(
        rows=len(errors),
        median=float(np.median(sizes)),
        ninety=float(np.quantile(sizes, 0.9)),
        near=float(np.mean(sizes <= WITHIN)),
        signed=float(np.median(errors)),
        covered=float(np.mean(covered)) if len(covered) else float("nan"),
    )


def represented(
    measurements: Iterable[Measurement],
) -> tuple[list[Measurement], list[tuple[Measurement, str]]]:
    """The rows that the model can represent, and the others with the reason."""
    kept, refused = [], []
    for row in measurements:
        reason = row.refusal or _unknown_engine(row)
        if reason:
            refused.append((row, reason))
        else:
            kept.append(row)
    return kept, refused


def _unknown_engine(row: Measurement) -> str:
    try:
        engine_of(row)
    except InputError as error:
        return str(error)
    return ""


def predictions(measurements: Sequence[Measurement]) -> list[Prediction]:
    """Predictions of rows that the model can represent (`represented`), in their order."""
    found: dict[int, Prediction] = {}
    times = [place for place, row in enumerate(measurements) if row.metric != MEMORY_METRIC]
    timed = [measurements[place] for place in times]
    engines = [engine_of(row) for row in timed]
    for rows in rows_of(timed):
        seconds = rows.predicted(stacked_engine([engines[place] for place in rows.places]))
        for place, time in zip(rows.places, seconds, strict=True):
            found[times[place]] = _timed(timed[place], engines[place], float(time))
    for place, row in enumerate(measurements):
        if row.metric == MEMORY_METRIC:
            found[place] = _weighed(row)
    return [found[place] for place in range(len(measurements))]


def _timed(row: Measurement, engine: Engine, seconds: float) -> Prediction:
    narrow, spread = row.precision.matrix.bits < 16, engine.spread or Spread()
    ends = spread.interval(seconds, row.device.name, narrow=narrow)
    low, high = sorted(in_own_unit(row, single(end)) for end in ends)
    error = seconds / measured_seconds(row) - 1.0
    return Prediction(row, engine, in_own_unit(row, seconds), low, high, error)


def _weighed(row: Measurement) -> Prediction:
    needed = gib(peak_memory(row))
    return Prediction(row, engine_of(row), needed, needed, needed, needed / row.value - 1.0)


def peak_memory(row: Measurement) -> float:
    """Peak memory of a row's run, as its source counts it [B].

    The model's own total, and what else the source's note says is included: a second copy of
    the KV cache (transformers 4.35 concatenates it at every step), float32 logits of every prompt
    position, or everything on the device.
    """
    sizes: dict[str, Any] = dict(row.sizes)
    spec = ModelSpec(
        **sizes,
        gated_mlp=row.switches["gated_mlp"],
        qkv_bias=False,
        tie_word_embeddings=row.switches["tie_word_embeddings"],
    )
    lengths = {name: max(length, 1) for name, length in row.lengths.items()}
    work, note = Workload(**lengths, logits=row.logits), row.texts["note"]
    layout = Layout(tensor_parallel=row.tensor_parallel)
    held = memory(spec, work, row.precision, layout)
    total = float(held.weights + held.kv_cache + held.activations)
    if "2 x KV" in note:
        cached = kv_cache_bytes(spec, work.batch_size, work.cached_tokens, row.precision, layout)
        total = max(total, float(held.weights + 2.0 * cached))
    if "fp32, all positions" in note:
        total += float(work.batch_size * work.input_length * spec.vocab_size * FLOAT32)
    return total + (DEVICE_OVERHEAD if "everything on the device" in note else 0.0)


GROUPS: dict[str, Callable[[Measurement], str]] = {
    "engine": lambda row: row.engine_class,
    "hardware": lambda row: row.device.name,
    "metric": lambda row: row.metric,
    "precision": lambda row: row.precision.weights,
    "devices": lambda row: f"{row.tensor_parallel}",
    "source": lambda row: row.texts["source_id"],
}
"""Properties of a row by which errors are grouped."""


def summaries(found: Sequence[Prediction], by: str) -> dict[str, Summary]:
    """The errors of each group of rows, by one of `GROUPS`."""
    groups = defaultdict(list)
    for item in found:
        groups[GROUPS[by](item.measurement)].append(item)
    return {
        name: summary(
            np.array([item.error for item in groups[name]]), [item.covered for item in groups[name]]
        )
        for name in sorted(groups)
    }


@dataclass(frozen=True, slots=True)
class Ratio:
    """How the time grew from one batch to a larger one, measured and predicted.

    Attributes:
        small: The row of the smaller batch.
        large: The row of the larger batch.
        measured: Time of the larger batch over that of the smaller.
        predicted: The same of the model.
    """

    small: Measurement
    large: Measurement
    measured: float
    predicted: float

    @property
    def error(self) -> float:
        """Of the ratio; above 0 is too much."""
        return self.predicted / self.measured - 1.0


def ratios(found: Sequence[Prediction], batch: int) -> list[Ratio]:
    """Rows of one sequence beside rows of `batch` that differ in nothing else.

    P streams of one sequence are P rows of every matrix product, as P sequences are: what a batch
    costs against one sequence is what streams cost against one.
    """
    groups: dict[tuple[object, ...], dict[int, Prediction]] = defaultdict(dict)
    for item in found:
        row = item.measurement
        if row.metric == MEMORY_METRIC:
            continue
        same = [*(row.texts[name] for name in ("source_id", "model", "engine_detail", "hardware"))]
        same += [row.texts["weight_dtype"], row.metric]
        same += [str(row.lengths["input_length"]), str(row.lengths["output_length"])]
        same += [str(row.tensor_parallel), *(str(row.sizes[name]) for name in SIZES)]
        groups[tuple(same)][row.lengths["batch_size"]] = item
    pairs = [group for group in groups.values() if 1 in group and batch in group]
    return [_ratio(pair[1], pair[batch]) for pair in pairs]


def _ratio(small: Prediction, large: Prediction) -> Ratio:
    """Times of the whole batch: a rate counts tokens, of which a larger batch has more."""

    def step(item: Prediction, seconds: float) -> float:
        row = item.measurement
        return seconds * (row.lengths["batch_size"] if row.is_rate else 1)

    times = [
        (step(item, measured_seconds(item.measurement)), item.error) for item in (small, large)
    ]
    measured = times[1][0] / times[0][0]
    return Ratio(
        small.measurement,
        large.measurement,
        measured,
        measured * (1.0 + times[1][1]) / (1.0 + times[0][1]),
    )


IN_SAMPLE = "in the sample"
FOLDS: dict[str, Callable[[Measurement], str]] = {
    "held out by source": lambda row: row.texts["source_id"],
    "held out by model": lambda row: row.texts["model"],
    "held out by device": lambda row: row.device.name,
    "held out by engine": lambda row: engine_of(row).name,
}
"""Properties by which rows are left out together."""

Errors = dict[str, Floats]
"""ln(predicted / measured) of the same rows: in the sample, and by each of `FOLDS`."""


def fold_errors(measurements: Sequence[Measurement], fit: EngineFit) -> Errors:
    """The errors of a fit on its rows, and of fits that have not seen a row's fold."""
    held = {how: held_out_errors(measurements, group) for how, group in FOLDS.items()}
    return {IN_SAMPLE: fit.errors(measurements), **held}


def held_out_errors(
    measurements: Sequence[Measurement],
    group: Callable[[Measurement], str],
    most_evaluations: int = 50,
) -> Floats:
    """ln(predicted / measured time) of each row by a fit that has seen no row of its group.

    Args:
        measurements: Rows of time that the model can represent.
        group: What is held out together, e.g. the source.
        most_evaluations: Evaluations after which each fit ends.
    """
    groups = [group(row) for row in measurements]
    errors = np.empty(len(measurements))
    for name in sorted(set(groups)):
        seen = [row for row, own in zip(measurements, groups, strict=True) if own != name]
        places = [place for place, own in enumerate(groups) if own == name]
        fit = fit_engines(seen, most_evaluations)
        errors[places] = fit.errors([measurements[place] for place in places])
    return errors


def held_out_points(measurements: Sequence[Measurement], errors: Errors) -> HeldOut:
    """The errors of each of `FOLDS`, with what was new about each row: what intervals rest on."""
    labels = {how: [group(row) for row in measurements] for how, group in FOLDS.items()}
    return held_out([traits_of(row) for row in measurements], errors, labels)


def described(fit: EngineFit, measurements: Sequence[Measurement], errors: Errors) -> EngineFit:
    """The fit with the source of each engine in words, and its spread.

    A class without rows is left out: nothing determines its coefficients. With too few sources
    there are no spreads.
    """
    calibration: Calibration | None = None
    with suppress(InputError):
        calibration = calibrated(held_out_points(measurements, errors))
    engines = {
        name: replace(
            engine,
            source=_source(name, measurements, errors),
            spread=_spread(engine, measurements, calibration) if calibration else None,
        )
        for name, engine in fit.engines.items()
        if fit.rows[name]
    }
    return replace(fit, engines=engines)


def _spread(
    engine: Engine, measurements: Sequence[Measurement], calibration: Calibration
) -> Spread:
    of_class = engine.name == engine.engine_class
    devices = {
        row.device.name
        for row in measurements
        if engine.name in (engine_of(row).name, row.engine_class)
    }
    return calibration.spread(engine.name, sorted(devices), of_class=of_class)


def _source(name: str, measurements: Sequence[Measurement], errors: Errors) -> str:
    """What an engine was fitted on, and its errors."""
    own = np.array([name in (engine_of(row).name, row.engine_class) for row in measurements])
    rows = [row for row, is_own in zip(measurements, own, strict=True) if is_own]
    sources = sorted({row.texts["source_id"] for row in rows})
    devices = sorted({row.device.name for row in rows})
    named = ", ".join(devices) if len(devices) < 4 else f"{len(devices)} devices"
    seen, held = (np.abs(np.expm1(errors[how][own])) for how in (IN_SAMPLE, "held out by source"))
    return (
        f"parscale-cost fit-latency on {len(rows)} published rows ({', '.join(sources)}; {named}): "
        f"median error {np.median(seen):.1%} on them, {np.median(held):.1%} by a fit that has not "
        "seen their source"
    )
