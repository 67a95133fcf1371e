"""A device watched in the background, and the energy of runs in other processes.

Energy is a GPU's by NVML, or the processors' by their counters. Where neither can be read, runs go
on without it, and the reason is kept.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Self, TypeVar

from cost_analysis.common.errors import InputError, shown
from cost_analysis.telemetry.energy import (
    MINIMUM_UPDATES,
    POWER_AVERAGE,
    Window,
    energy_window,
    stability,
)
from cost_analysis.telemetry.machine import CpuEnergy, cpu_energy
from cost_analysis.telemetry.nvml import Device, Unavailable, open_device
from cost_analysis.telemetry.readings import Description, Reading

MAXIMUM_RATE = 20.0
"""Highest sampling rate [1/s]: the driver's figures change hardly faster."""

MINIMUM_TICK = 0.01
"""Shortest time between updates of the energy counter [s]: none is known to be faster."""

PROCESS_PERIOD = 1.0
"""Time between two looks at the processes on the device [s]."""


class Sampler:
    """Reads a device in the background; a context manager, started once.

    Without a device it starts all the same, keeps nothing, and every window says why.
    """

    def __init__(self, device: Device | Unavailable, rate: float = 10.0) -> None:
        """Prepare to watch a device.

        Args:
            device: Open for as long as the sampler runs.
            rate: Readings per second.

        Raises:
            InputError: A rate that is not above 0 and at most 20.
        """
        if not 0 < rate <= MAXIMUM_RATE:
            raise InputError(
                f"sampling rate {shown(rate)} is not above 0 and at most {MAXIMUM_RATE:g} per "
                "second"
            )
        self.tick: float | None = None
        """Time between two updates of the energy counter [s], as measured at the start."""
        self.own: tuple[int, ...] = ()
        """Ids of other processes that are part of the measurement: its workers, while they live."""
        self.stopped: str | None = None
        """Why nothing is read any more: the device is gone, or was never there."""
        self._device = device if isinstance(device, Device) else None
        if isinstance(device, Unavailable):
            self.stopped = device.reason
        self._period = 1 / rate
        self._samples: list[Reading] = []
        self._looked = -float("inf")
        self._elapsed = self._busy = 0.0
        self._lock, self._end = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()

    def start(self) -> None:
        """Time the energy counter (0.5 s at most), take a first reading, and start the thread."""
        if self._device is not None:
            self.tick = energy_tick(self._device)
            self._take(processes=True)
            self._thread.start()

    def stop(self) -> None:
        """Take a last reading and end; a second time does nothing."""
        if self._thread.is_alive():
            self._end.set()
            self._thread.join()
            self._take(processes=True)

    def mark(self) -> float:
        """Read the device now and give the time: an exact edge of a window.

        Synchronise with the device before. Where nothing is read any more, the time alone.
        """
        reading = self._take() if self._thread.is_alive() and not self._end.is_set() else None
        return time.perf_counter() if reading is None else reading.time

    def window(self, start: float, end: float) -> Window:
        """The energy between two times, best those of two marks."""
        samples = self.samples
        unfinished = not samples or samples[-1].time < end
        reasons = (self.stopped,) if self.stopped and unfinished else ()
        return energy_window(samples, start, end, self.tick, reasons)

    @property
    def samples(self) -> tuple[Reading, ...]:
        """All readings so far, in the order of time."""
        with self._lock:
            return tuple(self._samples)

    @property
    def cost(self) -> float:
        """Processor time of the background thread, as a share of one core."""
        return self._busy / self._elapsed if self._elapsed > 0 else 0.0

    @property
    def rate(self) -> float:
        """Readings per second that were achieved, marks included."""
        samples = self.samples
        span = samples[-1].time - samples[0].time if samples else 0.0
        return (len(samples) - 1) / span if span > 0 else 0.0

    def _take(self, *, processes: bool = False) -> Reading | None:
        """Read and keep; None where the device is gone already."""
        with self._lock:
            if self._device is None or self.stopped is not None:
                return None
            look = processes or time.perf_counter() - self._looked >= PROCESS_PERIOD
            try:
                reading = replace(self._device.read(processes=look), own=self.own)
            except Exception as error:
                # Whatever a driver or its binding raises, what was recorded is kept.
                self.stopped = f"reading the device failed ({type(error).__name__}: {error})"
                self._end.set()
                return None
            self._looked = reading.time if look else self._looked
            self._samples.append(reading)
            if reading.gone:
                self.stopped = f"the device answers no more ({reading.gone})"
                self._end.set()
            return reading

    def _run(self) -> None:
        began, cpu = time.perf_counter(), time.thread_time()
        due = began + self._period
        while not self._end.wait(max(due - time.perf_counter(), 0.0)):
            self._take()
            now = time.perf_counter()
            due += self._period * ((now - due) // self._period + 1)  # what was missed is left out
            self._busy, self._elapsed = time.thread_time() - cpu, now - began


def energy_tick(device: Device, limit: float = 0.5) -> float | None:
    """Time between two updates of the energy counter [s]; None where too few were seen.

    Args:
        device: To ask, every millisecond.
        limit: Time after which to give up [s].
    """
    changes: list[float] = []
    began, last = time.perf_counter(), device.energy()
    while last is not None and len(changes) < 6 and time.perf_counter() - began < limit:
        time.sleep(0.001)
        value = device.energy()
        if value != last:
            changes.append(time.perf_counter())
            last = value
    if len(changes) < 3:
        return None
    tick = statistics.median(after - before for before, after in pairwise(changes))
    return max(tick, MINIMUM_TICK)


Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class GpuReadings:
    """Readings of a GPU during a run; what was not read is None.

    Attributes:
        memory_used: On the device, at most [B].
        process_memory: Of the process that ran, at most [B].
        sm_clock: Mean [Hz].
        memory_clock: Mean [Hz].
        temperature: Mean [degC].
        utilisation: Share of the time in which a kernel ran.
        power: Mean [W].
    """

    memory_used: float | None
    process_memory: float | None
    sm_clock: float | None
    memory_clock: float | None
    temperature: float | None
    utilisation: float | None
    power: float | None


@dataclass(frozen=True, slots=True)
class Readings:
    """What was read during a run.

    Attributes:
        energy: Of one request [J]; None where it could not be read.
        source: "counter", "power" or "rapl", where `energy` is from; None likewise.
        missing: Why the energy was not read, or not by its counter.
        gpu: Readings of the GPU; None where the processors are read.
    """

    energy: float | None
    source: str | None
    missing: str
    gpu: GpuReadings | None = None


@dataclass(frozen=True, slots=True)
class SamplingCost:
    """The cost of taking the readings.

    Attributes:
        share: Processor time, as a share of one core.
        rate: Readings per second.
    """

    share: float
    rate: float


class Meter:
    """A context manager that reads energy around runs."""

    def __init__(self, gpu: object = None) -> None:
        """Prepare to read.

        Args:
            gpu: An NVML index, UUID or bus id; None means the processors.
        """
        self._device: Device | Unavailable | None = None if gpu is None else open_device(gpu)
        self._sampler = None if self._device is None else Sampler(self._device)

    def __enter__(self) -> Self:
        """Start sampling."""
        if self._sampler is not None:
            self._sampler.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and let the device go."""
        if self._sampler is not None:
            self._sampler.stop()
        if self._device is not None:
            self._device.__exit__(None, None, None)

    def describe(self) -> Description | Unavailable | None:
        """The GPU that is read, or why it cannot be; None where the processors are read."""
        return self._device.describe() if isinstance(self._device, Device) else self._device

    def watch(self, workers: Collection[int]) -> None:
        """Name the processes that run for the measurement from now on, by their ids."""
        if self._sampler is not None:
            self._sampler.own = tuple(workers)

    @property
    def shortest_window(self) -> float:
        """Shortest run whose energy can be read [s]; 0 where any can."""
        if self._sampler is None or self._sampler.stopped:
            return 0.0
        tick = self._sampler.tick
        return 1.1 * (POWER_AVERAGE if tick is None else MINIMUM_UPDATES * tick)

    def run(
        self, work: Callable[[], Result], requests: int = 1, pid: int | None = None
    ) -> tuple[Result, Readings]:
        """What a run returns, and what was read meanwhile.

        Args:
            work: The run; the device must have finished when it returns.
            requests: Requests that it runs.
            pid: Process that runs them.
        """
        if self._sampler is not None:
            start = self._sampler.mark()
            result = work()
            window = self._sampler.window(start, self._sampler.mark())
            # Where nothing is read at all, one reason is enough.
            reason = "; ".join(window.reasons[:1] if self._sampler.stopped else window.reasons)
            energy = _for_each(window.joules, requests)
            return result, Readings(energy, window.source, reason, _gpu_readings(window, pid))
        before = cpu_energy()
        result = work()
        return result, _cpu_readings(before, cpu_energy(), requests)

    def cost(self) -> SamplingCost | None:
        """What reading a GPU takes; None where the processors are read."""
        if self._sampler is None:
            return None
        return SamplingCost(self._sampler.cost, self._sampler.rate)

    def findings(self) -> list[str]:
        """What makes the readings of a GPU doubtful so far: throttling, others on it, its loss."""
        if self._sampler is None:
            return []
        sentences = [str(finding) for finding in stability(self._sampler.samples)]
        return [*sentences, *filter(None, [self._sampler.stopped])]


def _gpu_readings(window: Window, pid: int | None) -> GpuReadings:
    used = [sample.memory_used for sample in window.samples if sample.memory_used is not None]
    listed = [p for sample in window.samples for p in sample.processes or () if p.pid == pid]
    held = [process.memory for process in listed if process.memory is not None]
    return GpuReadings(
        memory_used=max(used, default=None),
        process_memory=max(held, default=None),
        sm_clock=window.mean("sm_clock"),
        memory_clock=window.mean("memory_clock"),
        temperature=window.mean("temperature"),
        utilisation=window.mean("utilisation"),
        power=window.watts,
    )


def _cpu_readings(before: CpuEnergy, after: CpuEnergy, requests: int) -> Readings:
    joules = after.since(before)
    if joules:
        return Readings(_for_each(sum(joules.values()), requests), "rapl", "")
    reason = "; ".join(sorted(set(after.missing.values()))) or "no counters"
    return Readings(None, None, reason)


def _for_each(joules: float | None, requests: int) -> float | None:
    return None if joules is None else joules / requests
