"""Energy of runs that happen elsewhere: of a GPU by NVML, or of the processors by their counters.

Where neither can be read, runs go on without it, and the reason is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

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
        return {"gpu": about.name, "gpu_uuid": about.uuid, "driver": about.driver,
                "power_limit_watts": about.power_limit, "mig": about.mig}  # fmt: skip

    def run(self, work: Callable[[], Row]) -> tuple[Row, Row]:
        """What a run says, and the energy that went into it.

        Args:
            work: Runs and returns a row; the device must have finished when it returns.
        """
        if self._sampler is not None:
            start = self._sampler.mark()
            said = work()
            window = self._sampler.window(start, self._sampler.mark())
            # Where nothing is read at all, one reason says it.
            reason = "; ".join(window.reasons[:1] if self._sampler.stopped else window.reasons)
            return said, _energy(window.joules, window.source, reason)
        before = cpu_energy()
        said = work()
        return said, _processors(cpu_energy(), before)

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


def _processors(after: CpuEnergy, before: CpuEnergy) -> Row:
    joules = after.since(before)
    if joules:
        return _energy(sum(joules.values()), "rapl", "")
    return _energy(None, None, "; ".join(sorted(set(after.missing.values()))) or "no counters")


def _energy(joules: float | None, source: str | None, reason: str) -> Row:
    return {"energy_joules": joules, "energy_source": source, "energy_missing": reason}
