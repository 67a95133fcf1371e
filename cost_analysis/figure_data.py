"""The numbers behind the figures: each function computes what one figure shows, none draws."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cost_analysis.arrays import Number
from cost_analysis.baselines import (
    Baseline,
    family,
    measured_baseline,
    size_of,
)
from cost_analysis.claims import Setting, System, request_cost
from cost_analysis.errors import InputError
from cost_analysis.estimate import Estimate, estimate
from cost_analysis.latency import OperatorTime, Phase
from cost_analysis.scaling_law import Fit, fit
from cost_analysis.spec import ModelSpec, Workload
from cost_analysis.training_runs import Runs, published_runs

Array = npt.NDArray[np.float64]
Parts = dict[str, Array]

CURVE_POINTS = 160
"""Points of a curve over N."""

SURFACE_ROWS = 81
"""Values of P between the published ones that a contour is drawn through."""

MARGIN = 1.12
"""How far curves run beyond the smallest and the largest run."""

NOTHING = 1e-9
"""An increase below this share of what increases is rounding."""

MAP_BATCH, MAP_PROMPT = (1, 256), (64, 32_768)
MAP_STEPS = 4
"""Ends of the axes of a crossover map, and points for each doubling."""


@dataclass(frozen=True, slots=True, eq=False)
class LossSurface:
    """Predicted loss over N and P, and the runs that the law was fitted on.

    Attributes:
        dataset: "stack" or "pile".
        fitted: The law and its runs.
        parameters: Parameters without embeddings, N, (sizes,).
        streams: Parallel streams, P, (streams,).
        loss: Predicted loss, (streams, sizes).
    """

    dataset: str
    fitted: Fit
    parameters: Array
    streams: Array
    loss: Array


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
        memory_ratio: Increase of the measured baseline over that of the base at the largest P,
            (batches,); nan where there is none.
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


@dataclass(frozen=True, slots=True, eq=False)
class Breakdown:
    """Memory and time of a model by part, for several P.

    Attributes:
        spec: The model; its own P does not count.
        workload: The request.
        system: What runs it.
        streams: Parallel streams, P, (streams,).
        memory: Bytes of each part, (streams,); they sum to the memory of the request.
        prefill: Seconds of each part of the prefill, likewise.
        decode: Seconds of each part of all decode steps together, likewise.
    """

    spec: ModelSpec
    workload: Workload
    system: System
    streams: tuple[int, ...]
    memory: Parts
    prefill: Parts
    decode: Parts


def stream_counts(largest: int) -> tuple[int, ...]:
    """1, 2, 4, … up to the largest, which is always among them."""
    powers = (1 << exponent for exponent in range(largest.bit_length()))
    return tuple(sorted({*powers, largest}))


def loss_curves(dataset: str, streams: Sequence[int] = (1, 2, 4, 8)) -> LossSurface:
    """The fitted law over N, a curve for each P: the paper's Figure 2.

    Args:
        dataset: "stack" or "pile".
        streams: Parallel streams, P, of the curves.
    """
    return _surface(dataset, np.array(streams, np.float64))


def loss_surface(dataset: str, largest: int = 8) -> LossSurface:
    """The fitted law over N and P: the paper's Figure 3.

    Args:
        dataset: "stack" or "pile".
        largest: The largest P.

    Raises:
        InputError: The largest P is 1, which leaves no axis.
    """
    if largest < 2:
        raise InputError(f"P is {largest}; a surface over P needs P = 2 or more")
    return _surface(dataset, np.geomspace(1.0, float(largest), SURFACE_ROWS))


def _surface(dataset: str, streams: Array) -> LossSurface:
    fitted = fit(published_runs(dataset))
    sizes = fitted.runs.parameters
    parameters = np.geomspace(sizes.min() / MARGIN, sizes.max() * MARGIN, CURVE_POINTS)
    loss = np.asarray(fitted.law.loss(parameters[None], streams[:, None]))
    return LossSurface(dataset, fitted, parameters, streams, loss)


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
    runs = published_runs(dataset)
    specs = _from_base_up(base)
    sizes = tuple(spec.name.upper() for spec in specs)
    costs = np.array(
        [
            [
                _mean_costs(spec.with_streams(count), setting, system, cost_model)
                for count in streams
            ]
            for spec in specs
        ]
    )
    ratios = _measured_ratios(base.with_streams(max(streams)), runs, setting, system, cost_model)
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
    costs = request_cost(cost_model, spec, setting.workload, system)
    rows, lengths = len(setting.batch_sizes), len(setting.input_lengths)
    return np.array(
        [np.broadcast_to(cost, rows * lengths).reshape(rows, lengths).mean(1) for cost in costs]
    )


def _measured_ratios(
    streamed: ModelSpec, runs: Runs, setting: Setting, system: System, cost_model: str
) -> Array:
    """Ratios of the memory and latency increases, (2, batches); nan where there are none."""
    nothing = np.full((2, len(setting.batch_sizes)), np.nan)
    if streamed.streams == 1:
        return nothing
    try:
        baseline = measured_baseline(streamed, runs)
    except InputError:
        return nothing

    def cost_of(spec: ModelSpec) -> Array:
        return _mean_costs(spec, setting, system, cost_model)

    return _ratio(baseline.cost(cost_of), cost_of(streamed), cost_of(streamed.with_streams(1)))


def _ratio(wider: Number, streamed: Number, base: Number) -> Array:
    """Ratio of the increases; infinite where only the baseline's is one, nan where none is."""
    extra, added, least = np.asarray(wider - base), np.asarray(streamed - base), NOTHING * base
    none = np.where(extra > least, np.inf, np.nan)
    return np.where(added > least, extra / np.where(added > least, added, 1.0), none)


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
    base = streamed.with_streams(1)
    if streamed.streams < 2:
        raise InputError(f"P is {streamed.streams}; streams cross over from P = 2")
    if not baseline.parameters > size_of(base):
        raise InputError("the baseline is no larger than the base: there is nothing to compare")
    batch, prompt = _whole_steps(*MAP_BATCH), _whole_steps(*MAP_PROMPT)
    work = Workload(batch[None], prompt[:, None], output_length)

    def cost_of(spec: ModelSpec) -> Array:
        costs = request_cost(cost_model, spec, work, system)
        return np.array([np.broadcast_to(cost, (prompt.size, batch.size)) for cost in costs])

    costs = cost_of(streamed)
    memory, latency = _ratio(baseline.cost(cost_of), costs, cost_of(base))
    return CrossoverMap(
        streamed=streamed,
        baseline=baseline,
        cost_model=cost_model,
        system=system,
        output_length=output_length,
        batch=batch,
        prompt=prompt,
        memory_ratio=memory,
        latency_ratio=latency,
        streamed_memory=costs[0],
    )


def _whole_steps(first: int, last: int) -> Array:
    """Whole numbers between two, evenly in their logarithm."""
    points = 1 + MAP_STEPS * round(np.log2(last / first))
    return np.unique(np.round(np.geomspace(first, last, points)))


MEMORY_PARTS = (
    ("layers", ("layers",)),
    ("embedding, LM head", ("embedding", "lm_head")),
    ("prefixes, aggregator", ("prefix", "aggregator")),
    ("KV cache", ("kv_cache",)),
    ("activations", ("activations",)),
)
"""Parts of the memory and the fields of `memory.Memory` that they sum."""

OVERHEAD = "kernel floors, host"
TIME_PARTS = (
    ("attention", ("attention",)),
    ("MLP", ("mlp",)),
    ("LM head", ("lm head",)),
    ("embedding, aggregator", ("embedding", "aggregator")),
    (OVERHEAD, ()),
)
"""Parts of the time at the roofs and those of the operators that they sum, and what is above."""


def breakdown(
    spec: ModelSpec, streams: Sequence[int], workload: Workload, system: System
) -> Breakdown:
    """Memory and time by part, by our own cost model.

    Args:
        spec: The model; its own P does not count.
        streams: Parallel streams, P.
        workload: One request.
        system: What runs it.
    """
    costs = [
        estimate(
            spec.with_streams(count), workload, system.hardware, system.engine, system.precision
        )
        for count in streams
    ]
    return Breakdown(
        spec=spec,
        workload=workload,
        system=system,
        streams=tuple(streams),
        memory=_joined(_memory_parts(cost) for cost in costs),
        prefill=_joined(_time_parts(cost.prefill) for cost in costs),
        decode=_joined(_time_parts(cost.decode) for cost in costs),
    )


def _joined(rows: Iterable[dict[str, float]]) -> Parts:
    listed = list(rows)
    return {name: np.array([row[name] for row in listed]) for name in listed[0]}


def _memory_parts(cost: Estimate) -> dict[str, float]:
    return {
        part: sum(float(getattr(cost.memory, name)) for name in names)
        for part, names in MEMORY_PARTS
    }


def _time_parts(phase: Phase) -> dict[str, float]:
    """Seconds of each part at the roofs; the floors of all kernels and the host are one part."""
    seconds = {
        part: sum(_at_roofs(time) for time in phase.times if time.operator.part in operators)
        for part, operators in TIME_PARTS
    }
    seconds[OVERHEAD] = sum(float(time.overhead * time.runs) for time in phase.times)
    return seconds


def _at_roofs(time: OperatorTime) -> float:
    return float((time.seconds - time.overhead) * time.runs)
