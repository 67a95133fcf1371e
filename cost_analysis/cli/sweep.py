"""The sweep command: every flag of the estimate may be a list or a range."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import click

from cost_analysis.cli.flags import Flag, Flags, SectionedCommand, flag, takes_flags
from cost_analysis.cli.option_types import NAMES
from cost_analysis.cli.options import LayoutFlags, ModelFlags, SystemFlags, WorkloadFlags
from cost_analysis.cli.output import FORMATS, OutputFlags, print_answer
from cost_analysis.common.errors import InputError
from cost_analysis.common.files import parse
from cost_analysis.report.render import progress
from cost_analysis.telemetry.machine import usable_cores

if TYPE_CHECKING:
    from cost_analysis.search.grid import Grid
    from cost_analysis.search.sweep import Summary
    from cost_analysis.search.sweep_files import Target
    from cost_analysis.search.sweep_workers import Workers


class Interrupted(click.ClickException):
    """Ctrl-C, where what was done is kept."""

    exit_code = 130


MOST_PRINTED = 1_000_000
"""Rows that are printed instead of written to a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisFlags(Flags):
    """Axes of a sweep: every flag of the estimate, each with a value, a list or a range.

    Attributes:
        texts: What was given for each, by the name of its flag.
    """

    texts: Mapping[str, tuple[str, ...]]

    @classmethod
    def declared(cls) -> Iterator[tuple[str, Flag]]:
        """The flags of the estimate; a switch becomes `--name true,false`."""
        for record in (ModelFlags, WorkloadFlags, SystemFlags, LayoutFlags):
            for _, each in record.declared():
                spelled, shown = each.spelled.split("/")[0], each.settings.get("metavar")
                settings = {
                    "multiple": True,
                    "metavar": shown if shown and "|" in shown else "VALUES",
                    "help": each.settings.get("help"),
                }
                yield spelled.lstrip("-"), Flag(each.section, spelled, settings)

    @classmethod
    def filled(cls, values: Mapping[str, Any]) -> Self:
        """The record of the values that click found."""
        return cls(texts={name: values[name] for name, _ in cls.declared()})

    def axes(self, grid: str | None = None) -> dict[str, Any]:
        """The axes of a file and of flags; a flag replaces the axis of the file.

        Raises:
            InputError: No axis, or one that was given twice.
        """
        for name, texts in self.texts.items():
            if len(texts) > 1:
                raise InputError(f"--{name} is given {len(texts)} times; give all values at once")
        given = parse(Path(grid), "grid") if grid else {}
        given |= {name: texts[0] for name, texts in self.texts.items() if texts}
        if not given:
            raise InputError("no axis is given; for instance --model 1.6B --P 1,2,4,8")
        return given


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepFlags(Flags):
    """The file of axes, the file of rows, and the processes that calculate them."""

    grid: str | None = flag(
        "Sweep",
        "--grid",
        type=click.Path(),
        metavar="FILE",
        help='A TOML file of axes, such as P = [1, 2, 4] and batch_size = "1:256:x2"; flags go '
        "before it.",
    )
    pareto: tuple[str, ...] | None = flag(
        "Sweep",
        "--pareto",
        type=NAMES,
        metavar="COLUMNS",
        help="Columns of the Pareto front, with commas between. [default: memory_total_bytes, "
        "latency_tpot_s, tokens_per_s]",
    )
    form: str | None = flag(
        "Output",
        "--format",
        type=click.Choice(FORMATS),
        help="The summary as a table, JSON or Markdown, or the rows as CSV. [default: table]",
    )
    output: str | None = flag(
        "Output",
        "--output",
        type=click.Path(),
        metavar="FILE",
        help="Write the rows to a .parquet or .csv file, which appears when it is whole.",
    )
    resume: bool = flag(
        "Output",
        "--resume",
        is_flag=True,
        help="Go on with a sweep of the same --output that was interrupted.",
    )
    part_rows: int = flag(
        "Output",
        "--part_rows",
        type=click.IntRange(1, 1 << 22),
        default=1 << 17,
        show_default=True,
        help="Rows that are written at once, and lost at most by each worker that is killed.",
    )
    workers: int | None = flag(
        "Machine",
        "--workers",
        type=click.IntRange(1),
        help="Processes. [default: one for each core]",
    )
    executor: str = flag(
        "Machine",
        "--executor",
        type=click.Choice(["local", "dask"]),
        default="local",
        show_default=True,
        help="Who calculates: processes of this machine, or a Dask cluster.",
    )
    scheduler: str | None = flag(
        "Machine",
        "--scheduler",
        metavar="ADDRESS",
        help="A Dask scheduler, such as tcp://host:8786. [default: a cluster on this machine]",
    )

    def check(self) -> None:
        """Check that the flags go together.

        Raises:
            InputError: Two of them do not.
        """
        if self.scheduler is not None and self.executor != "dask":
            raise InputError("--scheduler needs --executor dask")
        if self.resume and self.output is None:
            raise InputError("--resume goes on with an --output, and none is given")
        if self.output is None and self.executor == "dask":
            raise InputError("--executor dask writes a file; name it with --output")


@click.command(cls=SectionedCommand)
@takes_flags
def sweep(flags: SweepFlags, axes: AxisFlags) -> None:
    """Every combination of many values: any flag takes a list or a range.

    A list is 1,2,4; a range is 64:512:64 or 1:256:x2, its end included.
    """
    from cost_analysis.report.sweep import sweep_page, sweep_record
    from cost_analysis.search.grid import make_grid
    from cost_analysis.search.sweep import OBJECTIVES, check, objectives_named
    from cost_analysis.search.sweep_files import make_target

    found = make_grid(axes.axes(flags.grid), flags.part_rows)
    check(found)
    objectives = objectives_named(flags.pareto or OBJECTIVES)
    flags.check()
    if flags.form == "csv":
        _print_rows(found, flags.output)
        return
    written = flags.output or ""
    if flags.output is None:
        summary = _calculated(found, objectives)
    else:
        summary = _written(found, make_target(flags.output, objectives), flags)
    page = sweep_page(found, summary, objectives, written)
    record = sweep_record(found, summary, objectives, written)
    print_answer(page, record, [], OutputFlags(form=flags.form or "table"))


def _calculated(grid: Grid, objectives: Sequence[str]) -> Summary:
    """The summary of a grid whose rows are not kept."""
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


def _starter(flags: SweepFlags) -> Start:
    from cost_analysis.search.sweep_workers import dask_workers, local_workers

    workers = flags.workers or usable_cores()
    if flags.executor == "dask":
        return lambda _: dask_workers(workers, flags.scheduler)
    return lambda parts: local_workers(min(workers, parts))


def _written(grid: Grid, target: Target, flags: SweepFlags) -> Summary:
    """The summary of a grid whose rows are written to a file."""
    from cost_analysis.common.files import SweepError
    from cost_analysis.search.sweep import merged
    from cost_analysis.search.sweep_files import (
        prepare,
        read_summary,
        remove_empty_folder,
        remove_parts,
    )
    from cost_analysis.search.sweep_join import joining
    from cost_analysis.search.sweep_workers import run_parts

    start, objectives = _starter(flags), target.objectives
    try:
        missing = prepare(target, grid, resume=flags.resume)
        parts = range(grid.part_count)
        with (
            joining(target, len(parts)) as join,
            _bar(grid.rows) as advance,
            start(len(missing)) as workers,
        ):

            def on_part(index: int, summary: Summary) -> None:
                join(index)
                advance(summary.rows)

            for index in set(parts).difference(missing):
                join(index)
            advance(grid.rows - sum(map(grid.rows_of_part, missing)))
            run_parts(grid, target, missing, workers, on_part)
        summary = merged((read_summary(target, index) for index in parts), objectives)
        remove_parts(target)
    except SweepError as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        raise Interrupted("interrupted; go on with --resume") from None
    finally:
        remove_empty_folder(target)
    return summary


@contextmanager
def _bar(rows: int) -> Iterator[Callable[[int], None]]:
    """A progress bar of rows, if standard error is a terminal."""
    with progress(rates=True) as bar:
        task = bar.add_task("rows", total=rows)
        yield lambda count: bar.update(task, advance=count)
