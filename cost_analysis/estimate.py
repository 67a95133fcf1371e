"""The whole request: prefill, every decode step, memory."""

from __future__ import annotations

import math
from typing import NamedTuple

from cost_analysis.arrays import Number, as_float, holds, maximum, where
from cost_analysis.errors import InputError
from cost_analysis.forward import DeviceModel, ForwardPass
from cost_analysis.kernel_time import Speeds
from cost_analysis.latency import Phase, decode_phase, prefill_phase
from cost_analysis.layout import SINGLE, Layout, divided, is_one, micro_batches
from cost_analysis.ledger import Growth, Operator
from cost_analysis.memory import Memory, memory
from cost_analysis.operators import pass_growth, pass_operators
from cost_analysis.parameters import Parameters, parameters
from cost_analysis.pipeline import Pipeline, make_pipeline
from cost_analysis.spec import BF16, ModelSpec, Precision, Workload
from cost_analysis.system import Engine, Hardware


class Estimate(NamedTuple):
    """What a request costs, with every term kept.

    Attributes:
        spec: The model.
        workload: The request.
        precision: Storage formats.
        layout: How the model is divided among devices of that kind.
        hardware: The device.
        engine: What runs the model on it.
        parameters: Parameter counts.
        memory: Memory of the fullest device, part by part [B].
        prefill: The pass over the prompt, which gives the first token.
        decode: The `output_length - 1` decode steps together.
        first_step: Operators of the first decode step.

    With several devices the operators of the phases are those of one device of each stage, for one
    micro-batch; FLOPs of the request are those of all devices.
    """

    spec: ModelSpec
    workload: Workload
    precision: Precision
    layout: Layout
    hardware: Hardware
    engine: Engine
    parameters: Parameters
    memory: Memory
    prefill: Phase
    decode: Phase
    first_step: tuple[Operator, ...]

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
        spread = self.engine.spread
        return None if spread is None else spread.interval(seconds, self.hardware.name)

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
        """The passes as a single device would make them."""
        return passes(self.spec, self.workload, self.precision)


def _flops(operators: tuple[Operator, ...]) -> Number:
    return sum((operator.flops for operator in operators), 0.0)


class Passes(NamedTuple):
    """The forward passes of a request, before anything says what runs them.

    Attributes:
        prefill: Operators of the pass over the prompt.
        first_step: Operators of the first decode step.
        growth: What each further step adds to each kind of attention.
        steps: Decode steps.
        layers: Layers of the model.
        pipeline: The stages that the layers are divided into; None if there is one.
    """

    prefill: tuple[Operator, ...]
    first_step: tuple[Operator, ...]
    growth: tuple[Growth, ...]
    steps: Number
    layers: Number
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
    past = as_float(spec.prefix) + prompt
    model = DeviceModel(spec, batch, precision, layout)
    prefill = ForwardPass(model, prompt, spec.prefix, workload.logits, fills_prefix=True)
    step = ForwardPass(model, 1.0, past)
    return Passes(
        prefill=pass_operators(prefill),
        first_step=pass_operators(step),
        growth=pass_growth(step),
        steps=workload.decode_steps,
        layers=as_float(spec.num_hidden_layers),
        pipeline=make_pipeline(spec, layout, whole) if staged else None,
    )


def phases(work: Passes, hardware: Hardware, engine: Engine) -> tuple[Phase, Phase]:
    """The times of the prefill and of all decode steps."""
    speeds = Speeds(hardware, engine)
    prefill = prefill_phase(work.prefill, work.layers, speeds)
    decode = decode_phase(work.first_step, work.growth, work.steps, work.layers, speeds)
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
    precision = precision or BF16
    check_layout(layout, spec, hardware)
    work = passes(spec, workload, precision, layout)
    prefill, decode = phases(work, hardware, engine)
    return Estimate(
        spec=spec,
        workload=workload,
        precision=precision,
        layout=layout,
        hardware=hardware,
        engine=engine,
        parameters=parameters(spec),
        memory=memory(spec, workload, precision, layout),
        prefill=prefill,
        decode=decode,
        first_step=work.first_step,
    )


def check_layout(layout: Layout, spec: ModelSpec, hardware: Hardware) -> None:
    """Refuse a layout that a model cannot be divided by, and devices that nothing joins.

    Raises:
        InputError: It is one of these.
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
