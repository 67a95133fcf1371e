"""Commands that compare the latency model with measurements: accuracy, fit-latency.

NumPy and SciPy are imported when a command runs, not before.
"""

from __future__ import annotations

from pathlib import Path

import click

from cost_analysis.delivery import deliver
from cost_analysis.errors import InputError
from cost_analysis.options import MEASUREMENTS_HELP, output_options
from cost_analysis.report import write_file
from cost_analysis.sections import SectionedCommand, section_option


@click.command(cls=SectionedCommand)
@section_option(
    "Rows",
    "--measurements",
    metavar="FILE",
    help=MEASUREMENTS_HELP,
)
@output_options
def accuracy(measurements: str | None, form: str | None, output: str | None) -> None:
    """Compare predictions with published measurements, or with your own."""
    from cost_analysis import accuracy_pages
    from cost_analysis.accuracy import predictions, represented
    from cost_analysis.measurements import read_measurements

    rows, refused = represented(read_measurements(Path(measurements) if measurements else None))
    found = predictions(rows)
    lines = list(accuracy_pages.accuracy_rows(found, refused))
    if not lines:
        raise InputError("no rows to compare with")
    deliver(accuracy_pages.accuracy_page(found, refused), lines, lines, form, output)


@click.command("fit-latency", cls=SectionedCommand)
@click.argument("measurements")
@section_option(
    "Rows", "--operators", metavar="FILE", help="CSV file of single operators' timings."
)
@section_option(
    "Output",
    "--profiles",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Write the fitted engines there, a profile each.",
)
@output_options
def fit_latency(
    measurements: str,
    operators: str | None,
    profiles: str | None,
    form: str | None,
    output: str | None,
) -> None:
    """Fit the engines to measurements, and say how far off they are on rows not seen."""
    from cost_analysis import fit_pages
    from cost_analysis.accuracy import represented
    from cost_analysis.engine_profile import engine_text
    from cost_analysis.latency_fit import fit_engines
    from cost_analysis.latency_folds import described, fold_errors
    from cost_analysis.measurements import MEMORY_METRIC, read_measurements
    from cost_analysis.operator_fit import fit_operators

    rows, _ = represented(read_measurements(Path(measurements)))
    rows = [row for row in rows if row.metric != MEMORY_METRIC]
    if not rows:
        raise InputError(f"{measurements!r} has no row of time that the model can represent")
    devices = fit_operators(Path(operators)) if operators else []
    fit = fit_engines(rows)
    errors = fold_errors(rows, fit)
    fitted = described(fit, rows, errors)
    for name, engine in fitted.engines.items() if profiles else ():
        text = engine_text(engine, fitted.uncertainty[name])
        write_file(Path(str(profiles)) / f"{name}.toml", text)
    lines = fit_pages.fit_rows(rows, errors)
    deliver(fit_pages.fit_page(rows, errors, fitted, devices), lines, lines, form, output)
