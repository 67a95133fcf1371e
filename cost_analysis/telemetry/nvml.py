"""Readings of the NVIDIA driver about a device, in SI units: the only module that calls NVML.

The binding is nvidia-ml-py's `pynvml`, imported when a device is opened. Nothing here raises for
what a driver lacks: a device that cannot be opened is an `Unavailable` with a sentence, and a
reading that fails is absent, with the driver's own name of the reason (`NOT_SUPPORTED`, …).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any, Self

from cost_analysis.telemetry.readings import (
    Description,
    Memory,
    Process,
    Reading,
    clock_event_names,
)

_UNKNOWN_CALL = frozenset(
    {"FUNCTION_NOT_FOUND", "NOT_SUPPORTED", "ARGUMENT_VERSION_MISMATCH", "INVALID_ARGUMENT"}
    | {"DEPRECATED"}
)
"""Failures after which an older or newer form of the same call may work."""

_SM, _MEMORY, _CORE_SENSOR, _MEMORY_V2 = 1, 2, 0, 0x02000028

_SENTENCES = {
    "NO_BINDING": "nvidia-ml-py is not installed; pip install 'parscale-cost[profile]' brings it",
    "LIBRARY_NOT_FOUND": "there is no NVIDIA driver library (libnvidia-ml.so.1) on this machine",
    "DRIVER_NOT_LOADED": "the NVIDIA driver is installed but not loaded; nvidia-smi says more",
    "NO_PERMISSION": "this user may not ask the NVIDIA driver; it needs access to /dev/nvidia*",
    "LIB_RM_VERSION_MISMATCH": (
        "the NVIDIA library and kernel module are of different versions; a reboot helps"
    ),
    "NO_DEVICE": "the NVIDIA driver sees no device",
    "GPU_IS_LOST": "the device fell off the bus; a reset or a reboot brings it back",
}


@dataclass(frozen=True, slots=True)
class Unavailable:
    """A device that cannot be read.

    Attributes:
        code: The driver's name of the reason, or "NO_BINDING" or "NO_DEVICE".
        reason: One sentence.
    """

    code: str
    reason: str

    def __enter__(self) -> Self:
        """Itself, so that code for a device runs without one too."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""


def open_device(which: object = 0) -> Device | Unavailable:
    """A device of the driver, to be closed (it is a context manager).

    Args:
        which: Index in the driver's order, which knows nothing of CUDA_VISIBLE_DEVICES; or a UUID,
            with or without "GPU-", such as `torch.cuda.get_device_properties(0).uuid`; or a PCI
            bus id such as "0000:18:00.0".
    """
    try:
        nvml = import_module("pynvml")
    except ImportError:
        return Unavailable("NO_BINDING", _SENTENCES["NO_BINDING"])
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return _unavailable(_reason(nvml, error), which)
    try:
        if nvml.nvmlDeviceGetCount():
            return Device(nvml, _handle(nvml, which))
        code = "NO_DEVICE"
    except nvml.NVMLError as error:
        code = _reason(nvml, error)
    _shut_down(nvml)
    return _unavailable(code, which)


class Device:
    """An open device."""

    def __init__(self, nvml: ModuleType, handle: Any) -> None:
        """Keep what `open_device` found.

        Args:
            nvml: The binding, initialised.
            handle: Of the device.
        """
        self._nvml, self._handle, self._open = nvml, handle, True

    def __enter__(self) -> Self:
        """The device."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Let the driver go; a second time does nothing."""
        if self._open:
            self._open = False
            _shut_down(self._nvml)

    def describe(self) -> Description:
        """The device and its driver."""
        missing: dict[str, str] = {}
        cuda = self._ask(
            missing, "cuda", ("nvmlSystemGetCudaDriverVersion_v2",),
            ("nvmlSystemGetCudaDriverVersion",),
        )  # fmt: skip
        mig = self._about(missing, "mig", "nvmlDeviceGetMigMode")
        memory = self._memory(missing, "memory")
        old = memory is not None and memory.reserved is None
        note = "memory used includes what the driver reserves: it knows no second memory call"
        return Description(
            name=self._about(missing, "name", "nvmlDeviceGetName"),
            uuid=self._about(missing, "uuid", "nvmlDeviceGetUUID"),
            driver=self._ask(missing, "driver", ("nvmlSystemGetDriverVersion",)),
            nvml=self._ask(missing, "nvml", ("nvmlSystemGetNVMLVersion",)),
            cuda=None if cuda is None else f"{cuda // 1000}.{cuda % 1000 // 10}",
            memory=memory,
            power_limit=_times(
                1e-3, self._about(missing, "power_limit", "nvmlDeviceGetEnforcedPowerLimit")
            ),
            max_sm_clock=self._clock(missing, "max_sm_clock", "nvmlDeviceGetMaxClockInfo", _SM),
            max_memory_clock=self._clock(
                missing, "max_memory_clock", "nvmlDeviceGetMaxClockInfo", _MEMORY
            ),
            mig=None if mig is None else bool(mig[0]),
            processes=self._processes(missing),
            clock_events=self._clock_events(missing),
            missing=missing,
            notes=(note,) if old else (),
        )

    def read(self, *, processes: bool = False) -> Reading:
        """One sample.

        Args:
            processes: Look at the processes too, which takes the driver longer.
        """
        missing: dict[str, str] = {}
        before = time.perf_counter()
        energy = self._about(missing, "energy", "nvmlDeviceGetTotalEnergyConsumption")
        now = (before + time.perf_counter()) / 2
        power = self._about(missing, "power", "nvmlDeviceGetPowerUsage")
        rates = self._about(missing, "utilisation", "nvmlDeviceGetUtilizationRates")
        if rates is None:
            missing["memory_utilisation"] = missing["utilisation"]
        memory = self._memory(missing, "memory_used")
        return Reading(
            time=now,
            power=_times(1e-3, power),
            energy=_times(1e-3, energy),
            sm_clock=self._clock(missing, "sm_clock", "nvmlDeviceGetClockInfo", _SM),
            memory_clock=self._clock(missing, "memory_clock", "nvmlDeviceGetClockInfo", _MEMORY),
            temperature=_times(1.0, self._temperature(missing)),
            utilisation=rates and rates.gpu / 100,
            memory_utilisation=rates and rates.memory / 100,
            memory_used=None if memory is None else memory.used,
            clock_events=self._clock_events(missing),
            processes=self._processes(missing) if processes else None,
            missing=missing,
        )

    def energy(self) -> float | None:
        """The energy counter alone [J], or None where it cannot be read."""
        return _times(1e-3, self._about({}, "energy", "nvmlDeviceGetTotalEnergyConsumption"))

    def _ask(self, missing: dict[str, str], name: str, *calls: tuple[Any, ...]) -> Any:
        """The answer of the first call that is known here; else None, and the reason noted."""
        reasons = []
        for function, *arguments in calls:
            try:
                return getattr(self._nvml, function)(*arguments)
            except AttributeError:
                reasons.append("FUNCTION_NOT_FOUND")  # the binding is older or newer than the call
            except self._nvml.NVMLError as error:
                reasons.append(_reason(self._nvml, error))
                if reasons[-1] not in _UNKNOWN_CALL:
                    break
        telling = [reason for reason in reasons if reason != "FUNCTION_NOT_FOUND"]
        missing[name] = (telling or reasons)[-1]
        return None

    def _about(self, missing: dict[str, str], name: str, *functions: str) -> Any:
        """The answer of the first of these functions of the device that is known here."""
        return self._ask(missing, name, *((function, self._handle) for function in functions))

    def _clock(
        self, missing: dict[str, str], name: str, function: str, domain: int
    ) -> float | None:
        return _times(1e6, self._ask(missing, name, (function, self._handle, domain)))

    def _temperature(self, missing: dict[str, str]) -> Any:
        calls = ("nvmlDeviceGetTemperatureV", "nvmlDeviceGetTemperature")
        arguments = self._handle, _CORE_SENSOR
        return self._ask(missing, "temperature", *((call, *arguments) for call in calls))

    def _memory(self, missing: dict[str, str], name: str) -> Memory | None:
        call = "nvmlDeviceGetMemoryInfo"
        versions = (call, self._handle, _MEMORY_V2), (call, self._handle)
        info = self._ask(missing, name, *versions)
        if info is None:
            return None
        reserved = _times(1.0, getattr(info, "reserved", None))
        return Memory(float(info.total), float(info.used), float(info.free), reserved)

    def _clock_events(self, missing: dict[str, str]) -> tuple[str, ...] | None:
        names = (
            "nvmlDeviceGetCurrentClocksEventReasons",
            "nvmlDeviceGetCurrentClocksThrottleReasons",
        )
        bits = self._about(missing, "clock_events", *names)
        return None if bits is None else clock_event_names(bits)

    def _processes(self, missing: dict[str, str]) -> tuple[Process, ...] | None:
        stem = "nvmlDeviceGetComputeRunningProcesses"
        found = self._about(missing, "processes", f"{stem}_v3", f"{stem}_v2")
        if found is None:
            return None
        return tuple(Process(int(p.pid), _times(1.0, p.usedGpuMemory)) for p in found)


def _handle(nvml: ModuleType, which: object) -> Any:
    """Handle of an index, a PCI bus id or a UUID; torch gives UUIDs without their prefix."""
    if isinstance(which, int):
        return nvml.nvmlDeviceGetHandleByIndex(which)
    name = str(which)
    if name.isdecimal():
        return nvml.nvmlDeviceGetHandleByIndex(int(name))
    if ":" in name:
        return nvml.nvmlDeviceGetHandleByPciBusId(name)
    if name.startswith(("GPU-", "MIG-")):
        return nvml.nvmlDeviceGetHandleByUUID(name)
    try:
        return nvml.nvmlDeviceGetHandleByUUID(f"GPU-{name}")
    except nvml.NVMLError as error:
        if _reason(nvml, error) not in ("NOT_FOUND", "INVALID_ARGUMENT"):
            raise
        return nvml.nvmlDeviceGetHandleByUUID(f"MIG-{name}")


def _unavailable(code: str, which: object) -> Unavailable:
    if code in ("NOT_FOUND", "INVALID_ARGUMENT"):
        return Unavailable(code, f"the NVIDIA driver knows no device {str(which)[:60]!r}")
    return Unavailable(code, _SENTENCES.get(code, f"the NVIDIA driver refuses to answer ({code})"))


def _reason(nvml: ModuleType, error: Any) -> str:
    """The driver's name of an error, such as "NOT_SUPPORTED"."""
    return _reasons(nvml).get(error.value, f"ERROR_{error.value}")


@cache
def _reasons(nvml: ModuleType) -> dict[int, str]:
    """The driver's names of errors by their numbers; cached, since every sample looks them up."""
    prefix = "NVML_ERROR_"
    names = vars(nvml).items()
    return {value: name.removeprefix(prefix) for name, value in names if name.startswith(prefix)}


def _shut_down(nvml: ModuleType) -> None:
    try:
        nvml.nvmlShutdown()
    except nvml.NVMLError:
        return  # a lost device may refuse even this, and there is nothing left to lose


def _times(factor: float, value: float | None) -> float | None:
    return None if value is None else factor * value
