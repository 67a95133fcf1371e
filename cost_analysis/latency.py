"""Seconds of a prefill and of all decode steps: the operators' times, and the host's.

A pass cannot be faster than the host launches its layers, and the host may add a time of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cost_analysis.arrays import Number, ceil, clip, maximum, minimum, where
from cost_analysis.kernel_time import OperatorTime, compute_time, operator_time, transfer_time
from cost_analysis.ledger import Operator
from cost_analysis.system import Engine, Hardware


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
    times = [operator_time(operator, hardware, engine) for operator in operators]
    device = _sum_of_seconds(times)
    host = maximum(layers * engine.layer_host_time - device, 0.0) + engine.step_host_time
    return Phase("prefill", (*times, _host(host, hardware, engine)), device + host)


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
    steady = [operator_time(op, hardware, engine, steps) for op in first if op.name != growth.name]
    place = [operator.name for operator in first].index(growth.name)
    attention = operator_time(first[place], hardware, engine)
    roofs = _Growth(
        attention.compute,
        compute_time(growth, hardware, engine),
        attention.transfer,
        transfer_time(growth, hardware, engine),
    )
    grown = _grown(attention, growth, roofs, steps)
    step = _sum_of_seconds(steady)
    slack = layers * engine.layer_host_time - step - attention.overhead
    waiting = _waiting(slack, roofs, steps) + engine.step_host_time * steps
    seconds = step * steps + grown.seconds + waiting
    host = _host(waiting, hardware, engine)
    return Phase("decode", (*steady[:place], grown, *steady[place:], host), seconds)


def _sum_of_seconds(times: Sequence[OperatorTime]) -> Number:
    """Time of one run of each [s]."""
    return sum((time.seconds for time in times), 0.0)


def _host(seconds: Number, hardware: Hardware, engine: Engine) -> OperatorTime:
    return OperatorTime(Operator("host", "host", kind="host"), hardware, engine, seconds, seconds)


@dataclass(frozen=True, slots=True)
class _Growth:
    """The roofs of an attention that grows with every step: two lines, of which the higher counts.

    Attributes:
        compute: Time at the compute roof in the first step [s].
        compute_slope: What each further step adds to it [s].
        transfer: Time at the memory roof in the first step [s].
        transfer_slope: What each further step adds to it [s].
    """

    compute: Number
    compute_slope: Number
    transfer: Number
    transfer_slope: Number

    def sum(self, steps: Number) -> Number:
        """Time of the first steps [s]."""
        return sum_of_maxima(
            self.compute, self.compute_slope, self.transfer, self.transfer_slope, steps
        )

    def steps_below(self, limit: Number, steps: Number) -> Number:
        """How many of the first steps take less than a limit."""
        by_compute = _steps_below(limit, self.compute, self.compute_slope, steps)
        by_transfer = _steps_below(limit, self.transfer, self.transfer_slope, steps)
        return minimum(by_compute, by_transfer)


def _grown(first: OperatorTime, growth: Operator, roofs: _Growth, steps: Number) -> OperatorTime:
    """All steps of an operator that grows with every step."""
    overhead = first.overhead * steps
    return replace(
        first,
        operator=first.operator.combined(
            lambda start, gain: arithmetic_sum(start, gain, steps), growth
        ),
        overhead=overhead,
        seconds=overhead + roofs.sum(steps),
    )


def _waiting(slack: Number, roofs: _Growth, steps: Number) -> Number:
    """Time that the device waits for the host, over all steps.

    `slack` is what the host's time leaves for the attention; the attention grows, so the device
    waits in the first steps only: as long as neither roof of the attention reaches the slack.
    """
    count = roofs.steps_below(slack, steps)
    return maximum(slack * count - roofs.sum(count), 0.0)


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
