"""The sweep command: every flag of the estimate may be a list or a range."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cost_analysis.cli.option_types import NAMES
from cost_analysis.cli.options import (
    Command,
    SectionedCommand,
    SectionedOption,
    layout_options,
    model_options,
    section_option,
    system_options,
    workload_options,
)
from cost_analysis.cli.output import deliver
from cost_analysis.common.errors import InputError
from cost_analysis.common.files import parse
from cost_analysis.report.render import progress
from cost_analysis.telemetry.machine import usable_cores

if TYPE_CHECKING:
    from cost_analysis.search.grid import Grid
    from cost_analysis.search.sweep import Summary
    from cost_analysis.search.sweep_workers import Workers


class Interrupted(click.ClickException):
    """Ctrl-C, where what was done is kept."""

    exit_code = 130


MOST_PRINTED = 1_000_000
"""Rows that are printed instead of written to a file."""


def axis_options(command: Command) -> Command:
    """The flags of the estimate, each of which takes one value, a list or a range."""

    @model_options
    @workload_options
    @system_options
    @layout_options
    def estimate() -> None:
        """Hold the flags."""

    for option in getattr(estimate, "__click_params__", ()):
        axis = SectionedOption(
            _declared(option),
            section=option.section,
            multiple=True,
            metavar=option.metavar if option.metavar and "|" in option.metavar else "VALUES",
            help=option.help,
        )
        command = _with_option(command, axis)
    return command


def _declared(option: SectionedOption) -> list[str]:
    """How a flag is spelled; a switch becomes `--name true,false`."""
    return [option.opts[0], option.opts[0].lstrip("-")]


def _with_option(command: Command, option: SectionedOption) -> Command:
    held: Any = command
    held.__click_params__ = [*getattr(held, "__click_params__", []), option]
    return command


@click.command(cls=SectionedCommand)
@section_option(
    "Sweep",
    "--grid",
    type=click.Path(),
    metavar="FILE",
    help='A TOML file of axes, such as P = [1, 2, 4] and batch_size = "1:256:x2"; flags go before '
    "it.",
)
@section_option(
    "Sweep",
    "--pareto",
    type=NAMES,
    metavar="COLUMNS",
    help="Columns of the Pareto front, with commas between. [default: memory_total_bytes, "
    "latency_tpot_s, tokens_per_s]",
)
@section_option(
    "Output",
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json", "markdown"]),
    help="The summary as a table, JSON or Markdown, or the rows as CSV. [default: table]",
)
@section_option(
    "Output",
    "--output",
    type=click.Path(),
    metavar="FILE",
    help="Write the rows to a .parquet or .csv file, which appears when it is whole.",
)
@section_option(
    "Output",
    "--resume",
    is_flag=True,
    help="Go on with a sweep of the same --output that was interrupted.",
)
@section_option(
    "Output",
    "--part_rows",
    type=click.IntRange(1, 1 << 22),
    default=1 << 18,
    show_default=True,
    help="Rows that are written at once, and lost at most by each worker that is killed.",
)
@section_option(
    "Machine",
    "--workers",
    type=click.IntRange(1),
    help="Processes. [default: one for each core]",
)
@section_option(
    "Machine",
    "--executor",
    type=click.Choice(["local", "dask"]),
    default="local",
    show_default=True,
    help="Who calculates: processes of this machine, or a Dask cluster.",
)
@section_option(
    "Machine",
    "--scheduler",
    metavar="ADDRESS",
    help="A Dask scheduler, such as tcp://host:8786. [default: a cluster on this machine]",
)
@axis_options
def sweep(
    grid: str | None,
    pareto: tuple[str, ...] | None,
    form: str | None,
    output: str | None,
    resume: bool,
    part_rows: int,
    workers: int | None,
    executor: str,
    scheduler: str | None,
    **axes: tuple[str, ...],
) -> None:
    """Every combination of many values: any flag takes a list or a range.

    A list is 1,2,4; a range is 64:512:64 or 1:256:x2, its end included.
    """
    from cost_analysis.report.sweep import sweep_page, sweep_record
    from cost_analysis.search.grid import make_grid
    from cost_analysis.search.sweep import OBJECTIVES, check, objectives_named

    found = make_grid(given_axes(grid, axes), part_rows)
    check(found)
    objectives = objectives_named(pareto or OBJECTIVES)
    if scheduler is not None and executor != "dask":
        raise InputError("--scheduler needs --executor dask")
    if resume and output is None:
        raise InputError("--resume goes on with an --output, and none is given")
    if output is None and executor == "dask":
        raise InputError("--executor dask writes a file; name it with --output")
    if form == "csv":
        _print_rows(found, output)
        return
    written = output or ""
    if output is None:
        summary = _calculated(found, objectives)
    else:
        start = _starter(executor, scheduler, workers or usable_cores())
        summary = _written(found, output, objectives, resume, start)
    page = sweep_page(found, summary, objectives, written)
    record = sweep_record(found, summary, objectives, written)
    deliver(page, record, [], form or "table", None)


def given_axes(grid: str | None, axes: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    """The axes of a file and of flags, which go before it.

    Raises:
        InputError: No axis, or one that was given twice.
    """
    for name, values in axes.items():
        if len(values) > 1:
            raise InputError(f"--{name} is given {len(values)} times; give all values at once")
    given = parse(Path(grid), "grid") if grid else {}
    given |= {name: values[0] for name, values in axes.items() if values}
    if not given:
        raise InputError("no axis is given; for instance --model 1.6B --P 1,2,4,8")
    return given


def _calculated(grid: Grid, objectives: Sequence[str]) -> Summary:
    """The summary of a grid whose rows nobody keeps."""
    from cost_analysis.search.sweep import merged, pieces_of, summary_of

    with _bar(grid.rows) as advance:

        def summaries() -> Iterator[Summary]:
            for columns in pieces_of(grid, range(grid.piece_count)):
                advance(len(columns["P"]))
                yield summary_of(columns, objectives)

        return merged(summaries(), objectives)


def _print_rows(grid: Grid, output: str | None) -> None:
    """The rows as CSV on standard output."""
    import pandas as pd

    from cost_analysis.search.sweep import pieces_of

    if output not in (None, "-"):
        raise InputError("--format csv prints the rows; to write them, give --output FILE.csv only")
    if grid.rows > MOST_PRINTED:
        raise InputError(
            f"{grid.rows:,} rows are too many to print (at most {MOST_PRINTED:,}); "
            "write them with --output FILE.parquet"
        )
    for place, columns in enumerate(pieces_of(grid, range(grid.piece_count))):
        frame = pd.DataFrame(columns)
        frame.to_csv(sys.stdout, index=False, header=place == 0, lineterminator="\n")


Start = Callable[[int], AbstractContextManager["Workers"]]
"""Starts the workers for some number of parts."""


def _starter(executor: str, scheduler: str | None, workers: int) -> Start:
    from cost_analysis.search.sweep_workers import dask_workers, local_workers

    if executor == "dask":
        return lambda _: dask_workers(workers, scheduler)
    return lambda parts: local_workers(min(workers, parts))


def _written(
    grid: Grid, output: str, objectives: tuple[str, ...], resume: bool, start: Start
) -> Summary:
    """The summary of a grid whose rows are written to a file."""
    from cost_analysis.common.files import SweepError
    from cost_analysis.search.sweep import merged
    from cost_analysis.search.sweep_files import (
        assemble,
        forget_if_empty,
        make_target,
        prepare,
        read_summary,
    )
    from cost_analysis.search.sweep_workers import run_parts

    target = make_target(output, objectives)
    try:
        missing = prepare(target, grid, resume=resume)
        with _bar(grid.rows) as advance, start(len(missing)) as workers:
            advance(grid.rows - sum(map(grid.rows_of_part, missing)))
            run_parts(grid, target, missing, workers, lambda _, summary: advance(summary.rows))
        parts = range(grid.part_count)
        summary = merged((read_summary(target, index) for index in parts), objectives)
        assemble(target, parts)
    except SweepError as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        raise Interrupted("interrupted; go on with --resume") from None
    finally:
        forget_if_empty(target)
    return summary


@contextmanager
def _bar(rows: int) -> Iterator[Callable[[int], None]]:
    """A bar of rows, where a terminal is."""
    with progress(rates=True) as bar:
        task = bar.add_task("rows", total=rows)
        yield lambda count: bar.update(task, advance=count)
