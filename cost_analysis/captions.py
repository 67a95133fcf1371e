"""The words of the figures: names, formulas, and the sentence below each."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np

from cost_analysis.baselines import FAMILY, size_of
from cost_analysis.breakdown_data import Breakdown
from cost_analysis.cost_data import CostGrid, CrossoverMap
from cost_analysis.heat_map_data import HeatMap
from cost_analysis.law_data import LossSurface
from cost_analysis.method_choice import Contest
from cost_analysis.plan_question import Question
from cost_analysis.planner import Plan
from cost_analysis.published import BANDWIDTH_EFFICIENCY, FLOPS_EFFICIENCY
from cost_analysis.request_costs import System
from cost_analysis.serving_view import ServingView
from cost_analysis.spec import ModelSpec
from cost_analysis.units import format_count

COLUMNS = 136
"""Letters of a line below a figure."""

UNBROKEN = "\N{NO-BREAK SPACE}"
"""Space in a name that a caption does not break; drawn as a plain one."""

LAW_CURVES = (
    "Points: the 24 published runs. Curves: the law fitted on them (Huber loss of "
    "log losses, δ = 0.001). N counts prefixes and aggregator."
)
LAW_CONTOURS = (
    "Contours: the law fitted on the 24 published ParScale runs (circles); darker is a lower "
    "loss. N counts prefixes and aggregator."
)

MEASURED_RATIOS = (
    "Markers: measured, with 95 % intervals. Dashes: what the paper's cost model gives for the "
    "same request on its A100; where there is none, the paper makes no claim. Above 1×, streams "
    "add less than parameters of equal loss do."
)

PREDICTED_TIMES = (
    "Published measurements, times of a token, a step or a request, by engines that were fitted on "
    "these rows too; band: within 30 %. Median errors are those of 16-bit weights. "
    "`parscale-cost fit-latency` gives the errors on rows that a fit has not seen."
)


def wrapped(caption: str) -> str:
    """A caption in lines that fit below a figure."""
    return textwrap.fill(caption, COLUMNS).replace(UNBROKEN, " ")


def law_formula(panel: LossSurface) -> str:
    """A fitted law in figures, and how well it fits."""
    law = panel.fitted.law
    share = f"{format_count(law.A)} / (N (1 + {law.k:.3f} ln P))"
    return f"Loss = {law.E:.3f} + ({share})^{law.alpha:.3f}\nR² = {panel.fitted.r_squared:.4f}"


def trade_off_caption(grid: CostGrid) -> str:
    """What a grid of costs shows, and what its ratios are."""
    lengths = _lengths(grid.setting.input_lengths, grid.setting.output_lengths)
    text = (
        f"Loss: published runs. Cost: {_cost_model(grid.cost_model, grid.system)}, "
        f"{'at' if len(grid.setting.input_lengths) == 1 else 'mean over'} {lengths}."
    )
    if np.isfinite(grid.memory_ratio).any():
        text += (
            f" Bold: what parameters add to {grid.sizes[0]} at the loss of P = {grid.streams[-1]}, "
            "over what its streams add."
        )
    return text


def crossover_caption(found: CrossoverMap) -> str:
    """Which models a map compares, and what their costs come from."""
    return (
        f"{_called(found.streamed)} with P = {found.streamed.streams}; baseline "
        f"({found.baseline.method}): {found.baseline.description}; cost: "
        f"{_cost_model(found.cost_model, found.system)}; {found.output_length} output tokens."
    )


def breakdown_caption(parts: Breakdown) -> str:
    """Which request the bars break down, and what their parts hold."""
    work = parts.workload
    return (
        f"{_called(parts.spec)}; {_cost_model('operators', parts.system)}; batch "
        f"{work.batch_size:g}, {work.input_length:g} input and {work.output_length:g} output "
        "tokens. Decode: all steps together. Kernel floors: what a kernel takes however small it "
        "is."
    )


def pareto_caption(asked: Question, plan: Plan) -> str:
    """What a plan chose from."""
    largest = format_count(asked.fitted.runs.parameters.max())
    space = plan.space
    engines = dict.fromkeys(setup.engine.name for setup in space.setups)
    devices = dict.fromkeys(setup.hardware.description for setup in space.setups)
    formats = dict.fromkeys(setup.precision.weights for setup in space.setups)
    where = " or ".join(devices) if len(devices) < 4 else f"{len(devices)} devices"
    load = (
        f"batch {'/'.join(dict.fromkeys(str(setup.batch_size) for setup in space.setups))}"
        if space.rate is None
        else f"{space.rate:g} requests/s at random"
    )
    return (
        f"{where.replace(' ', UNBROKEN)}, engine {' or '.join(engines)}, "
        f"weights {' or '.join(formats)}; {load}, {space.input_length} input and "
        f"{space.output_length} "
        f"output tokens. Sizes: {_called(space.base)} wider or narrower, within all limits (dots). "
        "Below: the loss that streams save at the same cost. Loss: the law fitted on "
        f"{asked.law}; above {largest} parameters it is extrapolated."
    )


def serving_caption(view: ServingView) -> str:
    """What is served, on what, and how that was computed."""
    server, lengths = view.streams[-1].server, view.lengths
    wider = f" Wider model: {view.chosen.description}." if view.chosen else ""
    return (
        f"{_called(view.spec)}, engine {server.engine.name}, weights {server.precision.weights}, "
        f"on {server.hardware.description.replace(' ', UNBROKEN)}; "
        f"{lengths.mean(lengths.prompts):.4g} input and {lengths.mean(lengths.outputs):.4g} output "
        f"tokens{' on average' if len(lengths.weights) > 1 else ''}.{wider} Left: batches of 1, 2, "
        "4, … up to what fits, a marker each. Right: Poisson arrivals, continuous batching, means "
        "of the steady state."
    )


def methods_caption(found: Contest) -> str:
    """Which request the methods answer."""
    request = found.request
    work = request.workload
    return (
        f"Multiples of {request.title} with one stream, on "
        f"{request.hardware.description.replace(' ', UNBROKEN)}, engine {request.engine.name}, "
        f"batch {work.batch_size:g}, {work.input_length:g} input and {work.output_length:g} output "
        "tokens. What a method gains is not shown."
    )


def heat_map_caption(found: HeatMap) -> str:
    """What a heat map holds fixed."""
    fixed = ", ".join(
        f"{name} {value}".replace(" ", UNBROKEN) for name, value in found.fixed.items()
    )
    return f"A cell is one estimate; {f'at {fixed}; ' if fixed else ''}all else by default."


def _cost_model(name: str, system: System) -> str:
    device = system.hardware.description.replace(" ", UNBROKEN)
    if name == "operators":
        formats = f"weights {system.precision.weights}, cache {system.precision.kv_cache}"
        return f"our cost model, engine {system.engine.name}, {formats}, on {device}"
    flops = system.flops_efficiency or FLOPS_EFFICIENCY
    bandwidth = system.bandwidth_efficiency or BANDWIDTH_EFFICIENCY
    return f"the published cost model at {flops:g} and {bandwidth:g} of the roofs of {device}"


def _lengths(prompts: Sequence[int], outputs: Sequence[int]) -> str:
    if tuple(prompts) == tuple(outputs):
        return f"input = output of {', '.join(map(str, prompts))} tokens"
    pairs = (
        f"{prompt} + {output}".replace(" ", UNBROKEN)
        for prompt, output in zip(prompts, outputs, strict=True)
    )
    return f"input + output of {', '.join(pairs)} tokens"


def _called(spec: ModelSpec) -> str:
    if spec.name in FAMILY:
        return spec.name.upper()
    return spec.name or f"a model of {format_count(size_of(spec))} parameters"
