"""Flags that the figures share, and how a figure is drawn and written.

NumPy, SciPy and matplotlib are imported when a figure is drawn, not before.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from cost_analysis.errors import InputError
from cost_analysis.option_types import NUMBERS
from cost_analysis.report import write_file
from cost_analysis.sections import Command, section_option

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
    from cost_analysis.training_runs import DATASETS

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
        from cost_analysis import plots
    except ImportError as error:
        if (error.name or "").split(".")[0] not in ("matplotlib", "PIL"):
            raise
        raise InputError(
            "figures need matplotlib, which is not installed; pip install 'parscale-cost[plot]'"
        ) from None
    return plots
