"""Energy of runs that happen elsewhere: of a GPU by NVML, or of the processors by their counters.

Where neither can be read, runs go on without it, and the reason is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Self, TypeVar

from cost_analysis.energy import MINIMUM_UPDATES, POWER_AVERAGE, Window
from cost_analysis.host import CpuEnergy, cpu_energy
from cost_analysis.nvml import Device, Unavailable, open_device
from cost_analysis.readings import Description
from cost_analysis.stability import stability
from cost_analysis.telemetry import Sampler

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class GpuReadings:
    """What a GPU said during a run; what was not read is None.

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
        gpu: What the GPU said; None where the processors are read.
    """

    energy: float | None
    source: str | None
    missing: str
    gpu: GpuReadings | None = None


@dataclass(frozen=True, slots=True)
class SamplingCost:
    """What the reading itself takes.

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
            # Where nothing is read at all, one reason says it.
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
