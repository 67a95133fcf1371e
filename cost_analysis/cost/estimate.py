"""The cost of a whole request: prefill, decode steps, memory, and increases over a baseline."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from cost_analysis.common.arrays import Number, as_float, holds, is_finite, maximum, where
from cost_analysis.common.errors import InputError
from cost_analysis.cost.forward_pass import pass_growth, pass_operators
from cost_analysis.cost.kernels import DeviceModel, ForwardPass
from cost_analysis.cost.latency import (
    Launched,
    Phase,
    Pipeline,
    decode_phase,
    make_pipeline,
    prefill_phase,
)
from cost_analysis.cost.memory import Memory, memory
from cost_analysis.cost.operator import Growth, Operator
from cost_analysis.cost.published import PublishedCost, published_on
from cost_analysis.cost.roofline import Speeds, speeds_of
from cost_analysis.inputs.device import Hardware
from cost_analysis.inputs.dtypes import Precision
from cost_analysis.inputs.engine import Engine
from cost_analysis.inputs.layout import SINGLE, Layout, divided, is_one, micro_batches
from cost_analysis.inputs.request import Request
from cost_analysis.inputs.spec import BF16, ModelSpec, Workload
from cost_analysis.inputs.system import System
from cost_analysis.inputs.weights import Parameters, parameters


@dataclass(frozen=True, slots=True)
class Estimate:
    """The cost of a request, with every term.

    Attributes:
        spec: The model.
        workload: The request.
        system: What runs the model.
        parameters: Parameter counts.
        memory: Memory of the device that needs most, part by part [B].
        prefill: The pass over the prompt, which gives the first token.
        decode: The `output_length - 1` decode steps together.
        first_step: Operators of the first decode step.

    With several devices the operators of the phases are those of one device of each stage, for one
    micro-batch; FLOPs of the request are those of all devices.
    """

    spec: ModelSpec
    workload: Workload
    system: System
    parameters: Parameters
    memory: Memory
    prefill: Phase
    decode: Phase
    first_step: tuple[Operator, ...]

    @property
    def hardware(self) -> Hardware:
        """The device."""
        return self.system.hardware

    @property
    def engine(self) -> Engine:
        """What runs the model on the device."""
        return self.system.engine

    @property
    def precision(self) -> Precision:
        """Storage formats."""
        return self.system.precision

    @property
    def layout(self) -> Layout:
        """How the model is divided among devices of that kind."""
        return self.system.layout

    @property
    def ttft(self) -> Number:
        """Time to first token: the prefill [s]."""
        return self.prefill.seconds

    @property
    def tpot(self) -> Number:
        """Time per output token after the first, a mean over the decode steps [s]; nan if none."""
        steps = self.workload.decode_steps
        seconds = self.decode.seconds / maximum(steps, 1.0)
        return where(steps > 0, seconds, math.nan)

    @property
    def total(self) -> Number:
        """Time of the whole request [s]."""
        return self.prefill.seconds + self.decode.seconds

    def interval(self, seconds: Number) -> tuple[Number, Number] | None:
        """The 80 % interval of one of its times [s]; None where nothing was measured."""
        return self.system.interval(seconds, self.spec)

    @property
    def tokens_per_second(self) -> Number:
        """Generated tokens of the whole batch per second of the whole request [1/s]."""
        return self.workload.batch_size * self.workload.output_length / self.total

    @property
    def prefill_flops(self) -> Number:
        """FLOPs of the prefill, attention as the full rectangle."""
        if self.layout.is_single:
            return self.prefill.flops
        return self._undivided.prefill_flops

    @property
    def decode_step_flops(self) -> Number:
        """FLOPs of the first decode step."""
        return _flops(self.first_step if self.layout.is_single else self._undivided.first_step)

    @property
    def decode_flops(self) -> Number:
        """FLOPs of all decode steps."""
        return self.decode.flops if self.layout.is_single else self._undivided.decode_flops

    @property
    def flops(self) -> Number:
        """FLOPs of the whole request."""
        return self.prefill_flops + self.decode_flops

    @property
    def _undivided(self) -> Passes:
        """The passes on a single device."""
        return passes(self.spec, self.workload, self.precision)


def _flops(operators: tuple[Operator, ...]) -> Number:
    return sum((operator.flops for operator in operators), 0.0)


class Passes(NamedTuple):
    """The forward passes of a request, independent of device and engine.

    Attributes:
        prefill: Operators of the pass over the prompt.
        first_step: Operators of the first decode step.
        growth: The terms that each further step adds to each kind of attention.
        steps: Decode steps.
        launched: What the host does in each pass.
        pipeline: The pipeline stages; None for a single stage.
    """

    prefill: tuple[Operator, ...]
    first_step: tuple[Operator, ...]
    growth: tuple[Growth, ...]
    steps: Number
    launched: Launched
    pipeline: Pipeline | None = None

    @property
    def prefill_flops(self) -> Number:
        """FLOPs of the prefill, attention as the full rectangle."""
        return _flops(self.prefill)

    @property
    def decode_flops(self) -> Number:
        """FLOPs of all decode steps."""
        grows = {growth.operator.name: growth for growth in self.growth}
        return sum(
            (
                grows[operator.name].total(operator, self.steps).flops
                if operator.name in grows
                else operator.flops * self.steps
                for operator in self.first_step
            ),
            0.0,
        )


def passes(
    spec: ModelSpec, workload: Workload, precision: Precision, layout: Layout = SINGLE
) -> Passes:
    """The forward passes of a request, of one micro-batch; arguments as for `estimate`."""
    prompt, whole = workload.input_length, workload.batch_size
    batch = divided(whole, micro_batches(layout, whole))
    staged = not is_one(layout.pipeline_parallel)
    model = DeviceModel(spec, batch, precision, layout)
    prefix = as_float(model.share.prefix)
    prefill = ForwardPass(model, prompt, prefix, workload.logits, fills_prefix=True)
    step = ForwardPass(model, 1.0, prefix + prompt)
    return Passes(
        prefill=pass_operators(prefill),
        first_step=pass_operators(step),
        growth=pass_growth(step),
        steps=workload.decode_steps,
        launched=Launched(as_float(spec.num_hidden_layers), model.sequences),
        pipeline=make_pipeline(spec, layout, whole) if staged else None,
    )


def phases(work: Passes, system: System) -> tuple[Phase, Phase]:
    """The times of the prefill and of all decode steps."""
    return phases_at(work, speeds_of(system))


def phases_at(work: Passes, speeds: Speeds) -> tuple[Phase, Phase]:
    """The times of the prefill and of all decode steps, at the speeds of an engine."""
    prefill = prefill_phase(work.prefill, work.launched, speeds)
    decode = decode_phase(work.first_step, work.growth, work.steps, work.launched, speeds)
    if work.pipeline is None:
        return prefill, decode
    return (
        work.pipeline.prefill(prefill, speeds),
        work.pipeline.decode(decode, speeds),
    )


def estimate(
    spec: ModelSpec,
    workload: Workload,
    hardware: Hardware,
    engine: Engine,
    precision: Precision | None = None,
    layout: Layout = SINGLE,
) -> Estimate:
    """The cost of a request.

    Numbers in `spec` and `workload` may be arrays; they broadcast, and every result has the
    broadcast shape. A row of it equals the estimate of that row alone to the last bit.

    Args:
        spec: The model.
        workload: Batch size and lengths.
        hardware: The device (`load_hardware`).
        engine: What runs the model on it (`load_engine`).
        precision: Storage formats; bf16 throughout if None.
        layout: How the model is divided among devices of that kind; one of them if left out.

    Raises:
        InputError: The model cannot be divided so, or the devices have no link.
    """
    return estimate_on(spec, workload, System(hardware, engine, precision or BF16, layout))


def estimate_on(spec: ModelSpec, workload: Workload, system: System) -> Estimate:
    """The cost of a request on a system, as `estimate` gives it.

    Raises:
        InputError: The model cannot be divided so, or the devices have no link.
    """
    check_layout(system.layout, spec, system.hardware)
    work = passes(spec, workload, system.precision, system.layout)
    prefill, decode = phases(work, system)
    return Estimate(
        spec=spec,
        workload=workload,
        system=system,
        parameters=parameters(spec),
        memory=memory(spec, workload, system.precision, system.layout),
        prefill=prefill,
        decode=decode,
        first_step=work.first_step,
    )


def check_layout(layout: Layout, spec: ModelSpec, hardware: Hardware) -> None:
    """Refuse a layout that does not fit a model, and devices without a link.

    Raises:
        InputError: The layout does not fit the model, or the devices have no link.
    """
    if layout.is_single:
        return
    layout.check(spec)
    is_joined = hardware.interconnect is not None or hardware.devices_per_node == 1
    if not (is_joined or holds(layout.devices == 1)):
        raise InputError(
            f"device {hardware.name} states no link to others; give its rate with --interconnect"
        )
    if hardware.network is None and not holds(hardware.is_within_a_node(layout.devices)):
        raise InputError(
            f"the layout takes more than the {hardware.devices_per_node} devices of a node; give "
            "the rate of the link between nodes with --network"
        )


ROUNDING = 1e-9
"""Largest share of the base that counts as a rounding error, not as an increase."""


@dataclass(frozen=True, slots=True)
class Increase:
    """The increase of one quantity over a baseline.

    Attributes:
        baseline: The baseline's value.
        value: The model's value.
    """

    baseline: Number
    value: Number

    @property
    def absolute(self) -> Number:
        """Difference, in the unit of the quantity."""
        return self.value - self.baseline

    @property
    def relative(self) -> Number:
        """Difference as a share of the baseline."""
        return self.absolute / self.baseline


def increase(model: Estimate, baseline: Estimate) -> dict[str, Increase]:
    """Memory [B], TTFT, TPOT and total time [s] of a model and of a baseline."""
    return {
        "memory": Increase(baseline.memory.total, model.memory.total),
        "ttft": Increase(baseline.ttft, model.ttft),
        "tpot": Increase(baseline.tpot, model.tpot),
        "total": Increase(baseline.total, model.total),
    }


def ratio_of_increases(wider: Number, streams: Number, base: Number) -> Number:
    """The increase in cost from a wider model, divided by the increase from parallel streams.

    Above 1 the streams add less; a wider model that reduces the cost has a ratio below 0. If the
    streams add nothing, or reduce the cost, the ratio is infinite where the wider model adds to
    the cost, and nan where it does not. Increases of at most `ROUNDING` times the base count as
    none, so that rounding errors do not decide between these cases. A cost that is not finite
    makes the ratio nan.

    Args:
        wider: Increase from the wider model, in the unit of the cost.
        streams: Increase from the streams.
        base: Cost of the base, from 0.

    Returns:
        The ratio; a number for numbers, else an array of the shape that they broadcast to.
    """
    wider, streams, least = as_float(wider), as_float(streams), as_float(base) * ROUNDING
    wider = where(is_finite(wider) & is_finite(streams), wider, math.nan)
    divided = wider / where(streams > least, streams, 1.0)
    return where(streams > least, divided, where(wider > least, math.inf, math.nan))


@dataclass(frozen=True)
class Answer:
    """An estimate, and the same model with one stream; of a single request, or of many at once.

    It has no slots, so that properties which several columns use are calculated once.

    Attributes:
        request: The request; of many requests the first, with the sizes of all in `cost`.
        cost: The estimate.
        baseline: The estimate at P = 1; the same object when P is 1.
        published: The paper's own numbers; None unless they were asked for.
    """

    request: Request
    cost: Estimate
    baseline: Estimate
    published: PublishedCost | None = None

    @cached_property
    def increases(self) -> dict[str, Increase]:
        """The increases from the streams, by the names of `increase`."""
        return increase(self.cost, self.baseline)

    @cached_property
    def intervals(self) -> dict[str, tuple[Number, Number] | None]:
        """The 80 % intervals of TTFT, TPOT and total time [s]; None where nothing was measured."""
        times = ((name, each.value) for name, each in self.increases.items() if name != "memory")
        return {name: self.cost.interval(seconds) for name, seconds in times}


def answer(request: Request, *, with_published: bool = False) -> Answer:
    """Everything that the estimate command reports."""

    def run(streams: Number) -> Estimate:
        spec = request.spec.with_streams(streams)
        return estimate_on(spec, request.workload, request.system.of_streams(streams))

    cost = run(request.spec.streams)
    return Answer(
        request=request,
        cost=cost,
        baseline=cost if request.spec.streams == 1 else run(1),
        published=(
            published_on(request.spec, request.workload, request.system) if with_published else None
        ),
    )
