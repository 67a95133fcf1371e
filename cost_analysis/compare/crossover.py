"""Where the advantage of streams over parameters ends: batch, prompt, streams, prompt share.

Streams have an advantage while the streamed model costs less than the parameter-scaled model of
equal loss: then the ratio of the increases is above 1. It ends at the smallest batch, context,
number of streams or share of the prompt at which the streamed model costs more. That value is
bracketed on a grid, which is evaluated in one call, and then found as the first change of sign.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from cost_analysis.common.arrays import Array, Number
from cost_analysis.compare.cost_models import COST_MODELS, Setting, request_cost
from cost_analysis.inputs.device import Hardware
from cost_analysis.inputs.dtypes import Precision, dtype_named
from cost_analysis.inputs.engine import Engine
from cost_analysis.inputs.spec import ModelSpec, Workload
from cost_analysis.inputs.system import System
from cost_analysis.law.equal_loss import Baseline, sized_baseline
from cost_analysis.law.family import in_family, size_of
from cost_analysis.law.scaling_law import ScalingLaw

PER_OCTAVE = 48
"""Points of the first grid for each doubling."""

Advantage = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]
"""From whole numbers to the cost of the baseline less that of the streamed model."""


@dataclass(frozen=True, slots=True)
class Crossover:
    """Where an advantage ends on one axis.

    Attributes:
        first: The smallest value without advantage; None if there is none up to `last`.
        lowest: Where the search began.
        last: Where it ended.
    """

    first: int | None
    lowest: int
    last: int

    @property
    def always(self) -> bool:
        """The advantage holds over the whole range."""
        return self.first is None

    @property
    def never(self) -> bool:
        """There is no advantage at the lowest value already."""
        return self.first == self.lowest


def first_loss(advantage: Advantage, lowest: int, last: int) -> Crossover:
    """The smallest whole number at which an advantage is negative.

    Args:
        advantage: Evaluated for many values at once.
        lowest: The first value to look at.
        last: The last one.
    """
    grid = _grid(lowest, last)
    while True:
        lost = np.flatnonzero(advantage(grid.astype(np.float64)) < 0)
        if not len(lost):
            return Crossover(None, lowest, last)
        index = int(lost[0])
        if index == 0 or grid[index] - grid[index - 1] == 1:
            return Crossover(int(grid[index]), lowest, last)
        grid = _between(int(grid[index - 1]), int(grid[index]))


def _grid(lowest: int, last: int) -> npt.NDArray[np.int64]:
    """Whole numbers from `lowest` to `last`: all small ones, then evenly in their logarithm."""
    points = 2 + math.ceil(PER_OCTAVE * math.log2(max(last / lowest, 1)))
    return np.unique(np.round(np.geomspace(lowest, last, points)).astype(np.int64))


def _between(left: int, right: int) -> npt.NDArray[np.int64]:
    """The ends and up to 256 whole numbers between them."""
    return np.unique(np.linspace(left, right, min(right - left + 1, 258)).round().astype(np.int64))


def ridge_tokens(hardware: Hardware, engine: Engine, precision: Precision) -> Number:
    """Token-streams a pass, P·B, up to which a matrix product waits for its weights.

    Below it, more streams or sequences take no more time; above it, each takes more. From the
    roofs: FLOP/s over B/s, times the bytes of a weight over the two FLOPs of a token with it.

    Args:
        hardware: The device.
        engine: Shares of its roofs that are reached.
        precision: Storage formats.
    """
    flops = engine.flops_rate(hardware, precision.compute)
    bandwidth = engine.bytes_rate(hardware)
    return flops / bandwidth * dtype_named(precision.weights).bytes / 2.0


def compute_bound_penalty(multiplier: float, streams: int) -> float:
    """How many times the compute of the equal-loss model the streams need, P / (1 + k·ln P).

    The ratio of the times of the streamed model and the baseline where compute limits both.

    Args:
        multiplier: 1 + k·ln P of the law.
        streams: Parallel streams, P.
    """
    return streams / multiplier


AXES = ("batch_size", "input_length", "P", "prompt_share")
METRICS = ("latency", "memory")
LOWEST = {"P": 2}
LAST = {"batch_size": 65_536, "input_length": 1_048_576, "P": 256}
"""Where the search ends; a share of the prompt ends one token short of the whole request."""


@dataclass(frozen=True, slots=True)
class CrossoverSearch:
    """A streamed model against the parameter-scaled model of equal loss, in one metric.

    Attributes:
        spec: The streamed model.
        baseline: The parameter-scaled model, on every axis but P.
        law: Gives the parameter-scaled model for each number of streams.
        setting: Requests; the axis that is solved for replaces its part of them.
        system: What runs the models.
        cost_model: "published" or "operators".
        metric: "latency" or "memory".
    """

    spec: ModelSpec
    baseline: Baseline
    law: ScalingLaw
    setting: Setting
    system: System
    cost_model: str
    metric: str

    def advantage(self, axis: str, values: Array) -> Array:
        """Cost of the baseline less that of the streamed model [B or s], mean over the requests.

        Args:
            axis: One of `AXES`; a share of the prompt is given as prompt tokens.
            values: Whole numbers.
        """
        work = workload_along(axis, values, self.setting)
        if axis != "P":
            return np.asarray(
                self._baseline_cost(self.baseline, work) - self._cost(self.spec, work)
            )
        streamed = self.spec.with_streams(values)
        return np.asarray(self._law_cost(values, work) - self._cost(streamed, work))

    def solve(self, axis: str) -> Crossover:
        """Where the advantage ends on an axis."""
        last = tokens_of(self.setting) - 1 if axis == "prompt_share" else LAST[axis]
        return first_loss(lambda values: self.advantage(axis, values), LOWEST.get(axis, 1), last)

    def _law_cost(self, streams: Array, work: Workload) -> Array:
        """Cost of the law's baseline for each number of streams."""
        own = size_of(self.spec.with_streams(streams))
        sizes = np.asarray(self.law.equal_loss_size(own, streams))
        if in_family(self.spec):
            return self._baseline_cost(sized_baseline(self.spec, sizes), work)
        one_by_one = [sized_baseline(self.spec, float(size)) for size in sizes]
        return np.array([self._baseline_cost(wider, work)[0] for wider in one_by_one])

    def _baseline_cost(self, baseline: Baseline, work: Workload) -> Array:
        return np.asarray(baseline.cost(lambda spec: self._cost(spec, work)))

    def _cost(self, spec: ModelSpec, work: Workload) -> Array:
        memory, latency = request_cost(self.cost_model, spec, work, self.system)
        value = np.atleast_2d(memory if self.metric == "memory" else latency)
        return np.asarray(value.mean(axis=0))


def workload_along(axis: str, values: Array, setting: Setting) -> Workload:
    """The requests of a setting, one a row, with one part replaced by the values, one a column."""
    work = setting.workload
    batch, prompt, output = (
        np.asarray(part)[:, None]
        for part in (work.batch_size, work.input_length, work.output_length)
    )
    if axis == "batch_size":
        batch = np.broadcast_to(values, (len(prompt), len(values)))
    elif axis == "input_length":
        prompt = np.broadcast_to(values, (len(batch), len(values)))
    elif axis == "prompt_share":
        prompt = np.broadcast_to(values, (len(batch), len(values)))
        output = tokens_of(setting) - prompt
    return Workload(batch, prompt, output)


def tokens_of(setting: Setting) -> int:
    """Prompt and output tokens of the longest request of a setting."""
    pairs = zip(setting.input_lengths, setting.output_lengths, strict=True)
    return max(prompt + output for prompt, output in pairs)


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where the advantage in one metric ends on one axis.

    Attributes:
        axis: One of `AXES`.
        metric: "latency" or "memory".
        cost_model: "published" or "operators".
        device: Profile name.
        found: The solution.
        meaning: The solution in words.
    """

    axis: str
    metric: str
    cost_model: str
    device: str
    found: Crossover
    meaning: str


def crossings(
    spec: ModelSpec,
    setting: Setting,
    system: System,
    baseline: Baseline,
    law: ScalingLaw,
    cost_models: Sequence[str] = COST_MODELS,
) -> list[Crossing]:
    """Where the advantage of streams ends, on every axis, in latency and memory.

    Args:
        spec: The streamed model.
        setting: Requests; an axis that is solved for replaces its part of them.
        system: What runs the models.
        baseline: The parameter-scaled model for the axes other than P.
        law: Gives the parameter-scaled model for each number of streams.
        cost_models: Which cost models.
    """
    found = []
    for model, metric in product(cost_models, METRICS):
        search = CrossoverSearch(spec, baseline, law, setting, system, model, metric)
        for axis in AXES:
            solution = search.solve(axis)
            meaning = _meaning(axis, solution, tokens_of(setting))
            name = system.hardware.name
            found.append(Crossing(axis, metric, model, name, solution, meaning))
    return found


def _meaning(axis: str, found: Crossover, tokens: int) -> str:
    """Where the advantage of streams ends, in words."""
    if found.first is None:
        return "never" if axis == "prompt_share" else f"not up to {found.last:,}"
    if found.never:
        return f"they never pay (from {found.lowest})"
    if axis == "prompt_share":
        return f"{found.first / tokens:.0%} of {tokens:,} tokens"
    return f"{found.first:,}"
