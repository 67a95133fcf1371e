"""How far predictions are from measurements, and what a fit of the latency model found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from cost_analysis.fitting.accuracy import (
    GROUPS,
    WITHIN,
    Errors,
    Prediction,
    Summary,
    ratios,
    summaries,
    summary,
)
from cost_analysis.fitting.coefficients import COEFFICIENTS, QUANTISED, Coefficient
from cost_analysis.fitting.coverage import Coverage
from cost_analysis.fitting.engine_fit import EngineFit
from cost_analysis.fitting.measurements import MEMORY_METRIC, Measurement
from cost_analysis.fitting.predictions import Floats
from cost_analysis.fitting.product_fit import DeviceFit
from cost_analysis.fitting.served_fit import FOLDS as SERVED_FOLDS
from cost_analysis.fitting.served_fit import SERVED
from cost_analysis.fitting.serving_runs import ServedRun
from cost_analysis.inputs.engine import Engine
from cost_analysis.report.render import Page, Table

Refused = Sequence[tuple[Measurement, str]]

WORST = 8
"""Rows that a page lists as the worst."""

HEADERS = ("rows", "median", "90 %", f"within {WITHIN:.0%}", "signed", "covered")


def accuracy_page(
    found: Sequence[Prediction], refused: Refused, coverage: Sequence[Coverage] = ()
) -> Page:
    """Errors by engine, hardware, metric, precision and source; ratios; the worst rows.

    Args:
        found: The predictions.
        refused: Rows that cannot be represented.
        coverage: Of sources, engines and devices left out when the engines were fitted.
    """
    times = [item for item in found if item.measurement.metric != MEMORY_METRIC]
    held = [item for item in found if item.measurement.metric == MEMORY_METRIC]
    tables = [_errors_table(f"Time by {by}", summaries(times, by)) for by in GROUPS if times]
    if held:
        tables.append(_errors_table("Peak memory by source", summaries(held, "source"), "memory"))
    tables += [table for table in (_ratio_table(times), _worst_table(times)) if table.rows]
    if refused:
        tables.append(_refused_table(refused))
    tables += coverage_tables(coverage)
    return Page(
        f"Predicted against measured: {len(found)} rows, {len(refused)} that cannot be represented",
        (_sentence(times),) if times else (),
        tuple(tables),
        NOTES,
    )


NOTES = (
    "errors are those of time: predicted / measured - 1, above 0 is too slow; a rate is judged by "
    "the time of a token",
    "covered: rows whose 80 % interval holds what was measured",
    "left out: of the fit and of its intervals; interval: the median, as multiples of the time",
    "an engine was fitted on some of these rows; `parscale-cost fit-latency` prints the errors on "
    "rows that a fit has not seen",
)


def coverage_tables(coverage: Sequence[Coverage]) -> list[Table]:
    """How many rows lie inside intervals that were made without them, and how wide those are."""
    titles = {
        "source": "Intervals of sources left out",
        "engine": "Intervals of engines left out, with the source",
        "device": "Intervals of devices left out, with the source",
        "format": "Intervals of sources left out, by format",
    }
    found = []
    for kind, title in titles.items():
        items = [item for item in coverage if item.left_out == kind]
        if not items:
            continue
        lines = [
            (item.name, f"{item.rows:,}", f"{item.covered:.0%}", f"{item.low:.2f}-{item.high:.2f}")
            for item in items
        ]
        mean = float(np.mean([item.covered for item in items]))
        rows = sum(item.rows for item in items)
        lines.append(("mean", f"{rows:,}", f"{mean:.0%}", ""))
        headers = ("", "rows", "covered", "interval")
        found.append(Table(title, headers, tuple(lines), last_is_total=True))
    return found


def _sentence(times: Sequence[Prediction]) -> str:
    whole = summary(np.array([item.error for item in times]))
    return (
        f"Time: median error {whole.median:.1%}, 90 % of rows within {whole.ninety:.1%}, "
        f"signed median {whole.signed:+.1%}"
    )


def _errors_table(title: str, groups: dict[str, Summary], kind: str = "time") -> Table:
    rows = tuple((name, *summary_cells(item)) for name, item in groups.items())
    # Memory has no interval.
    width = len(HEADERS) if kind == "time" else len(HEADERS) - 1
    return Table(title, ("", *HEADERS)[: 1 + width], tuple(row[: 1 + width] for row in rows))


def summary_cells(item: Summary) -> tuple[str, ...]:
    """The cells under `HEADERS`."""
    covered = "" if np.isnan(item.covered) else f"{item.covered:.0%}"
    return (
        f"{item.rows:,}",
        f"{item.median:.1%}",
        f"{item.ninety:.1%}",
        f"{item.near:.0%}",
        f"{item.signed:+.1%}",
        covered,
    )


def _ratio_table(times: Sequence[Prediction]) -> Table:
    rows = []
    for batch in (2, 4, 8):
        pairs = ratios(times, batch)
        for name in sorted({pair.small.engine_class for pair in pairs}):
            errors = np.array([pair.error for pair in pairs if pair.small.engine_class == name])
            item = summary(errors)
            cells = (str(item.rows), f"{item.median:.1%}", f"{item.signed:+.1%}")
            rows.append((f"{batch} over 1", name, *cells))
    headers = ("batches", "engine", "pairs", "median error of the ratio", "signed")
    return Table("Time of a batch over that of one sequence", headers, tuple(rows), left=(0, 1))


def _worst_table(times: Sequence[Prediction]) -> Table:
    worst = sorted(times, key=lambda item: -abs(np.log1p(item.error)))[:WORST]
    rows = tuple((item.measurement.texts["id"], f"{item.error:+.0%}", _why(item)) for item in worst)
    return Table("Worst rows", ("row", "error", "why it may be off"), rows, left=(0, 2))


def _why(item: Prediction) -> str:
    row, engine = item.measurement, item.engine
    known = engine.spread.devices if engine.spread else ()
    reasons = [
        f"no engine of its own: {engine.name}" if not engine.words else "",
        f"{engine.name} was not measured on {row.device.name}"
        if row.device.name not in known
        else "",
        f"{row.precision.weights} kernels differ" if row.precision.matrix.bits < 16 else "",
        f"{row.tensor_parallel} devices" if row.tensor_parallel > 1 else "",
        row.texts["note"].split(";")[0][:60],
    ]
    return "; ".join(filter(None, reasons)) or "nothing known"


def _refused_table(refused: Refused) -> Table:
    counts = Counter(reason for _, reason in refused)
    first = {reason: row.texts["id"] for row, reason in reversed(list(refused))}
    rows = tuple((reason, str(count), first[reason]) for reason, count in counts.most_common())
    return Table("Rows that cannot be represented", ("why", "rows", "first"), rows, left=(0, 2))


def accuracy_rows(found: Sequence[Prediction], refused: Refused) -> Iterator[dict[str, Any]]:
    """One flat row a measurement, those that cannot be represented last, with the reason."""
    for item in found:
        row = item.measurement
        yield {
            "id": row.texts["id"],
            "metric": row.metric,
            "engine": item.engine.name,
            "measured": row.value,
            "predicted": item.predicted,
            "lower": item.lower,
            "upper": item.upper,
            "error": item.error,
            "not_represented": "",
        }
    for row, reason in refused:
        empty = dict.fromkeys(("engine", "predicted", "lower", "upper", "error"))
        yield {
            "id": row.texts["id"],
            "metric": row.metric,
            "engine": empty["engine"],
            "measured": row.value,
            **{name: empty[name] for name in ("predicted", "lower", "upper", "error")},
            "not_represented": reason,
        }


def fit_page(
    rows: Sequence[Measurement],
    errors: Errors,
    fit: EngineFit,
    devices: Sequence[DeviceFit],
    coverage: Sequence[Coverage] = (),
) -> Page:
    """Errors in the sample and held out, by engine class; coverage; coefficients; devices."""
    tables = [
        _fit_errors_table(rows, errors, wide=True),
        _fit_errors_table(rows, errors, wide=False),
    ]
    tables = [table for table in tables if table.rows] + coverage_tables(coverage)
    fitted = (*COEFFICIENTS, *QUANTISED)
    tables += [coefficients_table(fit, name, fitted) for name in fit.engines]
    if devices:
        tables.append(_devices_table(devices))
    return Page(
        f"The latency model fitted to {len(rows)} rows of {len(_sources(rows))} sources",
        (),
        tuple(tables),
        (
            "held out by source (model): the fit has seen no row of the row's source (model)",
            "left out: of the fit and of the intervals too",
            "± is the standard error of the fit, the prior included",
        ),
    )


def _sources(rows: Sequence[Measurement]) -> set[str]:
    return {row.texts["source_id"] for row in rows}


def _fit_errors_table(rows: Sequence[Measurement], errors: Errors, *, wide: bool) -> Table:
    chosen = np.array([(row.precision.matrix.bits >= 16) == wide for row in rows])
    classes = np.array([row.engine_class for row in rows])
    lines = [
        (name, how, *summary_cells(summary(np.expm1(logs[own])))[:-1])
        for name in sorted(set(classes))
        for how, logs in errors.items()
        if (own := chosen & (classes == name)).any()
    ]
    title = "16-bit rows" if wide else "Rows with narrower weights"
    return Table(title, ("class", "errors", *HEADERS[:-1]), tuple(lines), left=(0, 1))


def coefficients_table(fit: EngineFit, name: str, fitted: Sequence[Coefficient]) -> Table:
    """The fitted coefficients of an engine, with their standard errors."""
    errors = fit.uncertainty[name]
    lines = tuple(
        (item.name, _figure(fit.engines[name], item), f"±{errors[item.name]:.0%}")
        for item in fitted
        if item.name in errors
    )
    title = f"{name}: {fit.rows.get(name, 0)} rows"
    return Table(title, ("coefficient", "value", "error"), lines)


def _figure(engine: Engine, item: Coefficient) -> str:
    field = item.name.removeprefix("attention.")
    value = getattr(engine.attention if field != item.name else engine, field)
    return f"{value * 1e6:.3g} us" if item.high < 0.1 else f"{value:.3g}"


def _devices_table(devices: Sequence[DeviceFit]) -> Table:
    lines = tuple(
        (
            item.device,
            f"{item.floor * 1e6:.1f} us",
            f"{item.flops:.3f}",
            f"{item.bandwidth:.3f}",
            *summary_cells(summary(item.errors))[:-1],
        )
        for item in devices
    )
    headers = ("device", "floor", "of peak", "of bandwidth", *HEADERS[:-1])
    return Table("Matrix products of single operators", headers, lines)


def fit_rows(rows: Sequence[Measurement], errors: Errors) -> list[dict[str, Any]]:
    """One flat row a measurement: predicted / measured time, in the sample and held out."""
    return [
        {
            "id": row.texts["id"],
            "engine_class": row.engine_class,
            "hardware": row.device.name,
            "weight_dtype": row.precision.weights,
            **{how: float(np.exp(logs[place])) for how, logs in errors.items()},
        }
        for place, row in enumerate(rows)
    ]


SERVED_GROUPS: dict[str, Callable[[ServedRun], str]] = {
    "engine": lambda run: f"{run.engine}, {run.statistic}",
    "device": lambda run: run.hardware,
    "format": lambda run: (
        run.weights if run.weights == run.experts else f"{run.experts}, attention {run.weights}"
    ),
    "model": lambda run: run.profile,
}
"""Properties of a run by which errors are grouped."""

RefusedRuns = Sequence[tuple[ServedRun, str]]


def served_tables(
    runs: Sequence[ServedRun], errors: Errors, fit: EngineFit, refused: RefusedRuns
) -> tuple[Table, ...]:
    """Errors by engine and how they were left out; by device, format, model; coefficients."""
    by_model = errors[next(iter(SERVED_FOLDS))]
    counts = Counter(reason for _, reason in refused)
    rows = tuple((reason, str(count)) for reason, count in counts.most_common())
    return (
        _folds_table(runs, errors),
        *(_groups_table(runs, by_model, by) for by in SERVED_GROUPS if by != "engine"),
        *(coefficients_table(fit, name, SERVED) for name in fit.engines),
        *([Table("Runs that are not used", ("why", "runs"), rows)] if rows else []),
    )


def _folds_table(runs: Sequence[ServedRun], errors: Errors) -> Table:
    engines = np.array([SERVED_GROUPS["engine"](run) for run in runs])
    lines = [
        (name, how, *summary_cells(summary(np.expm1(logs[engines == name])))[:-1])
        for name in sorted(set(engines))
        for how, logs in errors.items()
    ]
    title = "Time per token of serving engines, mean or median"
    return Table(title, ("engine", "errors", *HEADERS[:-1]), tuple(lines), left=(0, 1))


def _groups_table(runs: Sequence[ServedRun], logs: Floats, by: str) -> Table:
    groups = np.array([SERVED_GROUPS[by](run) for run in runs])
    lines = [
        (name, *summary_cells(summary(np.expm1(logs[groups == name])))[:-1])
        for name in sorted(set(groups))
    ]
    return Table(f"The model held out, by {by}", ("", *HEADERS[:-1]), tuple(lines))


def served_page(
    runs: Sequence[ServedRun], errors: Errors, fit: EngineFit, refused: RefusedRuns
) -> Page:
    """The page of a fit of the serving engines alone."""
    return Page(
        f"Engines of today fitted to {len(runs)} runs of {len({r.profile for r in runs})} models",
        (),
        served_tables(runs, errors, fit, refused),
        SERVED_NOTES,
    )


SERVED_NOTES = (
    "held out by model (device): the fit has seen no run of the run's model (device)",
    "mean: with the prompts of other requests in between; median: without",
    "± is the standard error of the fit, the prior included",
)


def served_fit_rows(runs: Sequence[ServedRun], errors: Errors) -> list[dict[str, Any]]:
    """One flat row a run: predicted / measured time, in the sample and held out."""
    return [
        {
            "id": run.id,
            "engine": run.engine,
            "hardware": run.hardware,
            "weight_dtype": run.experts,
            **{how: float(np.exp(logs[place])) for how, logs in errors.items()},
        }
        for place, run in enumerate(runs)
    ]
