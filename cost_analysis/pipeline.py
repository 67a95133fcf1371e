"""What a pipeline of stages adds to the time that one micro-batch takes through all of them.

In a prefill the micro-batches follow one another: the last one leaves m − 1 times the slowest
stage later than the first (GPipe, arXiv 1811.06965, section 2.3). In a decode step each
micro-batch goes round: a step takes one round, or what the slowest stage needs for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from cost_analysis.arrays import Number, as_float, maximum
from cost_analysis.kernel_time import Speeds
from cost_analysis.latency import Phase, waiting_time
from cost_analysis.layout import Layout, Stage, micro_batches, stages
from cost_analysis.spec import ModelSpec

_ENDS = {"embedding": "first", "aggregator": "last", "lm head": "last", "pipeline": "hops"}
"""Where an operator runs that is not part of a layer, by part of the model."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The stages of a model, and how a batch passes them.

    Attributes:
        stages: Those among which the slowest is.
        layers: Layers of the model.
        count: How many stages there are.
        micro_batches: Parts of the batch.
    """

    stages: tuple[Stage, ...]
    layers: Number
    count: Number
    micro_batches: Number

    def prefill(self, phase: Phase, speeds: Speeds) -> Phase:
        """The prefill of the last micro-batch, from that of one."""
        waiting = (self.micro_batches - 1.0) * self._slowest(phase)
        return _with_waiting(phase, waiting, speeds)

    def decode(self, phase: Phase, speeds: Speeds) -> Phase:
        """All decode steps, from those of one micro-batch; one stage is the slowest throughout."""
        waiting = maximum(self.micro_batches * self._slowest(phase) - phase.seconds, 0.0)
        return _with_waiting(phase, waiting, speeds)

    def _slowest(self, phase: Phase) -> Number:
        """Time of one micro-batch in the slowest stage [s]; layers of all kinds take alike."""
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
    return phase._replace(times=(*phase.times, waiting), seconds=phase.seconds + seconds)
