"""The command `kernels`: published tables of kernel timings."""

from __future__ import annotations

import click

from cost_analysis.cli.flags import SectionedCommand, takes_flags
from cost_analysis.cli.output import OutputFlags, print_answer


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
