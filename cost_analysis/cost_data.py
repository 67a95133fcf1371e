"""Costs of streams and of parameters: the numbers behind Figure 4 and the crossover map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from cost_analysis.baselines import Baseline, family, measured_baseline, size_of
from cost_analysis.compare import ratio_of_increases
from cost_analysis.errors import InputError
from cost_analysis.request_costs import Setting, System, mean_cost, request_cost
from cost_analysis.spec import ModelSpec, Workload
from cost_analysis.training_runs import Array, Runs, published_runs

MAP_BATCH, MAP_PROMPT = (1, 256), (64, 32_768)
MAP_STEPS = 4
"""Ends of the axes of a crossover map, and points for each doubling."""


@dataclass(frozen=True, slots=True, eq=False)
class CostGrid:
    """Measured loss and mean cost of published models at several P and batch sizes.

    Attributes:
        dataset: "stack" or "pile".
        cost_model: "published" or "operators".
        system: What runs the models.
        setting: Batch sizes, each a column of its own, and the lengths that costs are means over.
        sizes: Names of the models, smallest first; the first is the base.
        streams: Parallel streams, P, (streams,).
        loss: Final loss, (sizes, streams).
        memory: Memory [B], (sizes, streams, batches).
        latency: Latency [s], (sizes, streams, batches).
        memory_ratio: Ratio of the memory increases of the measured baseline and of the base at
            the largest P (`ratio_of_increases`), (batches,); nan where no baseline was measured.
        latency_ratio: The same of the latency.
    """

    dataset: str
    cost_model: str
    system: System
    setting: Setting
    sizes: tuple[str, ...]
    streams: tuple[int, ...]
    loss: Array
    memory: Array
    latency: Array
    memory_ratio: Array
    latency_ratio: Array


@dataclass(frozen=True, slots=True, eq=False)
class CrossoverMap:
    """How many times more the baseline adds than the streams, over batch and prompt.

    Attributes:
        streamed: The model with its streams.
        baseline: The parameter-scaled model of equal loss.
        cost_model: "published" or "operators".
        system: What runs the models.
        output_length: Generated tokens of every request.
        batch: Batch sizes, (batches,).
        prompt: Prompt tokens, (prompts,).
        memory_ratio: Ratio of the memory increases, (prompts, batches); infinite where only
            parameters add to it, nan where neither does.
        latency_ratio: Ratio of the latency increases, likewise.
        streamed_memory: Memory of the streamed model [B], likewise.
    """

    streamed: ModelSpec
    baseline: Baseline
    cost_model: str
    system: System
    output_length: int
    batch: Array
    prompt: Array
    memory_ratio: Array
    latency_ratio: Array
    streamed_memory: Array


def cost_grid(
    base: ModelSpec,
    streams: Sequence[int],
    setting: Setting,
    system: System,
    cost_model: str = "published",
    dataset: str = "stack",
) -> CostGrid:
    """Loss against cost of a published model and the larger ones: the paper's Figure 4.

    Args:
        base: A published model, at any P.
        streams: Parallel streams, P, of published runs.
        setting: Batch sizes, each on its own, and the lengths that costs are means over.
        system: What runs the models.
        cost_model: "published" or "operators".
        dataset: "stack" or "pile".

    Raises:
        InputError: No run of this model, or of this P.
    """
    runs, specs = published_runs(dataset), _from_base_up(base)
    sizes = tuple(spec.name.upper() for spec in specs)
    cost_of = partial(_mean_costs, setting=setting, system=system, cost_model=cost_model)
    costs = np.array([[cost_of(spec.with_streams(count)) for count in streams] for spec in specs])
    ratios = _measured_ratios(base.with_streams(max(streams)), runs, cost_of)
    return CostGrid(
        dataset=dataset,
        cost_model=cost_model,
        system=system,
        setting=setting,
        sizes=sizes,
        streams=tuple(streams),
        loss=np.array([[_run_loss(runs, size, count) for count in streams] for size in sizes]),
        memory=costs[:, :, 0],
        latency=costs[:, :, 1],
        memory_ratio=ratios[0],
        latency_ratio=ratios[1],
    )


def _from_base_up(base: ModelSpec) -> tuple[ModelSpec, ...]:
    names = [member.name for member in family()]
    if base.name not in names:
        raise InputError(
            f"losses were published for {', '.join(name.upper() for name in names)}, "
            f"not for {base.name or 'this model'}"
        )
    return family()[names.index(base.name) :]


def _run_loss(runs: Runs, size: str, streams: int) -> float:
    match = (np.array(runs.sizes) == size) & (runs.streams == streams)
    if not match.any():
        known = ", ".join(f"{count:g}" for count in np.unique(runs.streams))
        raise InputError(f"no published run has P = {streams}; runs exist for P = {known}")
    return float(runs.loss[match][0])


def _mean_costs(spec: ModelSpec, setting: Setting, system: System, cost_model: str) -> Array:
    """Memory [B] and latency [s], means over the lengths, (2, batches)."""
    columns = (replace(setting, batch_sizes=(batch,)) for batch in setting.batch_sizes)
    costs = [mean_cost(cost_model, spec, column, system) for column in columns]
    return np.array([[cost.memory for cost in costs], [cost.latency for cost in costs]])


def _measured_ratios(
    streamed: ModelSpec, runs: Runs, cost_of: Callable[[ModelSpec], Array]
) -> Array:
    """Ratios of the memory and latency increases, (2, batches); nan without a baseline."""
    costs, base = cost_of(streamed), cost_of(streamed.with_streams(1))
    try:
        wider = measured_baseline(streamed, runs).cost(cost_of)
    except InputError:
        wider = np.nan
    return np.asarray(ratio_of_increases(wider - base, costs - base, base))


def crossover_map(
    streamed: ModelSpec,
    baseline: Baseline,
    system: System,
    cost_model: str = "operators",
    output_length: int = 64,
) -> CrossoverMap:
    """Where streams cost less than parameters of equal loss, over batch and prompt.

    Args:
        streamed: The model with its streams, P of 2 or more.
        baseline: The parameter-scaled model of equal loss.
        system: What runs the models.
        cost_model: "published" or "operators".
        output_length: Generated tokens of every request.

    Raises:
        InputError: P is 1, or the baseline is no larger than the base: nothing increases.
    """
    _check_contest(streamed, baseline)
    batch, prompt = _whole_steps(*MAP_BATCH), _whole_steps(*MAP_PROMPT)
    work = Workload(batch[None], prompt[:, None], output_length)
    cost_of = partial(_costs_over, work=work, system=system, cost_model=cost_model)
    costs, base = cost_of(streamed), cost_of(streamed.with_streams(1))
    ratios = ratio_of_increases(baseline.cost(cost_of) - base, costs - base, base)
    return CrossoverMap(
        streamed=streamed,
        baseline=baseline,
        cost_model=cost_model,
        system=system,
        output_length=output_length,
        batch=batch,
        prompt=prompt,
        memory_ratio=ratios[0],
        latency_ratio=ratios[1],
        streamed_memory=costs[0],
    )


def _check_contest(streamed: ModelSpec, baseline: Baseline) -> None:
    if streamed.streams < 2:
        raise InputError(f"P is {streamed.streams}; streams cross over from P = 2")
    if not baseline.parameters > size_of(streamed.with_streams(1)):
        raise InputError("the baseline is no larger than the base: there is nothing to compare")


def _costs_over(spec: ModelSpec, work: Workload, system: System, cost_model: str) -> Array:
    """Memory [B] and latency [s] of every request of a map, (2, prompts, batches)."""
    shape = np.broadcast_shapes(np.shape(work.input_length), np.shape(work.batch_size))
    costs = request_cost(cost_model, spec, work, system)
    return np.array([np.broadcast_to(cost, shape) for cost in costs])


def _whole_steps(first: int, last: int) -> Array:
    """Whole numbers between two, evenly in their logarithm."""
    points = 1 + MAP_STEPS * round(np.log2(last / first))
    return np.unique(np.round(np.geomspace(first, last, points)))
