"""The command `plot`: the figures, one subcommand each.

NumPy, SciPy and matplotlib are imported when a figure is drawn, not before.

The paper's Figures 2 to 4 as subcommands of `plot`.

Flags that the figures share, and how a figure is drawn and written.

NumPy, SciPy and matplotlib are imported when a figure is drawn, not before.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from cost_analysis.cli.option_types import NAMES, NUMBERS
from cost_analysis.cli.options import (
    MEASUREMENTS_HELP,
    Command,
    SectionedCommand,
    base_option,
    baseline_option,
    dataset_option,
    model_options,
    request_from,
    section_option,
    stream_counts,
    system_from,
    system_options,
    workload_options,
)
from cost_analysis.cli.plan import answered, plan_options, question
from cost_analysis.cli.serving import load_options, view_from
from cost_analysis.cli.sweep import axis_options, given_axes
from cost_analysis.common.errors import InputError
from cost_analysis.common.files import write_file

FORM_OF_ENDING = {".png": "png", ".svg": "svg", ".pdf": "pdf"}

MOST_STREAMS = 256
"""Largest P of a figure: more curves or bars could not be distinguished."""

LENGTHS = "64,128,256,512, input = output"

output_option = section_option(
    "Output",
    "--output",
    type=click.Path(),
    metavar="FILE",
    help="Where to write it: .png, .svg or .pdf. [default: the figure's name.png, here]",
)

dpi_option = section_option(
    "Output",
    "--dpi",
    type=click.IntRange(50, 600),
    default=150,
    show_default=True,
    help="Pixels an inch of a PNG; figures are 9 inches wide.",
)


def streams_option(text: str) -> Callable[[Command], Command]:
    """The largest number of streams."""
    return section_option(
        "Figure",
        "--P",
        "streams",
        type=click.IntRange(1, MOST_STREAMS),
        default=8,
        show_default=True,
        help=text,
    )


def cost_model_option(default: str) -> Callable[[Command], Command]:
    """Whose costs are drawn."""
    return section_option(
        "Figure",
        "--cost_model",
        type=click.Choice(["published", "operators"]),
        default=default,
        show_default=True,
        help="The paper's, or ours.",
    )


def numbers_option(name: str, default: str, text: str) -> Callable[[Command], Command]:
    """A flag of the workload that takes several numbers."""
    shown = f"{text} [default: {default}]"
    return section_option("Workload", f"--{name}", type=NUMBERS, metavar="N[,N…]", help=shown)


def number_option(name: str, default: int, text: str) -> Callable[[Command], Command]:
    """A flag of the workload that takes one number."""
    return section_option(
        "Workload",
        f"--{name}",
        type=int,
        default=default,
        show_default=True,
        metavar="N",
        help=text,
    )


def chosen_datasets(dataset: str | None) -> tuple[str, ...]:
    """The data set that was asked for, or all of them."""
    from cost_analysis.law.runs import DATASETS

    return tuple(DATASETS) if dataset is None else (dataset,)


def draw(name: str, compute: Callable[[], Any], output: str | None, dpi: int) -> None:
    """Compute a figure's numbers, draw it, write it, and say where it is."""
    target = Path(output or f"{name}.png")
    form = FORM_OF_ENDING.get(target.suffix.lower())
    if form is None:
        raise InputError(f"--output is {str(target)!r}; it must end in {', '.join(FORM_OF_ENDING)}")
    plots = _plots()
    data = compute()
    write_file(target, plots.picture(lambda: getattr(plots, name)(data), form, dpi))
    click.echo(f"wrote {target}")


def _plots() -> Any:
    try:
        from cost_analysis import figures
    except ImportError as error:
        if (error.name or "").split(".")[0] not in ("matplotlib", "PIL"):
            raise
        raise InputError(
            "figures need matplotlib, which is not installed; pip install 'parscale-cost[plot]'"
        ) from None
    return figures


@click.command(cls=SectionedCommand)
@streams_option("Largest number of streams: a curve for 1, 2, 4, … up to it.")
@dataset_option("Figure", default=None)
@output_option
@dpi_option
def figure2(streams: int, dataset: str | None, output: str | None, dpi: int) -> None:
    """The paper's Figure 2: loss against N, runs and fitted law."""

    def compute() -> Any:
        from cost_analysis.figures.law import loss_curves

        return [loss_curves(name, stream_counts(streams)) for name in chosen_datasets(dataset)]

    draw("figure2", compute, output, dpi)


@click.command(cls=SectionedCommand)
@streams_option("Largest number of streams.")
@dataset_option("Figure", default=None)
@output_option
@dpi_option
def figure3(streams: int, dataset: str | None, output: str | None, dpi: int) -> None:
    """The paper's Figure 3: contours of predicted loss over N and P."""

    def compute() -> Any:
        from cost_analysis.figures.law import loss_surface

        return [loss_surface(name, streams) for name in chosen_datasets(dataset)]

    draw("figure3", compute, output, dpi)


@click.command(cls=SectionedCommand)
@base_option("Figure")
@streams_option("Largest number of streams, of the published runs.")
@dataset_option("Figure")
@cost_model_option("published")
@numbers_option("batch_size", "1,2,4,8", "Batch sizes, a column each.")
@numbers_option("input_length", LENGTHS, "Prompt lengths that costs are means over.")
@numbers_option("output_length", LENGTHS, "Output lengths, paired with them.")
@system_options
@output_option
@dpi_option
def figure4(
    base: str,
    streams: int,
    dataset: str,
    cost_model: str,
    batch_size: tuple[int, ...] | None,
    input_length: tuple[int, ...] | None,
    output_length: tuple[int, ...] | None,
    output: str | None,
    dpi: int,
    **options: Any,
) -> None:
    """The paper's Figure 4: loss against memory and latency."""
    columns = batch_size or (1, 2, 4, 8)
    if len(columns) > 6:
        raise InputError(f"{len(columns)} batch sizes are too many columns; give up to 6")

    def compute() -> Any:
        from cost_analysis.compare import cost_models
        from cost_analysis.figures import costs
        from cost_analysis.inputs import models

        prompts = input_length or output_length or cost_models.DIAGONAL
        return costs.cost_grid(
            models.load_model(base).spec,
            stream_counts(streams),
            cost_models.Setting(columns, prompts, output_length or prompts),
            cost_models.System(**system_from(options)),
            cost_model,
            dataset,
        )

    draw("figure4", compute, output, dpi)


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
        from cost_analysis.compare import cost_models
        from cost_analysis.figures import crossover_map
        from cost_analysis.inputs import models
        from cost_analysis.law.equal_loss import chosen_baseline
        from cost_analysis.law.runs import published_runs
        from cost_analysis.law.scaling_law import fit

        streamed = models.load_model(base).spec.with_streams(streams)
        chosen = chosen_baseline(streamed, baseline, fit(published_runs(dataset)))
        system = cost_models.System(**system_from(options))
        return crossover_map.crossover_map(streamed, chosen, system, cost_model, output_length)

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
        from cost_analysis.compare import cost_models
        from cost_analysis.figures.breakdown import breakdown_parts
        from cost_analysis.inputs import models, spec

        return breakdown_parts(
            models.load_model(base).spec,
            stream_counts(streams),
            spec.Workload(batch_size, input_length, output_length),
            cost_models.System(**system_from(options)),
        )

    draw("breakdown", compute, output, dpi)


@plot.command(cls=SectionedCommand)
@click.argument("journals", nargs=-1, required=True, metavar="RUN...")
@output_option
@dpi_option
def measured(journals: tuple[str, ...], output: str | None, dpi: int) -> None:
    """What validations measured, beside what was claimed; from journals."""

    def compute() -> Any:
        from cost_analysis.measure.verdicts import read_verdicts

        return {name: verdicts for name, (_, verdicts) in read_verdicts(journals).items()}

    draw("measured", compute, output, dpi)


@plot.command(cls=SectionedCommand)
@section_option("Figure", "--measurements", metavar="FILE", help=MEASUREMENTS_HELP)
@output_option
@dpi_option
def accuracy(measurements: str | None, output: str | None, dpi: int) -> None:
    """Predicted against measured times of the cited rows, or of yours."""

    def compute() -> Any:
        from cost_analysis.fitting.accuracy import predictions, represented
        from cost_analysis.fitting.measurements import MEMORY_METRIC, read_measurements

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
        from cost_analysis.compare.comparison import contest

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
        from cost_analysis.figures.heat_map import heat_map
        from cost_analysis.search.grid import make_grid

        return heat_map(make_grid(given_axes(None, axes)), value)

    draw("heatmap", compute, output, dpi)
