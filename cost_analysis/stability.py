"""What makes a measurement on a device unsteady: what was seen, why, and what to do."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cost_analysis.energy import STALL_TIME, longest_stall
from cost_analysis.readings import Process, Reading, own_and_others

HARMLESS = frozenset({"gpu_idle", "applications_clocks_setting"})
"""Clock events that slow nothing down: nothing to do, or clocks as they were set."""

CLOCK_SPREAD = 0.05
"""Share of its median over which a clock may vary."""

MAXIMUM_SPREAD = 0.10
"""Distance of the quartiles of repeated times, as a share of their median, that may be trusted."""

WARMING = 10.0
"""Rise of the temperature above which a device is still warming up [degC]."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that makes a measurement unsteady.

    Attributes:
        seen: What the readings show; a sentence without its stop.
        cause: Why that matters or comes about, likewise.
        remedy: What to do, likewise.
    """

    seen: str
    cause: str
    remedy: str

    def __str__(self) -> str:
        """The three as one line."""
        return f"{self.seen}: {self.cause}; {self.remedy}"


_COOL = "let the device cool down, or see to its cooling"
_SUPPLY = "see to the power supply"
_LOCK = "lock a clock that the device can hold (nvidia-smi --lock-gpu-clocks)"

_EVENTS = {
    "sw_power_cap": ("the power limit holds the clocks down", f"raise the limit, or {_LOCK}"),
    "hw_slowdown": ("heat or power made the hardware slow down", f"{_COOL}, and {_SUPPLY}"),
    "sync_boost": (
        "its clocks follow another device of its group",
        "take the device out of its sync boost group",
    ),
    "sw_thermal_slowdown": ("the driver slows a device down that is too hot", _COOL),
    "hw_thermal_slowdown": ("the hardware slows a device down that is too hot", _COOL),
    "hw_power_brake_slowdown": ("the machine's power supply asks it to slow down", _SUPPLY),
    "display_clock_setting": ("a display decides on its clocks", "take the display off"),
    "board_limit": ("the board's limits hold the clocks down", _SUPPLY),
    "reliability": ("its voltage limit holds the clocks down", _LOCK),
}


def stability(samples: Sequence[Reading]) -> tuple[Finding, ...]:
    """Everything in the readings that makes a measurement unsteady.

    Args:
        samples: In the order of time, such as `Window.samples` or `Sampler.samples`.
    """
    return (
        *_throttling(samples),
        *_other_processes(samples),
        *_clock_variation(samples),
        *_warming(samples),
        *_counter_stalls(samples),
    )


def relative_spread(values: Sequence[float]) -> float:
    """Distance of the quartiles, as a share of the median; 0 for fewer than three values."""
    if len(values) < 3:
        return 0.0
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / middle


def _throttling(samples: Sequence[Reading]) -> Iterator[Finding]:
    known = [set(s.clock_events) for s in samples if s.clock_events is not None]
    for event in sorted(set[str]().union(*known) - HARMLESS):
        share = sum(event in events for events in known) / len(known)
        unknown = ("the driver names no cause that is known here", "see nvidia-smi -q")
        cause, remedy = _EVENTS.get(event, unknown)
        yield Finding(f"clocks throttled ({event}) in {share:.0%} of the readings", cause, remedy)


def _other_processes(samples: Sequence[Reading]) -> Iterator[Finding]:
    others: dict[int, Process] = {}
    for sample in samples:
        seen = own_and_others(sample.processes or (), sample.own)[1]
        others |= {process.pid: process for process in seen}
    if others:
        pids = ", ".join(str(pid) for pid in sorted(others)[:5])
        more = f" and {len(others) - 5} more" if len(others) > 5 else ""
        noun = "process" if len(others) == 1 else "processes"
        yield Finding(
            f"{len(others)} other {noun} on the device (pid {pids}{more})",
            "they take time, memory and power that are counted here",
            "stop them, or measure on a device of your own",
        )


def _clock_variation(samples: Sequence[Reading]) -> Iterator[Finding]:
    busy = [s for s in samples if "gpu_idle" not in (s.clock_events or ())]
    for name, values in (
        ("SM", [s.sm_clock for s in busy if s.sm_clock is not None]),
        ("memory", [s.memory_clock for s in busy if s.memory_clock is not None]),
    ):
        if len(values) < 2:
            continue
        edge = len(values) // 20
        low, *_, high = sorted(values)[edge : len(values) - edge]
        spread = (high - low) / (statistics.median(values) or 1.0)
        if spread > CLOCK_SPREAD:
            yield Finding(
                f"the {name} clock varied by {spread:.0%}",
                "the device's speed changed while it was measured",
                f"warm up for longer, or {_LOCK}",
            )


def _warming(samples: Sequence[Reading]) -> Iterator[Finding]:
    values = [s.temperature for s in samples if s.temperature is not None]
    rise = values[-1] - values[0] if values else 0.0
    if rise > WARMING:
        yield Finding(
            f"the device warmed by {rise:.0f} degC, to {values[-1]:.0f} degC",
            "power and clocks drift while a device warms up",
            "warm up for longer",
        )


def _counter_stalls(samples: Sequence[Reading]) -> Iterator[Finding]:
    still = longest_stall(samples)
    if still >= STALL_TIME:
        yield Finding(
            f"the energy counter stood still for {still:.2g} s",
            "the driver does not keep it up to date",
            "trust the power readings, or update the driver",
        )
