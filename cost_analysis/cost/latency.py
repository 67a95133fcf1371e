"""Seconds of a prefill and of all decode steps: operators, host, and pipeline stages.

A pass takes at least the time in which the host launches its layers, and the host may add to it.

In a pipeline's prefill the micro-batches follow one another: the last of m ends m − 1 times the
slowest stage after the first (GPipe, arXiv 1811.06965, section 2.3). In a decode step each
micro-batch passes all stages once: a step takes the time of one micro-batch in all stages, or of
all micro-batches in the slowest stage, whichever is longer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from cost_analysis.common.arrays import (
    Label,
    Number,
    as_float,
    ceil,
    clip,
    floor,
    maximum,
    minimum,
    where,
)
from cost_analysis.cost.operator import Growth, Operator, arithmetic_sum
from cost_analysis.cost.roofline import OperatorTime, Speeds
from cost_analysis.inputs.engine import Engine
from cost_analysis.inputs.layout import Layout, Stage, micro_batches, stages
from cost_analysis.inputs.spec import ModelSpec
from cost_analysis.kernels.shapes import Attention, LatentAttention
from cost_analysis.kernels.times import MODELLED


@dataclass(frozen=True, slots=True)
class Phase:
    """A prefill, or all decode steps together.

    Attributes:
        name: "prefill" or "decode".
        times: Operators in the order of execution, the host last; their sum is the phase.
        seconds: Time of the phase [s].
    """

    name: str
    times: tuple[OperatorTime, ...]
    seconds: Number

    @property
    def flops(self) -> Number:
        """FLOPs of the phase, attention as the full rectangle."""
        return sum((time.total_flops for time in self.times), 0.0)

    @property
    def bytes(self) -> Number:
        """Bytes moved in the phase [B]."""
        return sum((time.total_bytes for time in self.times), 0.0)


@dataclass(frozen=True, slots=True)
class Launched:
    """What the host has to do in a pass.

    Attributes:
        layers: Layers that it launches.
        sequences: Sequences that it schedules and samples for.
    """

    layers: Number
    sequences: Number

    def added(self, engine: Engine) -> Number:
        """Time that the host adds to a pass [s]."""
        each = engine.sequence_host_time
        # A plain 0.0 stays a scalar among arrays.
        if type(each) is float and each == 0.0:
            return engine.step_host_time
        return engine.step_host_time + each * self.sequences


def prefill_phase(operators: Sequence[Operator], launched: Launched, speeds: Speeds) -> Phase:
    """The time of one pass over the prompt.

    Args:
        operators: Operators of the pass (`forward_pass`).
        launched: What the host does in a pass.
        speeds: Rates of the engine on its device.
    """
    times = [speeds.time(operator) for operator in operators]
    device, engine = _sum_of_seconds(times), speeds.engine
    host = maximum(launched.layers * engine.layer_host_time - device, 0.0) + launched.added(engine)
    return Phase("prefill", (*times, waiting_time("host", host, speeds)), device + host)


def decode_phase(
    first: Sequence[Operator],
    growths: Sequence[Growth],
    steps: Number,
    launched: Launched,
    speeds: Speeds,
) -> Phase:
    """The time of all decode steps, each at its own context length.

    FLOPs and bytes grow linearly from step to step. Modelled time is a maximum of linear functions,
    so its sum has a closed form that splits the steps where the limiting roof changes; that of
    measured attention is integrated numerically. The tests compare both with the sum over single
    steps.

    Args:
        first: Operators of the first step (`forward_pass` with one query).
        growths: The growth of each kind of attention (`context_growth`).
        steps: Decode steps, which may be 0.
        launched: What the host does in a pass.
        speeds: Rates of the engine on its device.
    """
    engine = speeds.engine
    grows = {growth.operator.name: growth for growth in growths}
    times: list[OperatorTime] = []
    kinds: list[_Roofs | _Measured] = []
    floors: Number = 0.0
    step: Number = 0.0
    grown: Number = 0.0
    for operator in first:
        growth = grows.get(operator.name)
        if growth is None:
            times.append(speeds.time(operator, steps))
            step = step + times[-1].seconds
            continue
        kind = _kind(operator, growth, speeds)
        kinds.append(kind)
        times.append(_grown(operator, growth, kind, steps, speeds))
        floors, grown = floors + kind.overhead, grown + times[-1].seconds
    slack = launched.layers * engine.layer_host_time - step - floors
    waiting = _AllKinds(tuple(kinds)).waiting(slack, steps) + launched.added(engine) * steps
    times.append(waiting_time("host", waiting, speeds))
    return Phase("decode", tuple(times), step * steps + grown + waiting)


def _sum_of_seconds(times: Sequence[OperatorTime]) -> Number:
    """Time of one run of each [s]."""
    return sum((time.seconds for time in times), 0.0)


def waiting_time(name: str, seconds: Number, speeds: Speeds, part: str = "host") -> OperatorTime:
    """Time that the device spends waiting for something [s]."""
    return OperatorTime(Operator(name, part, kind="host"), speeds, seconds, seconds)


class _Roofs(NamedTuple):
    """The roofs of an attention that grows with every step: the larger of two linear functions.

    Attributes:
        compute: Time at the compute roof in the first step [s].
        compute_slope: Increase for each further step [s].
        transfer: Time at the memory roof in the first step [s].
        transfer_slope: Increase for each further step [s].
        growth: Its growth, which may end.
        overhead: Floor of its kernels in each step, beyond the roofs [s].
        origin: "modelled".
    """

    compute: Number
    compute_slope: Number
    transfer: Number
    transfer_slope: Number
    growth: Growth
    overhead: Number
    origin: Label = MODELLED

    def sum(self, steps: Number) -> Number:
        """Time of the first steps [s]."""
        growing = self.growth.growing(steps)
        grown = sum_of_maxima(
            self.compute, self.compute_slope, self.transfer, self.transfer_slope, growing
        )
        if self.growth.is_endless:
            return grown
        last = maximum(
            self.compute + self.compute_slope * self.growth.steps,
            self.transfer + self.transfer_slope * self.growth.steps,
        )
        return grown + last * (steps - growing)

    def at(self, step: Number) -> Number:
        """Time of one step, counted from 0 [s]."""
        step = self.growth.growing(step)
        return maximum(
            self.compute + self.compute_slope * step, self.transfer + self.transfer_slope * step
        )

    def steps_below(self, limit: Number, steps: Number) -> Number:
        """How many of the first steps take less than a limit."""
        growing = self.growth.growing(steps)
        by_compute = _steps_below(limit, self.compute, self.compute_slope, growing)
        by_transfer = _steps_below(limit, self.transfer, self.transfer_slope, growing)
        return minimum(by_compute, by_transfer)


NODES = (
    (0.5 - 0.4305681557970263, 0.17392742256872693),
    (0.5 - 0.16999052179242813, 0.3260725774312731),
    (0.5 + 0.16999052179242813, 0.3260725774312731),
    (0.5 + 0.4305681557970263, 0.17392742256872693),
)
"""Places and weights of Gauss's quadrature with four nodes on [0, 1] (Abramowitz and Stegun, table
25.4): the time of a step is close to a polynomial of its context, over a decode of any length."""


class _Measured(NamedTuple):
    """A measured attention that grows with every step, whose sums are integrals.

    Attributes:
        first: The operator in the first step.
        growth: Its growth, which may end.
        speeds: Times of its kernels.
        origin: Of the time of its first step.
    """

    first: Operator
    growth: Growth
    speeds: Speeds
    origin: Label
    overhead: float = 0.0

    def sum(self, steps: Number) -> Number:
        """Time of the first steps [s]."""
        growing = self.growth.growing(steps)
        grown = sum((each * self.at(step) for step, each in _nodes(growing)), 0.0)
        if self.growth.is_endless:
            return grown
        return grown + self.at(self.growth.steps) * (steps - growing)

    def at(self, step: Number) -> Number:
        """Time of one step, counted from 0, whole or not [s]."""
        shape = self.first.shape
        assert isinstance(shape, Attention | LatentAttention)
        context = shape.context + self.growth.growing(step)
        grown = replace(self.first, shape=shape._replace(context=context))
        return self.speeds.time(grown).seconds


def _nodes(steps: Number) -> list[tuple[Number, Number]]:
    """Steps, and how many each stands for, so that sums over 0 … steps − 1 become integrals."""
    return [(place * steps - 0.5, weight * steps) for place, weight in NODES]


def _kind(first: Operator, growth: Growth, speeds: Speeds) -> _Roofs | _Measured:
    """An attention that grows with every step, by measured kernels where there are any."""
    measured = speeds.measured(first)
    if measured is not None:
        return _Measured(first, growth, speeds, measured.origin)
    added = growth.operator
    return _Roofs(
        speeds.compute(first),
        speeds.compute(added),
        speeds.transfer(first),
        speeds.transfer(added),
        growth,
        speeds.overhead(first),
    )


def _grown(
    first: Operator, growth: Growth, kind: _Roofs | _Measured, steps: Number, speeds: Speeds
) -> OperatorTime:
    """All steps of an operator that grows with every step."""
    overhead = kind.overhead * steps
    seconds = overhead + kind.sum(steps)
    total = growth.total(first, steps)
    return OperatorTime(total, speeds, overhead, seconds, origin=kind.origin)


class _AllKinds(NamedTuple):
    """Attentions of several kinds, which grow at the same time.

    Attributes:
        kinds: Each kind.
    """

    kinds: tuple[_Roofs | _Measured, ...]

    def waiting(self, slack: Number, steps: Number) -> Number:
        """Time that the device waits for the host, over all steps.

        `slack` is the host's time less that of all other operators. The attention grows, so the
        device waits in the first steps only, while the attention takes less than the slack.
        """
        if any(isinstance(kind, _Measured) for kind in self.kinds):
            each = ((maximum(slack - self.at(step), 0.0), share) for step, share in _nodes(steps))
            return sum((waited * share for waited, share in each), 0.0)
        count = self.steps_below(slack, steps)
        return maximum(slack * count - self.sum(count), 0.0)

    def sum(self, steps: Number) -> Number:
        """Time of the first steps [s]."""
        return sum((kind.sum(steps) for kind in self.kinds), 0.0)

    def at(self, step: Number) -> Number:
        """Time of one step, counted from 0 [s]."""
        return sum((kind.at(step) for kind in self.kinds), 0.0)

    def steps_below(self, limit: Number, steps: Number) -> Number:
        """How many of the first steps take less than a limit.

        A single kind without a window has a closed form; otherwise bisection finds the count, since
        no step takes less than the one before.
        """
        only = self.kinds[0]
        if len(self.kinds) == 1 and only.growth.is_endless and isinstance(only, _Roofs):
            return only.steps_below(limit, steps)
        low, high = steps * 0.0, steps  # the count is in [low, high]
        for _ in range(STEP_BITS):
            middle = floor((low + high) / 2.0)
            below = self.at(middle) < limit
            inside = middle < high
            low = where(below & inside, middle + 1.0, low)
            high = where(below, high, middle)
        return low


STEP_BITS = 32
"""Bisections that suffice for the largest number of steps of a workload (`LARGEST_SIZE`)."""


def _steps_below(limit: Number, start: Number, slope: Number, steps: Number) -> Number:
    """How many of the first `steps` terms of a rising sequence lie below a limit."""
    rising = where(slope > 0, slope, 1.0)
    below = where(slope > 0, ceil((limit - start) / rising), steps)
    return where(limit > start, clip(below, 0.0, steps), 0.0)


def sum_of_maxima(
    start_a: Number, slope_a: Number, start_b: Number, slope_b: Number, count: Number
) -> Number:
    """Sum over j = 0 … count − 1 of max(start_a + j·slope_a, start_b + j·slope_b).

    In closed form: the sum of the second sequence, plus the positive part of the difference,
    which is an arithmetic series over the steps where the first sequence is above.
    """
    start, slope = start_a - start_b, slope_a - slope_b
    last = start + slope * (count - 1.0)
    high, step = maximum(start, last), maximum(slope, -slope)
    crossing = ceil(high / where(step > 0, step, 1.0))
    above = where(minimum(start, last) >= 0, count, clip(crossing, 0.0, count))
    above = where(high > 0, above, 0.0)
    return arithmetic_sum(start_b, slope_b, count) + arithmetic_sum(high, -step, above)


_ENDS = {"embedding": "first", "aggregator": "last", "lm head": "last", "pipeline": "hops"}
"""The stage of operators outside the layers, by part of the model."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The stages of a model, and the micro-batches that pass them.

    Attributes:
        stages: The stages that may be the slowest.
        layers: Layers of the model.
        count: All stages.
        micro_batches: Parts of the batch.
    """

    stages: tuple[Stage, ...]
    layers: Number
    count: Number
    micro_batches: Number

    def prefill(self, phase: Phase, speeds: Speeds) -> Phase:
        """The prefill of all micro-batches, from that of one."""
        waiting = (self.micro_batches - 1.0) * self._slowest(phase)
        return _with_waiting(phase, waiting, speeds)

    def decode(self, phase: Phase, speeds: Speeds) -> Phase:
        """All decode steps, from those of one micro-batch; the slowest stage is always the same."""
        waiting = maximum(self.micro_batches * self._slowest(phase) - phase.seconds, 0.0)
        return _with_waiting(phase, waiting, speeds)

    def _slowest(self, phase: Phase) -> Number:
        """Time of one micro-batch in the slowest stage [s]; all layers take the same time."""
        seconds: dict[str, Number] = dict.fromkeys(("first", "last", "hops", "layers"), 0.0)
        for time in phase.times:
            place = _ENDS.get(time.operator.part, "layers")
            seconds[place] = seconds[place] + time.total_seconds
        slowest = as_float(0)
        for stage in self.stages:
            ends = stage.has_embedding * seconds["first"] + stage.has_head * seconds["last"]
            inner = seconds["layers"] * (stage.layers / self.layers)
            slowest = maximum(slowest, inner + ends + seconds["hops"] / self.count)
        return slowest


def make_pipeline(spec: ModelSpec, layout: Layout, batch: Number) -> Pipeline:
    """The stages that a layout divides a model into, for a batch."""
    return Pipeline(
        stages=tuple(stages(spec, layout)),
        layers=as_float(spec.num_hidden_layers),
        count=layout.pipeline_parallel,
        micro_batches=micro_batches(layout, batch),
    )


def _with_waiting(phase: Phase, seconds: Number, speeds: Speeds) -> Phase:
    waiting = waiting_time("other micro-batches", seconds, speeds, part="pipeline")
    return replace(phase, times=(*phase.times, waiting), seconds=phase.seconds + seconds)
