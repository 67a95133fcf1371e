"""What all figures share: the page, the style, axes, legends, captions' words, file formats.

Without pyplot: figures are objects, a user's own settings are put aside while one is drawn, and
the same numbers give the same bytes. Hue repeats what line style, marker, hatch and lightness say,
so that every figure can be read in grey.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter
from PIL import Image

from cost_analysis.common.arrays import Array, single
from cost_analysis.common.units import format_count
from cost_analysis.cost.published import BANDWIDTH_EFFICIENCY, FLOPS_EFFICIENCY
from cost_analysis.inputs.spec import ModelSpec
from cost_analysis.inputs.system import System
from cost_analysis.law.family import FAMILY, size_of

COLUMNS = 136
"""Letters of a line below a figure."""

UNBROKEN = "\N{NO-BREAK SPACE}"
"""Space in a name that a caption does not break; drawn as a plain one."""


def wrapped(caption: str) -> str:
    """A caption in lines that fit below a figure."""
    return textwrap.fill(caption, COLUMNS).replace(UNBROKEN, " ")


def cost_model_title(name: str, system: System) -> str:
    """A cost model in words, with the device and the efficiencies that it takes."""
    device = system.hardware.description.replace(" ", UNBROKEN)
    if name == "operators":
        formats = f"weights {system.precision.weights}, cache {system.precision.kv_cache}"
        return f"our cost model, engine {system.engine.name}, {formats}, on {device}"
    flops = system.flops_efficiency or FLOPS_EFFICIENCY
    bandwidth = system.bandwidth_efficiency or BANDWIDTH_EFFICIENCY
    return f"the published cost model at {flops:g} and {bandwidth:g} of the roofs of {device}"


def lengths_title(prompts: Sequence[int], outputs: Sequence[int]) -> str:
    """Pairs of prompt and output lengths in words."""
    if tuple(prompts) == tuple(outputs):
        return f"input = output of {', '.join(map(str, prompts))} tokens"
    pairs = (
        f"{prompt} + {output}".replace(" ", UNBROKEN)
        for prompt, output in zip(prompts, outputs, strict=True)
    )
    return f"input + output of {', '.join(pairs)} tokens"


def model_title(spec: ModelSpec) -> str:
    """What a model is called in a caption."""
    if spec.name in FAMILY:
        return spec.name.upper()
    return spec.name or f"a model of {format_count(single(size_of(spec)))} parameters"


WIDTH = 9.0
"""Width of every figure [inch]."""

STYLE: Mapping[str, Any] = {
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.0,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "0.88",
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.6,
    "hatch.color": "0.25",
    "svg.fonttype": "none",
    "svg.hashsalt": "parscale-cost",
}
METADATA: Mapping[str, dict[str, Any]] = {
    "png": {},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}
"""Formats, and what leaves the date out of each."""

MARKERS = "os^DvPX*h"
LINES = ("-", "--", "-.", ":")


def picture(draw: Callable[[], Figure], form: str, dpi: int = 150) -> bytes:
    """A figure as the bytes of a file.

    Args:
        draw: Draws it.
        form: A key of `METADATA`.
        dpi: Pixels an inch of a PNG.
    """
    buffer = io.BytesIO()
    with matplotlib.style.context(["default", dict(STYLE)]):
        draw().savefig(buffer, format=form, dpi=dpi, metadata=METADATA[form])
    return _with_palette(buffer, dpi) if form == "png" else buffer.getvalue()


def _with_palette(buffer: io.BytesIO, dpi: int) -> bytes:
    """A PNG of 256 colours, which line art does not exceed: a third of the size."""
    smaller = io.BytesIO()
    with Image.open(buffer) as image:
        flat = image.convert("RGB").quantize(
            256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
        )
    flat.save(smaller, "png", optimize=True, dpi=(dpi, dpi))
    return smaller.getvalue()


def new_figure(height: float) -> Figure:
    """An empty page of a height [inch]."""
    return Figure(figsize=(WIDTH, height), layout="constrained")


def row_of_axes(figure: Figure, count: int) -> list[Axes]:
    """Axes side by side."""
    return list(figure.subplots(1, count, squeeze=False)[0])


def write_caption(figure: Figure, text: str) -> None:
    """A sentence below a figure."""
    figure.supxlabel(wrapped(text), x=0.01, ha="left", fontsize=8, color="0.2", linespacing=1.3)


def label_panel(
    axes: Axes, title: str, horizontal: str, vertical: str, *, grid: bool = True
) -> None:
    """Title and names of the axes."""
    axes.set_title(title)
    axes.set_xlabel(horizontal)
    axes.set_ylabel(vertical)
    axes.grid(visible=grid)


def stream_style(index: int, count: int) -> dict[str, Any]:
    """Line, marker and a colour that darkens with P."""
    shade = matplotlib.colormaps["viridis"](0.72 * (1 - index / max(count - 1, 1)))
    return {
        "color": shade,
        "linestyle": LINES[index % len(LINES)],
        "marker": MARKERS[index % len(MARKERS)],
    }


def marker_of(style: Mapping[str, Any]) -> dict[str, Any]:
    """The marker of a style, edged in white."""
    return {
        "marker": style["marker"],
        "color": style["color"],
        "markeredgecolor": "white",
        "markeredgewidth": 0.6,
        "markersize": 6.5,
    }


def stream_handles(streams: Sequence[float] | Array) -> list[Line2D]:
    """Legend entries, one a number of streams."""
    styles = (stream_style(index, len(streams)) for index in range(len(streams)))
    return [
        Line2D([], [], label=f"P = {count:g}", linestyle=style["linestyle"], **marker_of(style))
        for count, style in zip(streams, styles, strict=True)
    ]


def log_axis(axes: Axes, which: str) -> None:
    """A logarithmic axis for what is drawn already, labelled two or three times a decade."""
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axis.get_view_interval()
    subs = (1.0, 2.0, 5.0) if high < 300 * low else (1.0, 3.0)
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_formatter(NullFormatter())


def doubling_axis(axes: Axes, which: str, values: Array) -> None:
    """An axis in powers of 2, for what is drawn over `np.log2` of the values."""
    ends = np.log2(values[[0, -1]])
    axes.set(**{f"{which}lim": ends})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(FixedLocator(list(np.arange(np.ceil(ends[0]), ends[1] + 0.5))))
    axis.set_major_formatter(FuncFormatter(lambda power, _: f"{2.0**power:,.0f}"))
