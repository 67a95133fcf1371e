"""The paper's Figures 2 to 4 as subcommands of `plot`."""

from __future__ import annotations

from typing import Any

import click

from cost_analysis.errors import InputError
from cost_analysis.options import (
    base_option,
    dataset_option,
    stream_counts,
    system_from,
    system_options,
)
from cost_analysis.plot_options import (
    LENGTHS,
    chosen_datasets,
    cost_model_option,
    dpi_option,
    draw,
    numbers_option,
    output_option,
    streams_option,
)
from cost_analysis.sections import SectionedCommand


@click.command(cls=SectionedCommand)
@streams_option("Largest number of streams: a curve for 1, 2, 4, … up to it.")
@dataset_option("Figure", default=None)
@output_option
@dpi_option
def figure2(streams: int, dataset: str | None, output: str | None, dpi: int) -> None:
    """The paper's Figure 2: loss against N, runs and fitted law."""

    def compute() -> Any:
        from cost_analysis.law_data import loss_curves

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
        from cost_analysis.law_data import loss_surface

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
        from cost_analysis import cost_data, profiles, request_costs

        prompts = input_length or output_length or request_costs.DIAGONAL
        return cost_data.cost_grid(
            profiles.load_model(base).spec,
            stream_counts(streams),
            request_costs.Setting(columns, prompts, output_length or prompts),
            request_costs.System(**system_from(options)),
            cost_model,
            dataset,
        )

    draw("figure4", compute, output, dpi)
