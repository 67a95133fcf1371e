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

from cost_analysis.common.arrays import (
    Number,
    as_float,
    maximum,
)
from cost_analysis.cost.growth import (
    GrowingKernels,
    GrowingRoofs,
    GrowingTogether,
    growing,
    grown_time,
    waiting_beyond,
)
from cost_analysis.cost.operator import Growth, Operator
from cost_analysis.cost.roofline import OperatorTime, Speeds
from cost_analysis.inputs.engine import Engine
from cost_analysis.inputs.layout import Layout, Stage, micro_batches, stages
from cost_analysis.inputs.spec import ModelSpec


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
        sequences: Sequences that it schedules and samples for in a decode step.
        prompts: Those of a prefill, where they are fewer; None for the same.
    """

    layers: Number
    sequences: Number
    prompts: Number | None = None

    def in_a_prefill(self) -> Launched:
        """The same for the pass over the prompts."""
        return self if self.prompts is None else replace(self, sequences=self.prompts)

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
    waiting = waiting_beyond(launched.layers * engine.layer_host_time, device, engine)
    host = waiting + launched.in_a_prefill().added(engine)
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
    kinds: list[GrowingRoofs | GrowingKernels] = []
    floors: Number = 0.0
    step: Number = 0.0
    grown: Number = 0.0
    for operator in first:
        growth = grows.get(operator.name)
        if growth is None:
            times.append(speeds.time(operator, steps))
            step = step + times[-1].seconds
            continue
        kind = growing(operator, growth, speeds)
        kinds.append(kind)
        times.append(grown_time(operator, growth, kind, steps, speeds))
        floors, grown = floors + kind.overhead, grown + times[-1].seconds
    host = launched.layers * engine.layer_host_time
    waiting = GrowingTogether(tuple(kinds)).waiting(host, step + floors, steps, engine)
    waiting = waiting + launched.added(engine) * steps
    times.append(waiting_time("host", waiting, speeds))
    return Phase("decode", tuple(times), step * steps + grown + waiting)


def _sum_of_seconds(times: Sequence[OperatorTime]) -> Number:
    """Time of one run of each [s]."""
    return sum((time.seconds for time in times), 0.0)


def waiting_time(name: str, seconds: Number, speeds: Speeds, part: str = "host") -> OperatorTime:
    """Time that the device spends waiting for something [s]."""
    return OperatorTime(Operator(name, part, kind="host"), speeds, seconds, seconds)


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
