"""What a fit of the latency model found, in words: errors, coefficients, devices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cost_analysis.accuracy import summary
from cost_analysis.accuracy_pages import HEADERS, summary_cells
from cost_analysis.coefficients import COEFFICIENTS, QUANTISED, Coefficient
from cost_analysis.latency_fit import EngineFit
from cost_analysis.latency_folds import Errors
from cost_analysis.measurements import Measurement
from cost_analysis.operator_fit import DeviceFit
from cost_analysis.report import Page, Table
from cost_analysis.system import Engine


def fit_page(
    rows: Sequence[Measurement], errors: Errors, fit: EngineFit, devices: Sequence[DeviceFit]
) -> Page:
    """Errors in the sample and held out, by engine class; coefficients; devices."""
    tables = [_errors_table(rows, errors, wide=True), _errors_table(rows, errors, wide=False)]
    tables = [table for table in tables if table.rows]
    tables += [_coefficients_table(fit, name) for name in fit.engines]
    if devices:
        tables.append(_devices_table(devices))
    return Page(
        f"The latency model fitted to {len(rows)} rows of {len(_sources(rows))} sources",
        (),
        tuple(tables),
        (
            "held out by source (model): the fit has seen no row of the row's source (model)",
            "± is the standard error of the fit, the prior included",
        ),
    )


def _sources(rows: Sequence[Measurement]) -> set[str]:
    return {row.texts["source_id"] for row in rows}


def _errors_table(rows: Sequence[Measurement], errors: Errors, *, wide: bool) -> Table:
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


def _coefficients_table(fit: EngineFit, name: str) -> Table:
    errors = fit.uncertainty[name]
    lines = tuple(
        (item.name, _figure(fit.engines[name], item), f"±{errors[item.name]:.0%}")
        for item in (*COEFFICIENTS, *QUANTISED)
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
