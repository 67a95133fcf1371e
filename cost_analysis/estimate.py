"""The whole request: prefill, every decode step, memory."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cost_analysis.arrays import Number, as_float, maximum, where
from cost_analysis.latency import Phase, decode_phase, prefill_phase
from cost_analysis.ledger import Growth, Operator
from cost_analysis.memory import Memory, memory
from cost_analysis.operators import context_growth, forward_pass
from cost_analysis.parameters import Parameters, parameters
from cost_analysis.spec import ModelSpec, Precision, Workload
from cost_analysis.system import Engine, Hardware


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a request costs, with every term kept.

    Attributes:
        spec: The model.
        workload: The request.
        precision: Storage formats.
        hardware: The device.
        engine: What runs the model on it.
        parameters: Parameter counts.
        memory: Memory, part by part [B].
        prefill: The pass over the prompt, which gives the first token.
        decode: The `output_length - 1` decode steps together.
        first_step: Operators of the first decode step.
    """

    spec: ModelSpec
    workload: Workload
    precision: Precision
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
    def decode_step_flops(self) -> Number:
        """FLOPs of the first decode step, attention as the full rectangle."""
        return sum((operator.flops for operator in self.first_step), 0.0)

    @property
    def flops(self) -> Number:
        """FLOPs of the whole request."""
        return self.prefill.flops + self.decode.flops


@dataclass(frozen=True, slots=True)
class Passes:
    """The forward passes of a request, before anything says what runs them.

    Attributes:
        prefill: Operators of the pass over the prompt.
        first_step: Operators of the first decode step.
        growth: What each further step adds to each kind of attention.
        steps: Decode steps.
        layers: Layers of the model.
    """

    prefill: tuple[Operator, ...]
    first_step: tuple[Operator, ...]
    growth: tuple[Growth, ...]
    steps: Number
    layers: Number


def passes(
    spec: ModelSpec, workload: Workload, precision: Precision, *, tensor_parallel: Number = 1
) -> Passes:
    """The forward passes of a request; arguments as for `estimate`."""
    prompt, batch = workload.input_length, workload.batch_size
    past = as_float(spec.prefix) + prompt
    return Passes(
        prefill=forward_pass(
            spec,
            batch,
            prompt,
            spec.prefix,
            precision,
            logits=workload.logits,
            fills_prefix=True,
            tensor_parallel=tensor_parallel,
        ),
        first_step=forward_pass(spec, batch, 1, past, precision, tensor_parallel=tensor_parallel),
        growth=context_growth(spec, batch, precision, past=past, tensor_parallel=tensor_parallel),
        steps=workload.decode_steps,
        layers=as_float(spec.num_hidden_layers),
    )


def phases(work: Passes, hardware: Hardware, engine: Engine) -> tuple[Phase, Phase]:
    """The times of the prefill and of all decode steps."""
    return (
        prefill_phase(work.prefill, work.layers, hardware, engine),
        decode_phase(work.first_step, work.growth, work.steps, work.layers, hardware, engine),
    )


def estimate(
    spec: ModelSpec,
    workload: Workload,
    hardware: Hardware,
    engine: Engine,
    precision: Precision | None = None,
    *,
    tensor_parallel: Number = 1,
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
        tensor_parallel: Devices that share each layer over the device's interconnect. Operators,
            FLOPs and bytes are then those of one of them; memory is that of all together.
    """
    precision = precision or Precision()
    work = passes(spec, workload, precision, tensor_parallel=tensor_parallel)
    prefill, decode = phases(work, hardware, engine)
    return Estimate(
        spec=spec,
        workload=workload,
        precision=precision,
        hardware=hardware,
        engine=engine,
        parameters=parameters(spec),
        memory=memory(spec, workload, precision),
        prefill=prefill,
        decode=decode,
        first_step=work.first_step,
    )
