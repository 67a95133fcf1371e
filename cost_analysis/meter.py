"""Energy of runs that happen elsewhere: of a GPU by NVML, or of the processors by their counters.

Where neither can be read, runs go on without it, and the reason is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Self

from cost_analysis.energy import LEAST_TICKS, POWER_AVERAGE, Window
from cost_analysis.host import CpuEnergy, cpu_energy
from cost_analysis.nvml import Device, Unavailable, open_device
from cost_analysis.stability import stability
from cost_analysis.telemetry import Sampler

Row = dict[str, Any]


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

    def describe(self) -> Row:
        """What is read, for the journal."""
        if isinstance(self._device, Unavailable):
            return {"gpu": None, "gpu_missing": self._device.reason}
        if self._device is None:
            return {}
        about = self._device.describe()
        return {
            "gpu": about.name,
            "gpu_uuid": about.uuid,
            "driver": about.driver,
            "power_limit_watts": about.power_limit,
            "max_sm_clock_hz": about.max_sm_clock,
            "max_memory_clock_hz": about.max_memory_clock,
            "mig": about.mig,
            "device_memory_used_bytes": about.memory and about.memory.used,
            "gpu_unread": about.missing,
        }

    def watch(self, workers: Collection[int]) -> None:
        """Name the processes that run for the measurement from now on, by their ids."""
        if self._sampler is not None:
            self._sampler.own = tuple(workers)

    @property
    def shortest_window(self) -> float:
        """Time that a run must take for its energy to be told [s]; 0 where any will do."""
        if self._sampler is None or self._sampler.stopped:
            return 0.0
        tick = self._sampler.tick
        return 1.1 * (POWER_AVERAGE if tick is None else LEAST_TICKS * tick)

    def run(
        self, work: Callable[[], Row], requests: int = 1, pid: int | None = None
    ) -> tuple[Row, Row]:
        """What a run says, and what was read meanwhile.

        Read are the energy of one of its requests, and on a GPU memory and clocks.

        Args:
            work: Runs and returns a row; the device must have finished when it returns.
            requests: Requests that it runs.
            pid: Process that runs them.
        """
        if self._sampler is not None:
            start = self._sampler.mark()
            said = work()
            window = self._sampler.window(start, self._sampler.mark())
            # Where nothing is read at all, one reason says it.
            reason = "; ".join(window.reasons[:1] if self._sampler.stopped else window.reasons)
            energy = _energy(window.joules, window.source, reason, requests)
            return said, {**energy, **_readings(window, pid)}
        before = cpu_energy()
        said = work()
        return said, _processors(cpu_energy(), before, requests)

    def cost(self) -> Row:
        """What the reading itself costs: processor time as a share of one core, and its rate."""
        if self._sampler is None:
            return {}
        return {"sampler_cost": self._sampler.cost, "sampler_rate": self._sampler.rate}

    def findings(self) -> list[str]:
        """What makes the readings of a GPU doubtful so far: throttling, others on it, its loss."""
        if self._sampler is None:
            return []
        sentences = [str(finding) for finding in stability(self._sampler.samples)]
        return [*sentences, *filter(None, [self._sampler.stopped])]


def _readings(window: Window, pid: int | None) -> Row:
    """Memory and clocks of a GPU in a window; what was not read is None."""
    used = [sample.memory_used for sample in window.samples if sample.memory_used is not None]
    listed = [p for sample in window.samples for p in sample.processes or () if p.pid == pid]
    held = [process.memory for process in listed if process.memory is not None]
    return {
        "device_memory_used_bytes": max(used, default=None),
        "process_memory_bytes": max(held, default=None),
        "sm_clock_hz": window.mean("sm_clock"),
        "memory_clock_hz": window.mean("memory_clock"),
        "temperature_celsius": window.mean("temperature"),
        "utilisation": window.mean("utilisation"),
        "watts": window.watts,
    }


def _processors(after: CpuEnergy, before: CpuEnergy, requests: int) -> Row:
    joules = after.since(before)
    if joules:
        return _energy(sum(joules.values()), "rapl", "", requests)
    reason = "; ".join(sorted(set(after.missing.values()))) or "no counters"
    return _energy(None, None, reason, requests)


def _energy(joules: float | None, source: str | None, reason: str, requests: int) -> Row:
    return {
        "energy_joules": None if joules is None else joules / requests,
        "energy_source": source,
        "energy_missing": reason,
    }
