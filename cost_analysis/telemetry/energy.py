"""The energy that a device took between two times, and what makes a measurement unsteady.

It is the difference of the device's own counter where the window is long enough for the counter to
have moved often; else the integral of the power readings; if neither can be used, a sentence says
why.
"""

from __future__ import annotations

import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from cost_analysis.telemetry.readings import Process, Reading, own_and_others

MINIMUM_UPDATES = 10
"""Updates of the energy counter that a window spans at least: an edge may be off by one of them."""

STALL_TIME = 1.0
"""Time without a change after which a counter has stopped [s]; devices update it within 0.1 s."""

POWER_AVERAGE = 1.0
"""Shortest window for which power readings are meaningful [s]: since Ampere, devices other than
GA100 answer with the average of a second (nvml.h, `nvmlDeviceGetPowerUsage`)."""

Points = Sequence[tuple[float, float]]
"""Times [s] and values, in the order of time."""


@dataclass(frozen=True, slots=True)
class Window:
    """The energy between two times.

    Attributes:
        start: `perf_counter` [s].
        seconds: Its length [s].
        joules: Energy by the better source, or None where neither shows it.
        source: "counter" or "power", where `joules` is from.
        resolution: What the counter's updates leave open, as a share of `joules`; None for power.
        counter_joules: Difference of the counter, whether or not it can be trusted.
        power_joules: Integral of the power readings, likewise.
        reasons: Sentences on what could not be used, and why.
        samples: Readings in the window.
    """

    start: float
    seconds: float
    joules: float | None
    source: str | None
    resolution: float | None
    counter_joules: float | None
    power_joules: float | None
    reasons: tuple[str, ...]
    samples: tuple[Reading, ...]

    @property
    def watts(self) -> float | None:
        """Mean power [W]."""
        return None if self.joules is None else self.joules / self.seconds

    def mean(self, name: str) -> float | None:
        """Mean of a field of the samples, such as "sm_clock"; None where none has it."""
        values = [getattr(sample, name) for sample in self.samples]
        known = [float(value) for value in values if value is not None]
        return statistics.fmean(known) if known else None


def energy_window(
    samples: Sequence[Reading],
    start: float,
    end: float,
    tick: float | None = None,
    reasons: tuple[str, ...] = (),
) -> Window:
    """The energy between two times, from readings around them.

    Args:
        samples: In the order of time; values at the edges are interpolated.
        start: `perf_counter` [s].
        end: Likewise, later.
        tick: Time between two updates of the energy counter [s]; None means that the changes
            between readings are counted, of which there are fewer.
        reasons: Sentences that the window carries in any case.
    """
    near = samples[max(bisect_right(samples, start, key=_time) - 1, 0) :]
    near = near[: bisect_left(near, end, key=_time) + 1]
    counter = _cut([(s.time, s.energy) for s in near if s.energy is not None], start, end)
    power = _cut([(s.time, s.power) for s in near if s.power is not None], start, end)
    ticks = (end - start) / tick if tick else float(_changes(counter))
    stall_limit = min(STALL_TIME, max(MINIMUM_UPDATES * tick, 0.25)) if tick else STALL_TIME
    found = Window(
        start,
        end - start,
        joules=None,
        source=None,
        resolution=None,
        counter_joules=counter[-1][1] - counter[0][1] if counter else None,
        power_joules=_area(power) if power else None,
        reasons=reasons,
        samples=tuple(sample for sample in near if start <= sample.time <= end),
    )
    problems = _counter_problems(counter, ticks, stall_limit, _why(near, "energy"))
    if not problems:
        return replace(found, joules=found.counter_joules, source="counter", resolution=1 / ticks)
    more = _power_problems(power, end - start, _why(near, "power"))
    if more:
        return replace(found, reasons=(*reasons, *problems, *more))
    problems = (*problems, "energy is the integral of the power readings")
    return replace(found, joules=found.power_joules, source="power", reasons=(*reasons, *problems))


def longest_stall(samples: Sequence[Reading]) -> float:
    """Longest time over which the energy counter was seen not to move [s]."""
    return _longest_constant([(s.time, s.energy) for s in samples if s.energy is not None])


def _counter_problems(
    points: Points, ticks: float, stall_limit: float, why: str | None
) -> tuple[str, ...]:
    """Why the counter does not show the window's energy; empty where it does."""
    if not points:
        return (f"the energy counter was not read at both ends ({why or 'NOT_SAMPLED'})",)
    if any(after[1] < before[1] for before, after in pairwise(points)):
        return ("the energy counter went backwards",)
    still, seconds = _longest_constant(points), points[-1][0] - points[0][0]
    if still >= stall_limit or (still == seconds and ticks >= MINIMUM_UPDATES):
        return (f"the energy counter stood still for {still:.2g} s",)
    if ticks < MINIMUM_UPDATES:
        return (
            f"window too short: its {seconds:.2g} s span {ticks:.2g} updates of the energy "
            f"counter, and at least {MINIMUM_UPDATES} are needed",
        )
    return ()


def _power_problems(points: Points, seconds: float, why: str | None) -> tuple[str, ...]:
    """Why the power readings do not show the window's energy; empty where they do."""
    if not points:
        return (f"power was not read at both ends ({why or 'NOT_SAMPLED'})",)
    if seconds < POWER_AVERAGE:
        return (
            f"window too short: power readings average over up to {POWER_AVERAGE:g} s, and it has "
            f"{seconds:.2g} s",
        )
    gap = max(after[0] - before[0] for before, after in pairwise(points))
    if gap > seconds / 5:
        return (f"power was not read for {gap:.2g} s of it",)
    return ()


def _time(sample: Reading) -> float:
    return sample.time


def _why(samples: Sequence[Reading], name: str) -> str | None:
    """The last reason for which a field could not be read."""
    reasons = (sample.missing.get(name) for sample in reversed(samples))
    return next((reason for reason in reasons if reason), None)


def _cut(points: Points, start: float, end: float) -> list[tuple[float, float]]:
    """The points between two times, with interpolated ones at the edges; empty where they end."""
    if not points or not points[0][0] <= start < end <= points[-1][0]:
        return []
    inside = [point for point in points if start < point[0] < end]
    return [(start, _value(points, start)), *inside, (end, _value(points, end))]


def _value(points: Points, at: float) -> float:
    for (t0, v0), (t1, v1) in pairwise(points):
        if t0 <= at <= t1:
            return v0 + (v1 - v0) * (at - t0) / (t1 - t0) if t1 > t0 else v1
    raise AssertionError("the caller looked at the ends")


def _area(points: Points) -> float:
    return sum((t1 - t0) * (v0 + v1) / 2 for (t0, v0), (t1, v1) in pairwise(points))


def _changes(points: Points) -> int:
    return sum(before[1] != after[1] for before, after in pairwise(points))


def _longest_constant(points: Points) -> float:
    """Longest stretch of equal values."""
    longest, since = 0.0, None
    for before, after in pairwise(points):
        since = (before[0] if since is None else since) if before[1] == after[1] else None
        longest = max(longest, after[0] - since if since is not None else 0.0)
    return longest


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
