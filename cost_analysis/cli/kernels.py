"""The commands `kernels` and `fit-kernels`: published tables of kernel timings, and curves."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cost_analysis.cli.flags import Flags, SectionedCommand, flag, takes_flags
from cost_analysis.cli.output import OutputFlags, print_answer
from cost_analysis.common.files import write_file

if TYPE_CHECKING:
    from cost_analysis.distilling.kernel_fits import KernelFit


@click.command(cls=SectionedCommand)
@click.argument("device", required=False)
@click.argument("engine", required=False)
@takes_flags
def kernels(device: str | None, engine: str | None, output: OutputFlags) -> None:
    """List the published tables of kernel timings, or show those of one engine on a device.

    They come with pip install 'parscale-cost[kernels]'.
    """
    from cost_analysis.kernels.library import find_library
    from cost_analysis.kernels.tables import tables_of
    from cost_analysis.report.kernels import engine_page, list_page, table_records, table_rows

    library = find_library()
    tables = tables_of(library, device, engine)
    page = engine_page(library, tables) if engine else list_page(library, tables)
    listed = table_records(library, tables, with_formats=engine is not None)
    print_answer(page, listed, table_rows(listed), output)


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelFitFlags(Flags):
    """How tables are fitted, and the folder of the curves."""

    workers: int = flag(
        "Running",
        "--workers",
        type=click.IntRange(1, 256),
        default=1,
        show_default=True,
        help="Processes that fit at the same time.",
    )
    profiles: str | None = flag(
        "Output",
        "--profiles",
        type=click.Path(file_okay=False),
        metavar="DIR",
        help="Write the curves there, as kernels/DEVICE/ENGINE.toml.",
    )


@click.command("fit-kernels", cls=SectionedCommand)
@click.argument("device", required=False)
@click.argument("engine", required=False)
@takes_flags
def fit_kernels(
    device: str | None, engine: str | None, asked: KernelFitFlags, output: OutputFlags
) -> None:
    """Boil the tables of kernel timings down to curves, and say how far off these are.

    Errors are those on shapes that a fit has not seen. All tables take half an hour on two cores.
    """
    from cost_analysis.distilling.kernel_fits import fit_all, jobs_of, shipped
    from cost_analysis.kernels.curves import curves_path, curves_text
    from cost_analysis.kernels.library import find_library
    from cost_analysis.kernels.tables import tables_of
    from cost_analysis.report.kernels import fit_page, fit_rows
    from cost_analysis.search.sweep_workers import local_workers

    jobs = jobs_of(tables_of(find_library(), device, engine))
    with local_workers(asked.workers) as workers:
        fits = fit_all(jobs, workers.executor, _tell)
    for (name, by), curves in shipped(fits).items() if asked.profiles else ():
        text = curves_text(curves, [f"Kernels of {by} on {name}, by parscale-cost fit-kernels."])
        write_file(curves_path(Path(str(asked.profiles)), name, by), text)
    lines = fit_rows(fits)
    print_answer(fit_page(fits), lines, lines, output)


def _tell(fit: KernelFit) -> None:
    """Say that a table is done, on a terminal."""
    if fit.rows and sys.stderr.isatty():
        click.echo(f"{' '.join(fit.job)}: {fit.held_out.median:.1%}", err=True)
