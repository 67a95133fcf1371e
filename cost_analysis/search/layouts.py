"""Every way to lay a model out over a number of devices, and what each costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from cost_analysis.common.errors import InputError
from cost_analysis.cost.estimate import Estimate, estimate_on
from cost_analysis.inputs.layout import Layout
from cost_analysis.inputs.request import Request

GOALS = {
    "tpot": "time per output token",
    "ttft": "time to first token",
    "latency": "latency of the request",
    "memory": "memory of the fullest device",
}
"""What layouts can be ordered by."""

MOST_DEVICES = 4096
"""Devices that layouts are listed for: beyond it there are hundreds of them."""


@dataclass(frozen=True, slots=True)
class LaidOut:
    """A layout and what it costs.

    Attributes:
        cost: The estimate.
        goal: What layouts are ordered by.
    """

    cost: Estimate
    goal: str

    @property
    def layout(self) -> Layout:
        """How the model is divided."""
        return self.cost.layout

    @property
    def fits(self) -> bool:
        """Whether its fullest device has the memory."""
        return bool(self.cost.memory.total <= self.cost.hardware.memory)

    @property
    def value(self) -> float:
        """What it is ordered by, less being better."""
        cost = self.cost
        if self.goal == "memory":
            return float(cost.memory.total)
        times = {"ttft": cost.ttft, "tpot": cost.tpot, "latency": cost.total}
        return float(times[self.goal])


def laid_out(request: Request, devices: Sequence[int], goal: str) -> list[list[LaidOut]]:
    """The layouts of each number of devices, those that fit first, the best in front.

    Args:
        request: The model, the workload and the device; its own layout does not matter.
        devices: Numbers of devices.
        goal: One of `GOALS`.

    Raises:
        InputError: No such goal, too many devices, or a number that the model cannot be divided by.
    """
    if goal == "tpot" and not request.workload.decode_steps:
        raise InputError("with one output token there is no time per output token; minimize ttft")
    found = []
    for number in devices:
        if not 1 <= number <= MOST_DEVICES:
            raise InputError(f"devices is {number}; it must be from 1 to {MOST_DEVICES}")
        costs = [LaidOut(_cost(request, layout), goal) for layout in layouts_of(request, number)]
        if not costs:
            raise InputError(f"no way divides {request.title} among {number} devices")
        found.append(sorted(costs, key=lambda each: (not each.fits, each.value)))
    return found


def _cost(request: Request, layout: Layout) -> Estimate:
    return estimate_on(request.spec, request.workload, replace(request.system, layout=layout))


def layouts_of(request: Request, devices: int) -> Iterator[Layout]:
    """Every layout of exactly so many devices that the model can be divided by."""
    for tensor in _divisors(devices):
        for pipeline in _divisors(devices // tensor):
            rest = devices // tensor // pipeline
            for expert in _divisors(rest):
                layout = Layout(tensor, pipeline, expert, rest // expert)
                try:
                    layout.check(request.spec)
                except InputError:
                    continue
                yield layout


def _divisors(number: int) -> list[int]:
    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]
