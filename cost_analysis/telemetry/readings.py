"""What is known of a device at a time, in SI units: records that hold no driver.

What could not be read is None, and `missing` has the driver's own name of the reason.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

CLOCK_EVENTS = {
    0x001: "gpu_idle",
    0x002: "applications_clocks_setting",
    0x004: "sw_power_cap",
    0x008: "hw_slowdown",
    0x010: "sync_boost",
    0x020: "sw_thermal_slowdown",
    0x040: "hw_thermal_slowdown",
    0x080: "hw_power_brake_slowdown",
    0x100: "display_clock_setting",
    0x200: "board_limit",
    0x400: "reliability",
}
"""Why clocks are what they are, by bit (nvml.h, `nvmlClocksEventReasons`)."""

GONE = frozenset(
    {"GPU_IS_LOST", "GPU_NOT_FOUND", "RESET_REQUIRED", "DRIVER_NOT_LOADED", "UNINITIALIZED"}
)
"""Reasons after which a device does not answer any more."""


@dataclass(frozen=True, slots=True)
class Process:
    """A compute process on a device.

    Attributes:
        pid: As the driver sees it: of the machine, not of a container.
        memory: Device memory that it uses [B]; None where the driver does not say.
    """

    pid: int
    memory: float | None


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of a device [B].

    Attributes:
        total: All of it.
        used: By processes; it includes what the driver keeps where `reserved` is None.
        free: Left.
        reserved: Kept by the driver; None where it only knows the first version of this call.
    """

    total: float
    used: float
    free: float
    reserved: float | None


@dataclass(frozen=True, slots=True)
class Description:
    """A device and its driver; what cannot be read is None, and `missing` says why.

    Attributes:
        name: Of the device.
        uuid: "GPU-…", or "MIG-…" for an instance.
        driver: Version of the driver.
        nvml: Version of its library.
        cuda: CUDA version that the driver supports.
        memory: At the time of asking.
        power_limit: Enforced [W].
        max_sm_clock: [Hz].
        max_memory_clock: [Hz].
        mig: Whether the device is split into instances.
        processes: On it at the time of asking.
        clock_events: Why the clocks are what they are.
        missing: Field to the driver's word for why it cannot be read.
        notes: Sentences on how to read the figures.
    """

    name: str | None
    uuid: str | None
    driver: str | None
    nvml: str | None
    cuda: str | None
    memory: Memory | None
    power_limit: float | None
    max_sm_clock: float | None
    max_memory_clock: float | None
    mig: bool | None
    processes: tuple[Process, ...] | None
    clock_events: tuple[str, ...] | None
    missing: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """One sample of a device; what cannot be read is None, and `missing` says why.

    Attributes:
        time: `perf_counter` when the energy counter was read [s].
        power: Drawn [W]; most devices average over a second (nvml.h, `nvmlDeviceGetPowerUsage`).
        energy: Total since the driver was loaded [J].
        sm_clock: [Hz].
        memory_clock: [Hz].
        temperature: [degC].
        utilisation: Share of the time in which a kernel ran.
        memory_utilisation: Share of the time in which memory was read or written.
        memory_used: [B], in the sense of `Memory.used`.
        clock_events: Names from `CLOCK_EVENTS`.
        processes: None also where it was not looked at.
        own: Ids of the processes that were part of the measurement then, as they know themselves.
        missing: Field to the driver's word for why it cannot be read.
    """

    time: float
    power: float | None = None
    energy: float | None = None
    sm_clock: float | None = None
    memory_clock: float | None = None
    temperature: float | None = None
    utilisation: float | None = None
    memory_utilisation: float | None = None
    memory_used: float | None = None
    clock_events: tuple[str, ...] | None = None
    processes: tuple[Process, ...] | None = None
    own: tuple[int, ...] = ()
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def gone(self) -> str | None:
        """The reason after which the device answers no more, if one was met."""
        return next((reason for reason in self.missing.values() if reason in GONE), None)


def clock_event_names(bits: int) -> tuple[str, ...]:
    """Names of the bits that are set; a bit that has none is shown as a number."""
    flags = [1 << place for place in range(bits.bit_length()) if bits >> place & 1]
    return tuple(CLOCK_EVENTS.get(flag, f"{flag:#x}") for flag in flags)


def own_and_others(
    processes: Sequence[Process], own: Collection[int] = ()
) -> tuple[tuple[Process, ...], tuple[Process, ...]]:
    """The processes of a measurement as the driver lists them, and the others.

    The driver lists the machine's process ids. In a container the measurement's processes have
    others: where none of them is listed, and none of the listed ids runs in here, as many as the
    measurement has are taken for its own.

    Args:
        processes: As the driver lists them.
        own: Ids of the processes of the measurement beside this one.
    """
    known = {os.getpid(), *own}
    mine = tuple(process for process in processes if process.pid in known)
    if not mine and not any(Path(f"/proc/{process.pid}").exists() for process in processes):
        mine = tuple(processes[: len(known)])
    return mine, tuple(process for process in processes if process not in mine)
