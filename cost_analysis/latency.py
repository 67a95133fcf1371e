"""Seconds of operators on a device under an engine, and which roof binds.

An operator takes the engine's floor for each of its kernels, plus the larger of the time that its
FLOPs and its bytes need (Williams, Waterman and Patterson, "Roofline", CACM 2009). The peak is the
dense one of its data type; causal attention is charged the triangle that a fused kernel computes.
A pass cannot be faster than the host launches its layers, and the host may add a time of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cost_analysis.arrays import Number, ceil, clip, maximum, minimum, where
from cost_analysis.operators import Operator
from cost_analysis.spec import Engine, Hardware


@dataclass(frozen=True, slots=True)
class OperatorTime:
    """An operator and the time that each of its limits asks for [s].

    An operator that repeats unchanged keeps the numbers of one run; the properties that begin
    with `total_` are those of all runs.

    Attributes:
        operator: FLOPs, bytes and kernels of one run.
        flops_rate: FLOP/s that its products reach.
        bytes_rate: B/s that its traffic reaches.
        overhead: Floor of its kernels, or waiting for the host.
        seconds: Time that one run takes.
        runs: How often it runs in the phase.
    """

    operator: Operator
    flops_rate: Number
    bytes_rate: Number
    overhead: Number
    seconds: Number
    runs: Number = 1.0

    @property
    def compute(self) -> Number:
        """Time of one run at the compute roof [s]."""
        return self.operator.kernel_flops / self.flops_rate

    @property
    def transfer(self) -> Number:
        """Time of one run at the memory roof [s]."""
        return self.operator.bytes / self.bytes_rate

    @property
    def total_seconds(self) -> Number:
        """Time of all runs [s]."""
        return self.seconds * self.runs

    @property
    def total_flops(self) -> Number:
        """FLOPs of all runs, attention as the full rectangle."""
        return self.operator.flops * self.runs

    @property
    def total_bytes(self) -> Number:
        """Bytes moved in all runs [B]."""
        return self.operator.bytes * self.runs

    @property
    def bound(self) -> Number:
        """Which limit asks for most: "compute", "memory" or "overhead"."""
        compute, transfer = self.compute, self.transfer
        roof = where(compute > transfer, "compute", "memory")
        return where(self.overhead > maximum(compute, transfer), "overhead", roof)


@dataclass(frozen=True, slots=True)
class Phase:
    """A prefill, or all decode steps together.

    Attributes:
        name: "prefill" or "decode".
        times: Operators in the order of execution, the host last; they sum to the phase.
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


def prefill_phase(
    operators: Sequence[Operator], layers: Number, hardware: Hardware, engine: Engine
) -> Phase:
    """The time of one pass over the prompt.

    Args:
        operators: Of the pass (`forward_pass`).
        layers: Layers of the model, for the host's share.
        hardware: The device.
        engine: What runs the model on it.
    """
    times = [_time(operator, hardware, engine) for operator in operators]
    device = _sum_of_seconds(times)
    host = maximum(layers * engine.layer_host_time - device, 0.0) + engine.step_host_time
    return Phase("prefill", (*times, _host(host)), device + host)


def decode_phase(
    first: Sequence[Operator],
    growth: Operator,
    steps: Number,
    layers: Number,
    hardware: Hardware,
    engine: Engine,
) -> Phase:
    """The time of all decode steps, each at its own context length.

    FLOPs and bytes grow linearly from step to step; time is a maximum of linear functions, so
    its sum has a closed form that splits the steps where one roof gives way to the other. The
    tests compare it with the sum over single steps.

    Args:
        first: Operators of the first step (`forward_pass` with one query).
        growth: What each further step adds to the attention (`context_growth`).
        steps: Decode steps, which may be 0.
        layers: Layers of the model, for the host's share.
        hardware: The device.
        engine: What runs the model on it.
    """
    steady = [_time(op, hardware, engine, steps) for op in first if op.name != growth.name]
    place = [operator.name for operator in first].index(growth.name)
    attention, slope = (_time(op, hardware, engine) for op in (first[place], growth))
    grown = _grow(attention, slope, steps)
    step = _sum_of_seconds(steady)
    slack = layers * engine.layer_host_time - step - attention.overhead
    host = _waiting(slack, attention, slope, steps) + engine.step_host_time * steps
    seconds = step * steps + grown.seconds + host
    return Phase("decode", (*steady[:place], grown, *steady[place:], _host(host)), seconds)


def _sum_of_seconds(times: Sequence[OperatorTime]) -> Number:
    """Time of one run of each [s]."""
    return sum((time.seconds for time in times), 0.0)


def _time(
    operator: Operator, hardware: Hardware, engine: Engine, runs: Number = 1.0
) -> OperatorTime:
    flops_rate: Number = 1.0
    if operator.compute is not None:
        flops_rate = hardware.matmul_peak(operator.compute) * engine.flops_efficiency
    bytes_rate = hardware.bandwidth * engine.bandwidth_efficiency
    overhead = operator.kernels * engine.kernel_floor
    roofs = maximum(operator.kernel_flops / flops_rate, operator.bytes / bytes_rate)
    return OperatorTime(operator, flops_rate, bytes_rate, overhead, overhead + roofs, runs)


def _host(seconds: Number) -> OperatorTime:
    return OperatorTime(Operator("host", "host"), 1.0, 1.0, seconds, seconds)


def _grow(first: OperatorTime, slope: OperatorTime, steps: Number) -> OperatorTime:
    """All steps of an operator that gains `slope` with every step."""
    overhead = first.overhead * steps
    roofs = sum_of_maxima(first.compute, slope.compute, first.transfer, slope.transfer, steps)
    return replace(
        first,
        operator=first.operator.combined(
            lambda start, gain: arithmetic_sum(start, gain, steps), slope.operator
        ),
        overhead=overhead,
        seconds=overhead + roofs,
    )


def _waiting(slack: Number, first: OperatorTime, slope: OperatorTime, steps: Number) -> Number:
    """Time that the device waits for the host, over all steps.

    `slack` is what the host's time leaves for the attention; the attention grows, so the device
    waits in the first steps only: as long as neither roof of the attention reaches the slack.
    """
    by_compute = _steps_below(slack, first.compute, slope.compute, steps)
    by_transfer = _steps_below(slack, first.transfer, slope.transfer, steps)
    count = minimum(by_compute, by_transfer)
    busy = sum_of_maxima(first.compute, slope.compute, first.transfer, slope.transfer, count)
    return maximum(slack * count - busy, 0.0)


def _steps_below(limit: Number, start: Number, slope: Number, steps: Number) -> Number:
    """How many of the first `steps` terms of a rising sequence lie below a limit."""
    rising = where(slope > 0, slope, 1.0)
    below = where(slope > 0, ceil((limit - start) / rising), steps)
    return where(limit > start, clip(below, 0.0, steps), 0.0)


def arithmetic_sum(start: Number, slope: Number, count: Number) -> Number:
    """Sum of start + j·slope for j = 0 … count − 1."""
    return count * start + slope * (count * (count - 1.0) / 2.0)


def sum_of_maxima(
    start_a: Number, slope_a: Number, start_b: Number, slope_b: Number, count: Number
) -> Number:
    """Sum over j = 0 … count − 1 of max(start_a + j·slope_a, start_b + j·slope_b).

    In closed form: the sum of the second sequence, plus the positive part of the difference,
    which is an arithmetic series over the steps where the first sequence is above.
    """
    start, slope = start_a - start_b, slope_a - slope_b
    last = start + slope * (count - 1.0)
    high, step = maximum(start, last), abs(slope)
    crossing = ceil(high / where(step > 0, step, 1.0))
    above = where(minimum(start, last) >= 0, count, clip(crossing, 0.0, count))
    above = where(high > 0, above, 0.0)
    return arithmetic_sum(start_b, slope_b, count) + arithmetic_sum(high, -step, above)
