"""The command `serving`, and its flags, which `plot throughput` has too.

The modules that calculate are imported inside, so that the help loads neither NumPy nor SciPy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from cost_analysis.cli.flags import Flags, SectionedCommand, flag, takes_flags
from cost_analysis.cli.option_types import BYTES, NUMBERS, POSITIVE, Several
from cost_analysis.cli.options import (
    DEVICE,
    LayoutFlags,
    ModelFlags,
    SystemFlags,
    baseline_flag,
    dataset_flag,
    request_from,
    stream_counts,
)
from cost_analysis.cli.output import OutputFlags, print_answer
from cost_analysis.common.arrays import single_count
from cost_analysis.common.errors import InputError

if TYPE_CHECKING:
    from cost_analysis.search.queueing import Lengths
    from cost_analysis.search.serving import ServingView


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthFlags(Flags):
    """Lengths of the requests: one or several kinds, or a file."""

    input_length: tuple[int, ...] | None = flag(
        "Workload",
        "--input_length",
        type=NUMBERS,
        metavar="N[,N…]",
        help="Prompt tokens: one length, or several kinds of requests. [default: 512]",
    )
    output_length: tuple[int, ...] | None = flag(
        "Workload",
        "--output_length",
        type=NUMBERS,
        metavar="N[,N…]",
        help="Generated tokens, paired with them. [default: 128]",
    )
    length_weights: tuple[float, ...] | None = flag(
        "Workload",
        "--length_weights",
        type=Several(click.FLOAT),
        metavar="W[,W…]",
        help="How often each kind comes. [default: all alike]",
    )
    lengths_file: str | None = flag(
        "Workload",
        "--lengths",
        metavar="FILE",
        help="CSV of requests instead: input_length, output_length and, if you like, weight.",
    )

    def lengths(self) -> Lengths:
        """The lengths of the requests."""
        from cost_analysis.search.queueing import Lengths
        from cost_analysis.search.serving import read_lengths

        if self.lengths_file is None:
            return Lengths(
                self.input_length or (512,),
                self.output_length or (128,),
                self.length_weights or 1.0,
            )
        for name in ("input_length", "output_length", "length_weights"):
            if getattr(self, name) is not None:
                raise InputError(f"give --lengths or --{name}, not both")
        return read_lengths(self.lengths_file)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingFlags(Flags):
    """The model, the system that serves it, and the lengths of its requests."""

    model: ModelFlags
    baseline: str = baseline_flag("Wider model of equal loss")
    dataset: str = dataset_flag("Wider model of equal loss")
    asked: LengthFlags
    max_requests: int = flag(
        "Workload",
        "--max_requests",
        type=click.IntRange(1, 65_536),
        default=1024,
        show_default=True,
        help="Requests that the engine decodes together at most.",
    )
    memory_limit: float | None = flag(
        DEVICE,
        "--memory_limit",
        type=BYTES,
        metavar="SIZE",
        help="Memory that may be used, like 40GB. [default: the device's]",
    )
    system: SystemFlags
    layout: LayoutFlags

    def view(self) -> ServingView:
        """The model under load with 1, 2, 4, … streams up to P, beside the wider model."""
        from cost_analysis.search.queueing import Server
        from cost_analysis.search.serving import serving_view

        lengths = self.asked.lengths()
        request = request_from(self.model, None, self.system, self.layout)
        return serving_view(
            Server(request.spec, lengths, request.system, self.max_requests),
            stream_counts(single_count(request.spec.streams)),
            memory_limit=self.memory_limit,
            baseline=self.baseline,
            dataset=self.dataset,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownFlags(Flags):
    """The rate at which requests arrive, and the rows of a CSV."""

    request_rate: float | None = flag(
        "Workload",
        "--request_rate",
        type=POSITIVE,
        metavar="RATE",
        help="Requests a second that arrive at random.",
    )
    rows: str | None = flag(
        "Output",
        "--rows",
        type=click.Choice(["load", "batch", "models"]),
        help="With CSV: speed against load, against batch, or what fits. [default: load]",
    )


@click.command(cls=SectionedCommand)
@takes_flags
def serving(asked: ServingFlags, shown: ShownFlags, output: OutputFlags) -> None:
    """Many users at once: what fits, speed against load, streams against parameters."""
    from cost_analysis.report.serving import serving_page, serving_record

    if shown.rows is not None and output.chosen_format != "csv":
        raise InputError("--rows chooses the rows of a CSV; give --format csv with it")
    rate = shown.request_rate
    view = asked.view()
    record = serving_record(view, rate)
    page = serving_page(view, rate)
    print_answer(page, record, record[shown.rows or "load"], output)
