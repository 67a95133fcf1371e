"""The energy that a device took between two times, and whether the readings show it at all.

It is the difference of the device's own counter where the window is long enough for the counter to
have been updated often; else the integral of the power readings; else a sentence says why not.
"""

from __future__ import annotations

import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from cost_analysis.readings import Reading

MINIMUM_UPDATES = 10
"""Updates of the energy counter that a window spans at least: an edge may be off by one of them."""

STALL_TIME = 1.0
"""A counter that does not move for so long stands still [s]; devices update it within 0.1 s."""

POWER_AVERAGE = 1.0
"""Shortest window that power readings say anything about [s]: since Ampere, devices other than
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
