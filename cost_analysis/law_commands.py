"""The command on the scaling law, and the flags of its intervals.

The modules that do the work are imported inside, so that the help loads neither NumPy nor SciPy.
"""

from __future__ import annotations

import click

from cost_analysis.delivery import deliver
from cost_analysis.errors import InputError
from cost_analysis.options import dataset_option, output_options
from cost_analysis.sections import SectionedCommand, section_option

level_option = section_option(
    "Intervals",
    "--level",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.9,
    show_default=True,
    help="Share of the refits that an interval holds.",
)

samples_option = section_option(
    "Intervals",
    "--samples",
    type=click.IntRange(2, 100_000),
    default=500,
    show_default=True,
    help="Bootstrap refits.",
)

seed_option = section_option(
    "Intervals",
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Seed of them.",
)


@click.command(cls=SectionedCommand)
@click.argument("runs", required=False, metavar="[RUNS.csv]")
@dataset_option("Runs", default=None)
@section_option("Runs", "--loss", metavar="COLUMN", help="Loss column of RUNS.csv.")
@section_option(
    "Predictions",
    "--predict",
    "points",
    type=(float, int),
    multiple=True,
    metavar="N P",
    help="Loss of a model, and the size that reaches it at P = 1; may be repeated.",
)
@level_option
@samples_option
@seed_option
@output_options
def fit(
    runs: str | None,
    dataset: str | None,
    loss: str | None,
    points: tuple[tuple[float, int], ...],
    level: float,
    samples: int,
    seed: int,
    form: str | None,
    output: str | None,
) -> None:
    """The scaling law on your training runs, or on the published ones."""
    from cost_analysis import claim_pages
    from cost_analysis.law_report import fit_notes, fit_rows
    from cost_analysis.scaling_law import fit as fit_law
    from cost_analysis.training_runs import published_runs, read_runs

    if runs is not None and dataset is not None:
        raise InputError("give a file of runs or --dataset, not both")
    data = read_runs(runs, loss) if runs else published_runs(dataset or "stack")
    fitted = fit_law(data)
    rows = fit_rows(fitted, level, samples, seed, points)
    title = f"The parallel scaling law on {len(data)} runs, R² = {fitted.r_squared:.4f}"
    page = claim_pages.fit_page(rows, title, fit_notes(fitted, level, points))
    record = {
        "runs": len(data),
        "r_squared": fitted.r_squared,
        "objective": fitted.objective,
        "parameters": rows,
    }
    deliver(page, record, rows, form, output)
