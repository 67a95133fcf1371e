"""The machine and this process without a GPU: processors, memory, and the energy that RAPL counts.

Everything is in SI units, and what cannot be read is None with a named reason beside it.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

KIB = 1024
"""Unit of /proc/self/status and of `getrusage` on Linux [B]."""

POWERCAP = Path("/sys/class/powercap")
CGROUPS = Path("/sys/fs/cgroup")
PROC = Path("/proc")
SYSTEM_CPU = Path("/sys/devices/system/cpu")


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine as this process sees it.

    Attributes:
        cpu: Name of the processor.
        cores: Physical cores.
        logical_cores: Hardware threads.
        affinity: Those of them that this process may run on.
        clock: Of the processors now, the mean over them [Hz].
        max_clock: Highest that they are allowed [Hz]; None where the system does not say.
        governor: The kernel's policy for the clock ("performance", "powersave", …), likewise.
        cpu_quota: Cores' worth of time that its control group grants; None means no limit.
        threads: Of this process, now.
        memory: Of the machine [B].
        memory_available: For new allocations without swapping, within the limit [B].
        memory_limit: Of its control group [B]; None means no limit.
        load: Processes that ran or waited, averages of 1, 5 and 15 minutes.
        system: Operating system, its release, and the architecture.
        missing: Field to the reason why it cannot be read.
    """

    cpu: str | None
    cores: int | None
    logical_cores: int | None
    affinity: tuple[int, ...] | None
    clock: float | None
    max_clock: float | None
    governor: str | None
    cpu_quota: float | None
    threads: int | None
    memory: float | None
    memory_available: float | None
    memory_limit: float | None
    load: tuple[float, float, float] | None
    system: str
    missing: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProcessMemory:
    """Memory of this process.

    Attributes:
        resident: Now [B].
        peak: Largest since it began, or since `reset_peak_memory` [B].
        missing: Field to the reason why it cannot be read.
    """

    resident: float | None
    peak: float | None
    missing: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CpuEnergy:
    """Energy counters of the processors (RAPL), at one time.

    Attributes:
        time: `perf_counter` [s].
        joules: Domain, such as "package-0" or "package-0/dram", to its counter [J].
        ranges: Domain to the value at which its counter starts again from 0 [J].
        missing: Why there is none, or which domain cannot be read.
    """

    time: float
    joules: dict[str, float]
    ranges: dict[str, float]
    missing: dict[str, str] = field(default_factory=dict)

    def since(self, before: CpuEnergy) -> dict[str, float]:
        """Energy of each domain since an earlier reading [J]; the domains add up.

        A counter that started again is counted once: read at least every few minutes.
        """
        return {
            name: joules - before.joules[name]
            if joules >= before.joules[name]
            else joules - before.joules[name] + self.ranges[name]
            for name, joules in self.joules.items()
            if name in before.joules
        }


def read_machine() -> Machine:
    """The machine as this process sees it."""
    missing: dict[str, str] = {}

    def get(name: str, *ways: Callable[[], Any]) -> Any:
        return _first(missing, name, *ways)

    quota, limit, in_use = control_group()
    available = get("memory_available", lambda: float(_psutil().virtual_memory().available))
    if limit is not None:
        room = max(limit - in_use, 0.0)
        available = room if available is None else min(available, room)
    return Machine(
        cpu=get("cpu", _cpu_name),
        cores=get("cores", lambda: int(_psutil().cpu_count(logical=False))),
        logical_cores=os.cpu_count(),
        affinity=get("affinity", _affinity),
        clock=get("clock", lambda: _clock("current")),
        max_clock=_first({}, "", lambda: _clock("max")),
        governor=_first({}, "", _governor),
        cpu_quota=quota,
        threads=get("threads", lambda: int(_psutil().Process().num_threads())),
        memory=get("memory", _memory),
        memory_available=available,
        memory_limit=limit,
        load=get("load", os.getloadavg),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        missing=missing,
    )


def affinity() -> tuple[int, ...]:
    """Hardware threads that this process may run on; none where the system does not say."""
    return _first({}, "", _affinity) or ()


def usable_cores() -> int:
    """How many hardware threads this process may run on; all where the system does not say."""
    return len(affinity()) or os.cpu_count() or 1


def process_memory() -> ProcessMemory:
    """Resident and peak set size of this process.

    `getrusage` is asked last: the peak that it gives is at least that of the process which started
    this one, and nothing resets it.
    """
    missing: dict[str, str] = {}
    return ProcessMemory(
        resident=_first(
            missing,
            "resident",
            lambda: _status("VmRSS"),
            lambda: float(_psutil().Process().memory_info().rss),
        ),
        peak=_first(missing, "peak", lambda: _status("VmHWM"), _peak_by_psutil, _peak_by_usage),
        missing=missing,
    )


def reset_peak_memory() -> str | None:
    """Reset the peak set size to the present one; the reason where that cannot be done."""
    try:
        (PROC / "self/clear_refs").write_text("5")
    except OSError as error:
        return _named(error)
    return None


def cpu_energy(root: Path = POWERCAP) -> CpuEnergy:
    """The processors' energy counters: packages and the memory beside them, which add up.

    Args:
        root: Where Linux shows them; reading them needs permissions that few users have.
    """
    joules: dict[str, float] = {}
    ranges: dict[str, float] = {}
    missing: dict[str, str] = {}
    now = time.perf_counter()
    for zone in sorted(root.glob("intel-rapl:*")):
        try:
            name = (zone / "name").read_text().strip()
            # A zone within a package is part of it, but for "dram"; "psys" holds packages.
            if ":" in zone.name.removeprefix("intel-rapl:"):
                parent = root / zone.name.rpartition(":")[0] / "name"
                name = f"{parent.read_text().strip()}/{name}"
            if not name.startswith("package") or ("/" in name and not name.endswith("/dram")):
                continue
            top = 1e-6 * int((zone / "max_energy_range_uj").read_text())
            joules[name] = 1e-6 * int((zone / "energy_uj").read_text())
            ranges[name] = top
        except (OSError, ValueError) as error:
            missing[zone.name] = _named(error)
    if not joules and not missing:
        missing["rapl"] = "NOT_FOUND"
    return CpuEnergy(now, joules, ranges, missing)


def control_group(
    proc: Path = PROC, root: Path = CGROUPS
) -> tuple[float | None, float | None, float]:
    """What control groups (version 2) grant this process: cores, bytes, and bytes in use by then.

    Args:
        proc: Where Linux shows processes.
        root: Where it shows control groups.
    """
    try:
        lines = (proc / "self/cgroup").read_text().splitlines()
    except OSError:
        return None, None, 0.0
    inner = next((line[3:].strip("/") for line in lines if line.startswith("0::")), "")
    quota, limit, in_use = None, None, 0.0
    for group in (root / inner, *(root / inner).parents):
        if not group.is_relative_to(root):
            break
        # A group inside another is bound by both.
        with suppress(OSError, ValueError):
            granted, period = (group / "cpu.max").read_text().split()
            quota = min(int(granted) / int(period), quota or float("inf"))
        with suppress(OSError, ValueError):
            bound = float((group / "memory.max").read_text())
            if limit is None or bound < limit:
                limit, in_use = bound, _charged(group)
    return quota, limit, in_use


def _charged(group: Path) -> float:
    """Memory of a group that cannot be given back at once [B]: without idle file pages."""
    stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    used = float((group / "memory.current").read_text())
    return used - float(stat.get("inactive_file", 0))


def _first(missing: dict[str, str], name: str, *ways: Callable[[], Any]) -> Any:
    """The value of the first reader that works; else None, and the reason is kept."""
    reason = ""
    for way in ways:
        try:
            return way()
        except (OSError, ImportError, AttributeError, LookupError, RuntimeError, TypeError,
                ValueError) as error:  # fmt: skip
            reason = _named(error)
    missing[name] = reason
    return None


def _named(error: Exception) -> str:
    """The reason of a failure, as a name that the NVIDIA driver uses too."""
    if isinstance(error, PermissionError):
        return "NO_PERMISSION"
    if isinstance(error, ImportError):
        return "NO_PSUTIL"
    if isinstance(error, FileNotFoundError):
        return "NOT_FOUND"
    return "NOT_SUPPORTED"


def _psutil() -> Any:
    return import_module("psutil")


def _status(key: str) -> float:
    """A size from /proc/self/status [B]."""
    for line in (PROC / "self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return float(line.split()[1]) * KIB
    raise LookupError(key)


def _memory() -> float:
    with suppress(AttributeError, OSError, ValueError):
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return float(_psutil().virtual_memory().total)


def _affinity() -> tuple[int, ...]:
    return tuple(sorted(os.sched_getaffinity(0)))


def _clock(name: str) -> float:
    """A clock of the processors [Hz]; psutil has 0 where the system does not say."""
    clock = float(getattr(_psutil().cpu_freq(), name))
    if not clock:
        raise LookupError(name)
    return 1e6 * clock


def _governor() -> str:
    return (SYSTEM_CPU / "cpu0/cpufreq/scaling_governor").read_text().strip()


def _cpu_name() -> str:
    """From /proc/cpuinfo, or as Python has it."""
    with suppress(OSError):
        for line in (PROC / "cpuinfo").read_text().splitlines():
            if line.lower().startswith("model name"):
                return line.partition(":")[2].strip()
    name = platform.processor() or platform.machine()
    if not name:
        raise LookupError("no name")
    return name


def _peak_by_psutil() -> float:
    """Only Windows has it there."""
    return float(_psutil().Process().memory_info().peak_wset)


def _peak_by_usage() -> float:
    usage = import_module("resource")
    peak = usage.getrusage(usage.RUSAGE_SELF).ru_maxrss
    return float(peak * (1 if sys.platform == "darwin" else KIB))
