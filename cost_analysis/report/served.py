"""What a fit of the serving engines found: errors on models not seen, and coefficients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cost_analysis.fitting.accuracy import summary
from cost_analysis.fitting.engine_fit import EngineFit
from cost_analysis.fitting.predictions import Floats
from cost_analysis.fitting.served_fit import FOLDS, SERVED
from cost_analysis.fitting.serving_runs import ServedRun
from cost_analysis.report.accuracy import HEADERS, coefficients_table, summary_cells
from cost_analysis.report.render import Page, Table

GROUPS: dict[str, Callable[[ServedRun], str]] = {
    "engine": lambda run: f"{run.engine}, {run.statistic}",
    "device": lambda run: run.hardware,
    "format": lambda run: (
        run.weights if run.weights == run.experts else f"{run.experts}, attention {run.weights}"
    ),
    "model": lambda run: run.profile,
}
"""Properties of a run by which errors are grouped."""

Errors = dict[str, Floats]
Refused = Sequence[tuple[ServedRun, str]]


def served_tables(
    runs: Sequence[ServedRun], errors: Errors, fit: EngineFit, refused: Refused
) -> tuple[Table, ...]:
    """Errors by engine and how they were left out; by device, format, model; coefficients."""
    counts = Counter(reason for _, reason in refused)
    rows = tuple((reason, str(count)) for reason, count in counts.most_common())
    return (
        _folds_table(runs, errors),
        *(_groups_table(runs, errors[next(iter(FOLDS))], by) for by in GROUPS if by != "engine"),
        *(coefficients_table(fit, name, SERVED) for name in fit.engines),
        *([Table("Runs that are not used", ("why", "runs"), rows)] if rows else []),
    )


def _folds_table(runs: Sequence[ServedRun], errors: Errors) -> Table:
    engines = np.array([GROUPS["engine"](run) for run in runs])
    lines = [
        (name, how, *summary_cells(summary(np.expm1(logs[engines == name])))[:-1])
        for name in sorted(set(engines))
        for how, logs in errors.items()
    ]
    title = "Time per token of serving engines, mean or median"
    return Table(title, ("engine", "errors", *HEADERS[:-1]), tuple(lines), left=(0, 1))


def _groups_table(runs: Sequence[ServedRun], logs: Floats, by: str) -> Table:
    groups = np.array([GROUPS[by](run) for run in runs])
    lines = [
        (name, *summary_cells(summary(np.expm1(logs[groups == name])))[:-1])
        for name in sorted(set(groups))
    ]
    return Table(f"The model held out, by {by}", ("", *HEADERS[:-1]), tuple(lines))


def served_page(
    runs: Sequence[ServedRun], errors: Errors, fit: EngineFit, refused: Refused
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
