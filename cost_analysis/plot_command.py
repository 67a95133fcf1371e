"""The command `plot`: the figures, one subcommand each.

NumPy, SciPy and matplotlib are imported when a figure is drawn, not before.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cost_analysis.errors import InputError
from cost_analysis.option_types import NAMES
from cost_analysis.options import (
    MEASUREMENTS_HELP,
    base_option,
    baseline_option,
    dataset_option,
    model_options,
    request_from,
    stream_counts,
    system_from,
    system_options,
    workload_options,
)
from cost_analysis.paper_figure_commands import figure2, figure3, figure4
from cost_analysis.plan_options import answered, plan_options, question
from cost_analysis.plot_options import (
    cost_model_option,
    dpi_option,
    draw,
    number_option,
    output_option,
    streams_option,
)
from cost_analysis.sections import SectionedCommand, section_option
from cost_analysis.serving_options import load_options, view_from
from cost_analysis.sweep_commands import axis_options, given_axes


class PlotGroup(click.Group):
    """A group that shows its help when no figure is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put --help where nothing stands."""
        return super().parse_args(ctx, args or ["--help"])


EXAMPLES = """\b
parscale-cost plot figure4
parscale-cost plot crossover --gpu_config h100-sxm-80gb --output map.svg
"""


@click.group(cls=PlotGroup, epilog=EXAMPLES)
def plot() -> None:
    """Figures as PNG, SVG or PDF; needs matplotlib."""


for figure in (figure2, figure3, figure4):
    plot.add_command(figure)


@plot.command(cls=SectionedCommand)
@base_option("Figure")
@streams_option("Parallel streams.")
@baseline_option("Figure")
@dataset_option("Figure")
@cost_model_option("operators")
@number_option("output_length", 64, "Generated tokens of each sequence.")
@system_options
@output_option
@dpi_option
def crossover(
    base: str,
    streams: int,
    baseline: str,
    dataset: str,
    cost_model: str,
    output_length: int,
    output: str | None,
    dpi: int,
    **options: Any,
) -> None:
    """Where streams add less than parameters, over batch and prompt."""

    def compute() -> Any:
        from cost_analysis import cost_data, profiles, request_costs
        from cost_analysis.baselines import chosen_baseline
        from cost_analysis.scaling_law import fit
        from cost_analysis.training_runs import published_runs

        streamed = profiles.load_model(base).spec.with_streams(streams)
        chosen = chosen_baseline(streamed, baseline, fit(published_runs(dataset)))
        system = request_costs.System(**system_from(options))
        return cost_data.crossover_map(streamed, chosen, system, cost_model, output_length)

    draw("crossover", compute, output, dpi)


@plot.command(cls=SectionedCommand)
@base_option("Figure")
@streams_option("Largest number of streams: a bar for 1, 2, 4, … up to it.")
@number_option("batch_size", 1, "Sequences.")
@number_option("input_length", 64, "Prompt tokens of each.")
@number_option("output_length", 64, "Generated tokens of each.")
@system_options
@output_option
@dpi_option
def breakdown(
    base: str,
    streams: int,
    batch_size: int,
    input_length: int,
    output_length: int,
    output: str | None,
    dpi: int,
    **options: Any,
) -> None:
    """Memory and time by part, and what the streams add."""

    def compute() -> Any:
        from cost_analysis import breakdown_data, profiles, request_costs, spec

        return breakdown_data.breakdown(
            profiles.load_model(base).spec,
            stream_counts(streams),
            spec.Workload(batch_size, input_length, output_length),
            request_costs.System(**system_from(options)),
        )

    draw("breakdown", compute, output, dpi)


@plot.command(cls=SectionedCommand)
@click.argument("journals", nargs=-1, required=True, metavar="RUN...")
@output_option
@dpi_option
def measured(journals: tuple[str, ...], output: str | None, dpi: int) -> None:
    """What validations measured, beside what was claimed; from journals."""

    def compute() -> Any:
        from cost_analysis.verdicts import read_verdicts

        return {name: verdicts for name, (_, verdicts) in read_verdicts(journals).items()}

    draw("measured", compute, output, dpi)


@plot.command(cls=SectionedCommand)
@section_option("Figure", "--measurements", metavar="FILE", help=MEASUREMENTS_HELP)
@output_option
@dpi_option
def accuracy(measurements: str | None, output: str | None, dpi: int) -> None:
    """Predicted against measured times of the cited rows, or of yours."""

    def compute() -> Any:
        from cost_analysis.accuracy import predictions, represented
        from cost_analysis.measurements import MEMORY_METRIC, read_measurements

        rows, _ = represented(read_measurements(Path(measurements) if measurements else None))
        times = [row for row in rows if row.metric != MEMORY_METRIC]
        if not times:
            raise InputError("no row of time that the model can represent")
        return predictions(times)

    draw("accuracy", compute, output, dpi)


@plot.command(cls=SectionedCommand)
@plan_options
@output_option
@dpi_option
def pareto(output: str | None, dpi: int, **options: Any) -> None:
    """Loss against memory and latency, by streams; the flags of `plan`."""

    def compute() -> Any:
        asked = question(options)
        return asked, answered(asked)

    draw("pareto", compute, output, dpi)


@plot.command(cls=SectionedCommand)
@load_options
@output_option
@dpi_option
def throughput(output: str | None, dpi: int, **options: Any) -> None:
    """Throughput against speed, and latency against load; the flags of `serving`."""
    draw("throughput", lambda: view_from(options), output, dpi)


@plot.command(cls=SectionedCommand)
@section_option(
    "Figure",
    "--with",
    "names",
    type=NAMES,
    default="dense,parscale,moe,best-of-n,longer,loop,plt,phd",
    show_default=True,
    metavar="METHODS",
    help="Ways of spending compute, as for `compare --with`.",
)
@baseline_option("Figure")
@dataset_option("Figure")
@model_options
@workload_options
@system_options
@output_option
@dpi_option
def methods(
    names: tuple[str, ...],
    baseline: str,
    dataset: str,
    output: str | None,
    dpi: int,
    **options: Any,
) -> None:
    """Ways of spending compute: what each costs over the base."""

    def compute() -> Any:
        from cost_analysis.method_choice import contest

        return contest(request_from(options), names, baseline=baseline, dataset=dataset)

    draw("methods", compute, output, dpi)


@plot.command(cls=SectionedCommand)
@section_option(
    "Figure",
    "--value",
    default="latency_tpot_s",
    show_default=True,
    metavar="COLUMN",
    help="Column of a sweep to show.",
)
@axis_options
@output_option
@dpi_option
def heatmap(value: str, output: str | None, dpi: int, **axes: tuple[str, ...]) -> None:
    """One column of a sweep over two flags that take several values."""

    def compute() -> Any:
        from cost_analysis.grid import make_grid
        from cost_analysis.heat_map_data import heat_map

        return heat_map(make_grid(given_axes(None, axes)), value)

    draw("heatmap", compute, output, dpi)
