"""Records of the flags of the figures that `plot` draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click

from cost_analysis.cli.flags import Flags, flag
from cost_analysis.cli.option_types import NAMES, NUMBERS
from cost_analysis.cli.options import MEASUREMENTS_HELP, base_flag, baseline_flag, dataset_flag

MOST_STREAMS = 256
"""Largest P of a figure: more curves or bars could not be distinguished."""

LENGTHS = "64,128,256,512, input = output"


def _streams(text: str) -> Any:
    return flag(
        "Figure",
        "--P",
        type=click.IntRange(1, MOST_STREAMS),
        default=8,
        show_default=True,
        help=text,
    )


def _cost_model(default: str) -> Any:
    """The cost model whose costs are drawn."""
    return flag(
        "Figure",
        "--cost_model",
        type=click.Choice(["published", "operators"]),
        default=default,
        show_default=True,
        help="The paper's, or ours.",
    )


def _numbers(name: str, default: str, text: str) -> Any:
    """A flag of the workload that takes several numbers."""
    shown = f"{text} [default: {default}]"
    return flag("Workload", f"--{name}", type=NUMBERS, metavar="N[,N…]", help=shown)


def _number(name: str, default: int, text: str) -> Any:
    """A flag of the workload that takes one number."""
    return flag(
        "Workload",
        f"--{name}",
        type=int,
        default=default,
        show_default=True,
        metavar="N",
        help=text,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureFlags(Flags):
    """Where a figure goes, and how fine it is."""

    output: str | None = flag(
        "Output",
        "--output",
        type=click.Path(),
        metavar="FILE",
        help="Where to write it: .png, .svg or .pdf. [default: the figure's name.png, here]",
    )
    dpi: int = flag(
        "Output",
        "--dpi",
        type=click.IntRange(50, 600),
        default=150,
        show_default=True,
        help="Pixels an inch of a PNG; figures are 9 inches wide.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveFlags(Flags):
    """The curves of the paper's Figure 2."""

    streams: int = _streams("Largest number of streams: a curve for 1, 2, 4, … up to it.")
    dataset: str | None = dataset_flag("Figure", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContourFlags(Flags):
    """The contours of the paper's Figure 3."""

    streams: int = _streams("Largest number of streams.")
    dataset: str | None = dataset_flag("Figure", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class CostGridFlags(Flags):
    """The panels of the paper's Figure 4."""

    base: str = base_flag("Figure")
    streams: int = _streams("Largest number of streams, of the published runs.")
    dataset: str = dataset_flag("Figure")
    cost_model: str = _cost_model("published")
    batch_size: tuple[int, ...] | None = _numbers(
        "batch_size", "1,2,4,8", "Batch sizes, a column each."
    )
    input_length: tuple[int, ...] | None = _numbers(
        "input_length", LENGTHS, "Prompt lengths that costs are means over."
    )
    output_length: tuple[int, ...] | None = _numbers(
        "output_length", LENGTHS, "Output lengths, paired with them."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MapFlags(Flags):
    """The map of crossovers."""

    base: str = base_flag("Figure")
    streams: int = _streams("Parallel streams.")
    baseline: str = baseline_flag("Figure")
    dataset: str = dataset_flag("Figure")
    cost_model: str = _cost_model("operators")
    output_length: int = _number("output_length", 64, "Generated tokens of each sequence.")


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuFlags(Flags):
    """The claims on measured devices and engines."""

    base: str = base_flag("Figure")
    streams: int = _streams("Parallel streams.")
    kernels: str = flag(
        "Figure",
        "--kernels",
        type=click.Choice(["fitted", "measured"]),
        default="fitted",
        show_default=True,
        help="Times of kernels by curves, or by the tables of timings (extra 'kernels').",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BarFlags(Flags):
    """The bars of memory and time by part."""

    base: str = base_flag("Figure")
    streams: int = _streams("Largest number of streams: a bar for 1, 2, 4, … up to it.")
    batch_size: int = _number("batch_size", 1, "Sequences.")
    input_length: int = _number("input_length", 64, "Prompt tokens of each.")
    output_length: int = _number("output_length", 64, "Generated tokens of each.")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyFlags(Flags):
    """The measurements that are drawn."""

    measurements: str | None = flag(
        "Figure", "--measurements", metavar="FILE", help=MEASUREMENTS_HELP
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodFlags(Flags):
    """Which ways of spending compute are drawn."""

    names: tuple[str, ...] = flag(
        "Figure",
        "--with",
        type=NAMES,
        default="dense,parscale,moe,best-of-n,longer,loop,plt,phd",
        show_default=True,
        metavar="METHODS",
        help="Ways of spending compute, as for `compare --with`.",
    )
    baseline: str = baseline_flag("Figure")
    dataset: str = dataset_flag("Figure")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatFlags(Flags):
    """Which column of a sweep is drawn."""

    value: str = flag(
        "Figure",
        "--value",
        default="latency_tpot_s",
        show_default=True,
        metavar="COLUMN",
        help="Column of a sweep to show.",
    )
