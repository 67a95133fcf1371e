"""The command `plot`: the figures, one subcommand each.

NumPy, SciPy and matplotlib are imported when a figure is drawn, not before.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cost_analysis.cli.figure_flags import (
    AccuracyFlags,
    BarFlags,
    ContourFlags,
    CostGridFlags,
    CurveFlags,
    GpuFlags,
    HeatFlags,
    MapFlags,
    MethodFlags,
    PictureFlags,
)
from cost_analysis.cli.flags import SectionedCommand, takes_flags
from cost_analysis.cli.options import (
    ModelFlags,
    SystemFlags,
    WorkloadFlags,
    chosen_datasets,
    request_from,
    stream_counts,
)
from cost_analysis.cli.plan import PlanFlags, answered, question
from cost_analysis.cli.serving import ServingFlags
from cost_analysis.cli.sweep import AxisFlags
from cost_analysis.common.errors import InputError
from cost_analysis.common.files import write_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORM_OF_ENDING = {".png": "png", ".svg": "svg", ".pdf": "pdf"}


Drawing = tuple[Callable[[Any], "Figure"], Any]
"""What draws a figure, and the numbers that it draws."""


def draw(name: str, compute: Callable[[], Drawing], picture: PictureFlags) -> None:
    """Compute a figure's numbers, draw it, write it, and print its path."""
    target = Path(picture.output or f"{name}.png")
    form = FORM_OF_ENDING.get(target.suffix.lower())
    if form is None:
        raise InputError(f"--output is {str(target)!r}; it must end in {', '.join(FORM_OF_ENDING)}")
    drawn = _picture()
    figure, data = compute()
    write_file(target, drawn(lambda: figure(data), form, picture.dpi))
    click.echo(f"wrote {target}")


def _picture() -> Callable[[Callable[[], Figure], str, int], bytes]:
    """What turns a figure into a file's content.

    Raises:
        InputError: matplotlib is not installed.
    """
    try:
        from cost_analysis.figures.style import picture
    except ImportError as error:
        if (error.name or "").split(".")[0] not in ("matplotlib", "PIL"):
            raise
        raise InputError(
            "figures need matplotlib, which is not installed; pip install 'parscale-cost[plot]'"
        ) from None
    return picture


@click.command(cls=SectionedCommand)
@takes_flags
def figure2(asked: CurveFlags, picture: PictureFlags) -> None:
    """The paper's Figure 2: loss against N, runs and fitted law."""

    def compute() -> Drawing:
        from cost_analysis.figures.law import figure2, loss_curves

        counts = stream_counts(asked.streams)
        return figure2, [loss_curves(name, counts) for name in chosen_datasets(asked.dataset)]

    draw("figure2", compute, picture)


@click.command(cls=SectionedCommand)
@takes_flags
def figure3(asked: ContourFlags, picture: PictureFlags) -> None:
    """The paper's Figure 3: contours of predicted loss over N and P."""

    def compute() -> Drawing:
        from cost_analysis.figures.law import figure3, loss_surface

        names = chosen_datasets(asked.dataset)
        return figure3, [loss_surface(name, asked.streams) for name in names]

    draw("figure3", compute, picture)


@click.command(cls=SectionedCommand)
@takes_flags
def figure4(asked: CostGridFlags, system: SystemFlags, picture: PictureFlags) -> None:
    """The paper's Figure 4: loss against memory and latency."""
    columns = asked.batch_size or (1, 2, 4, 8)
    if len(columns) > 6:
        raise InputError(f"{len(columns)} batch sizes are too many columns; give up to 6")

    def compute() -> Drawing:
        from cost_analysis.compare import cost_models
        from cost_analysis.figures.costs import cost_grid, figure4
        from cost_analysis.inputs import models

        prompts = asked.input_length or asked.output_length or cost_models.DIAGONAL
        return figure4, cost_grid(
            models.load_model(asked.base).spec,
            stream_counts(asked.streams),
            cost_models.Setting(columns, prompts, asked.output_length or prompts),
            system.system(),
            asked.cost_model,
            asked.dataset,
        )

    draw("figure4", compute, picture)


class PlotGroup(click.Group):
    """A group that shows its help when no figure is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Show the help if nothing is given."""
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
@takes_flags
def crossover(asked: MapFlags, system: SystemFlags, picture: PictureFlags) -> None:
    """Where streams add less than parameters, over batch and prompt."""

    def compute() -> Drawing:
        from cost_analysis.figures.crossover_map import crossover, crossover_map
        from cost_analysis.inputs import models
        from cost_analysis.law.equal_loss import chosen_baseline
        from cost_analysis.law.runs import published_runs
        from cost_analysis.law.scaling_law import fit

        streamed = models.load_model(asked.base).spec.with_streams(asked.streams)
        chosen = chosen_baseline(streamed, asked.baseline, fit(published_runs(asked.dataset)))
        where, length = system.system(), asked.output_length
        return crossover, crossover_map(streamed, chosen, where, asked.cost_model, length)

    draw("crossover", compute, picture)


@plot.command(cls=SectionedCommand)
@takes_flags
def breakdown(asked: BarFlags, system: SystemFlags, picture: PictureFlags) -> None:
    """Memory and time by part, and what the streams add."""

    def compute() -> Drawing:
        from cost_analysis.figures.breakdown import breakdown, breakdown_parts
        from cost_analysis.inputs import models, spec

        return breakdown, breakdown_parts(
            models.load_model(asked.base).spec,
            stream_counts(asked.streams),
            spec.Workload(asked.batch_size, asked.input_length, asked.output_length),
            system.system(),
        )

    draw("breakdown", compute, picture)


@plot.command(cls=SectionedCommand)
@click.argument("journals", nargs=-1, required=True, metavar="RUN...")
@takes_flags
def measured(journals: tuple[str, ...], picture: PictureFlags) -> None:
    """What validations measured, beside what was claimed; from journals."""

    def compute() -> Drawing:
        from cost_analysis.figures.measured import measured
        from cost_analysis.measure.verdicts import read_verdicts

        found = read_verdicts(journals)
        return measured, {name: verdicts for name, (_, verdicts) in found.items()}

    draw("measured", compute, picture)


@plot.command(cls=SectionedCommand)
@takes_flags
def accuracy(asked: AccuracyFlags, picture: PictureFlags) -> None:
    """Predicted against measured times of the cited rows, or of yours."""

    def compute() -> Drawing:
        from cost_analysis.figures.measured import accuracy
        from cost_analysis.fitting.accuracy import predictions, represented
        from cost_analysis.fitting.measurements import MEMORY_METRIC, read_measurements

        path = Path(asked.measurements) if asked.measurements else None
        rows, _ = represented(read_measurements(path))
        times = [row for row in rows if row.metric != MEMORY_METRIC]
        if not times:
            raise InputError("no row of time that the model can represent")
        return accuracy, predictions(times)

    draw("accuracy", compute, picture)


@plot.command(cls=SectionedCommand)
@takes_flags
def pareto(flags: PlanFlags, picture: PictureFlags) -> None:
    """Loss against memory and latency, by streams; the flags of `plan`."""

    def compute() -> Drawing:
        from cost_analysis.figures.plan import pareto

        asked = question(flags)
        return pareto, (asked, answered(asked))

    draw("pareto", compute, picture)


@plot.command(cls=SectionedCommand)
@takes_flags
def throughput(asked: ServingFlags, picture: PictureFlags) -> None:
    """Throughput against speed, and latency against load; the flags of `serving`."""

    def compute() -> Drawing:
        from cost_analysis.figures.plan import throughput

        return throughput, asked.view()

    draw("throughput", compute, picture)


@plot.command("claims-on-gpus", cls=SectionedCommand)
@takes_flags
def claims_on_gpus(asked: GpuFlags, picture: PictureFlags) -> None:
    """Ratios of latency on each measured device and engine, beside the paper's."""

    def compute() -> Drawing:
        from cost_analysis.compare import claims_on_gpus as gpus
        from cost_analysis.compare.claims import BATCHES
        from cost_analysis.compare.cost_models import Setting
        from cost_analysis.figures.claims_on_gpus import claims_on_gpus
        from cost_analysis.inputs.dtypes import Precision
        from cost_analysis.inputs.models import load_model
        from cost_analysis.inputs.system import named_system

        make = partial(named_system, kernels=asked.kernels)
        systems = gpus.measured_systems(make, Precision())
        spec = load_model(asked.base).spec
        question = gpus.Question(spec, asked.streams, Setting(BATCHES[-1]))
        return claims_on_gpus, gpus.claims_on_gpus(question, systems, with_ends=False)

    draw("claims-on-gpus", compute, picture)


@plot.command(cls=SectionedCommand)
@takes_flags
def methods(
    asked: MethodFlags,
    model: ModelFlags,
    workload: WorkloadFlags,
    system: SystemFlags,
    picture: PictureFlags,
) -> None:
    """Ways of spending compute: what each costs over the base."""

    def compute() -> Drawing:
        from cost_analysis.compare.comparison import method_comparison
        from cost_analysis.figures.costs import methods

        request = request_from(model, workload, system)
        found = method_comparison(
            request, asked.names, baseline=asked.baseline, dataset=asked.dataset
        )
        return methods, found

    draw("methods", compute, picture)


@plot.command(cls=SectionedCommand)
@takes_flags
def heatmap(asked: HeatFlags, axes: AxisFlags, picture: PictureFlags) -> None:
    """One column of a sweep over two flags that take several values."""

    def compute() -> Drawing:
        from cost_analysis.figures.heat_map import heat_map, heatmap
        from cost_analysis.search.grid import make_grid

        return heatmap, heat_map(make_grid(axes.axes()), asked.value)

    draw("heatmap", compute, picture)
