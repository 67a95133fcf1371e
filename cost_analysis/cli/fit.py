"""The commands `fit`, `accuracy` and `fit-latency`: the scaling law and the latency model.

NumPy and SciPy are imported when a command runs, so that the help does not load them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cost_analysis.cli.flags import Flags, SectionedCommand, flag, takes_flags
from cost_analysis.cli.options import MEASUREMENTS_HELP, dataset_flag
from cost_analysis.cli.output import OutputFlags, print_answer
from cost_analysis.common.errors import InputError
from cost_analysis.common.files import write_file
from cost_analysis.report.render import Page

if TYPE_CHECKING:
    from cost_analysis.fitting.engine_fit import EngineFit
    from cost_analysis.inputs.engine import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalFlags(Flags):
    """Intervals of a fitted law, from refits on resampled runs."""

    level: float = flag(
        "Intervals",
        "--level",
        type=click.FloatRange(0, 1, min_open=True, max_open=True),
        default=0.9,
        show_default=True,
        help="Share of the refits that an interval holds.",
    )
    samples: int = flag(
        "Intervals",
        "--samples",
        type=click.IntRange(2, 100_000),
        default=500,
        show_default=True,
        help="Bootstrap refits.",
    )
    seed: int = flag(
        "Intervals",
        "--seed",
        type=click.IntRange(0),
        default=0,
        show_default=True,
        help="Seed of them.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFlags(Flags):
    """The runs that a law is fitted on, and the models whose loss is predicted."""

    dataset: str | None = dataset_flag("Runs", default=None)
    loss: str | None = flag("Runs", "--loss", metavar="COLUMN", help="Loss column of RUNS.csv.")
    points: tuple[tuple[float, int], ...] = flag(
        "Predictions",
        "--predict",
        type=(float, int),
        multiple=True,
        metavar="N P",
        help="Loss of a model, and the size that reaches it at P = 1; may be repeated.",
    )


@click.command(cls=SectionedCommand)
@click.argument("runs", required=False, metavar="[RUNS.csv]")
@takes_flags
def fit(runs: str | None, asked: RunFlags, intervals: IntervalFlags, output: OutputFlags) -> None:
    """The scaling law on your training runs, or on the published ones."""
    from cost_analysis.law.runs import published_runs, read_runs
    from cost_analysis.law.scaling_law import fit as fit_law
    from cost_analysis.report import law
    from cost_analysis.report.law import fit_notes, fit_rows

    if runs is not None and asked.dataset is not None:
        raise InputError("give a file of runs or --dataset, not both")
    data = read_runs(runs, asked.loss) if runs else published_runs(asked.dataset or "stack")
    fitted, level = fit_law(data), intervals.level
    rows = fit_rows(fitted, level, intervals.samples, intervals.seed, asked.points)
    title = f"The parallel scaling law on {len(data)} runs, R² = {fitted.r_squared:.4f}"
    page = law.fit_page(rows, title, fit_notes(fitted, level, asked.points))
    record = {
        "runs": len(data),
        "r_squared": fitted.r_squared,
        "objective": fitted.objective,
        "parameters": rows,
    }
    print_answer(page, record, rows, output)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementFlags(Flags):
    """The measurements that predictions are compared with."""

    measurements: str | None = flag(
        "Rows", "--measurements", metavar="FILE", help=MEASUREMENTS_HELP
    )


@click.command(cls=SectionedCommand)
@takes_flags
def accuracy(given: MeasurementFlags, output: OutputFlags) -> None:
    """Compare predictions with published measurements, or with your own."""
    from cost_analysis.fitting.accuracy import predictions, represented
    from cost_analysis.fitting.coverage import read_coverages
    from cost_analysis.fitting.measurements import read_measurements
    from cost_analysis.report.accuracy import accuracy_page, accuracy_rows

    path = Path(given.measurements) if given.measurements else None
    rows, refused = represented(read_measurements(path))
    found = predictions(rows)
    lines = list(accuracy_rows(found, refused))
    if not lines:
        raise InputError("no rows to compare with")
    page = accuracy_page(found, refused, read_coverages())
    print_answer(page, lines, lines, output)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFitFlags(Flags):
    """Runs and timings of single operators to fit, and the folder of the fitted engines."""

    served: tuple[str, ...] = flag(
        "Rows",
        "--served",
        multiple=True,
        metavar="FILE",
        help="CSV file of runs of serving engines, to fit vllm, sglang and tensorrt-llm; may be "
        "repeated.",
    )
    operators: str | None = flag(
        "Rows", "--operators", metavar="FILE", help="CSV file of single operators' timings."
    )
    profiles: str | None = flag(
        "Output",
        "--profiles",
        type=click.Path(file_okay=False),
        metavar="DIR",
        help="Write the fitted engines there, a profile each.",
    )

    def write(self, fit: EngineFit) -> None:
        """Write the fitted engines where they were asked for."""
        from cost_analysis.inputs.profiles import engine_text

        for name, engine in fit.engines.items() if self.profiles else ():
            text = engine_text(engine, fit.uncertainty[name])
            write_file(Path(str(self.profiles)) / f"{name}.toml", text)


@click.command("fit-latency", cls=SectionedCommand)
@click.argument("measurements", required=False)
@takes_flags
def fit_latency(measurements: str | None, asked: EngineFitFlags, output: OutputFlags) -> None:
    """Fit the engines to measurements, and say how far off they are on rows not seen."""
    if measurements is None and not asked.served:
        raise InputError("give a file of measurements, or runs of serving engines with --served")
    pages: list[Page] = []
    lines: list[dict[str, Any]] = []
    of_class = None
    if measurements is not None:
        page, lines, of_class = _fitted_engines(measurements, asked)
        pages.append(page)
    if asked.served:
        page, served = _fitted_servers(asked, of_class)
        pages, lines = [*pages, page], [*lines, *served]
    print_answer(_joined(pages), lines, lines, output)


def _fitted_engines(
    measurements: str, asked: EngineFitFlags
) -> tuple[Page, list[dict[str, Any]], Engine | None]:
    """The fit to published measurements: its page, a line a row, and the class of servers."""
    from cost_analysis.fitting.accuracy import (
        described,
        fold_errors,
        held_out_points,
        represented,
    )
    from cost_analysis.fitting.coverage import FILE, coverage_text, coverages
    from cost_analysis.fitting.engine_fit import fit_engines
    from cost_analysis.fitting.held_out import traits_of
    from cost_analysis.fitting.measurements import MEMORY_METRIC, read_measurements
    from cost_analysis.fitting.product_fit import fit_operators
    from cost_analysis.fitting.served_fit import CLASS
    from cost_analysis.report.accuracy import fit_page, fit_rows

    rows, _ = represented(read_measurements(Path(measurements)))
    rows = [row for row in rows if row.metric != MEMORY_METRIC]
    if not rows:
        raise InputError(f"{measurements!r} has no row of time that the model can represent")
    devices = fit_operators(Path(asked.operators)) if asked.operators else []
    fit = fit_engines(rows)
    errors = fold_errors(rows, fit)
    fitted = described(fit, rows, errors)
    coverage = coverages([traits_of(row) for row in rows], held_out_points(rows, errors))
    if asked.profiles and coverage:
        write_file(Path(asked.profiles) / FILE, coverage_text(coverage))
    asked.write(fitted)
    page = fit_page(rows, errors, fitted, devices, coverage)
    return page, fit_rows(rows, errors), fitted.engines.get(CLASS)


def _fitted_servers(
    asked: EngineFitFlags, of_class: Engine | None
) -> tuple[Page, list[dict[str, Any]]]:
    """The fit to runs of serving engines: its page, and a line a run."""
    from cost_analysis.fitting.served_fit import ServedFit, described_served
    from cost_analysis.fitting.served_rows import represented_runs
    from cost_analysis.fitting.serving_runs import read_serving_runs
    from cost_analysis.report.accuracy import served_fit_rows, served_page

    read = [run for name in asked.served for run in read_serving_runs(Path(name))]
    runs, refused = represented_runs(read)
    if not runs:
        raise InputError(f"{asked.served[0]!r} has no run that the model can represent")
    problem = ServedFit(runs, of_class)
    fit = problem.fitted()
    errors = problem.errors(fit)
    fitted = described_served(fit, runs, errors)
    asked.write(fitted)
    return served_page(runs, errors, fitted, refused), served_fit_rows(runs, errors)


def _joined(pages: Sequence[Page]) -> Page:
    """Pages as one, under the title of the first."""
    first, *others = pages
    return first._replace(
        summary=(*first.summary, *(page.title for page in others)),
        tables=tuple(table for page in pages for table in page.tables),
        notes=tuple(dict.fromkeys(note for page in pages for note in page.notes)),
    )
