"""Which measured kernels an engine has on a device: fitted curves, tables, or none."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from cost_analysis.common.arrays import as_float, holds, single
from cost_analysis.inputs.device import Hardware
from cost_analysis.inputs.dtypes import dtype_named
from cost_analysis.inputs.engine import Engine, KernelSources
from cost_analysis.inputs.profiles import load_hardware
from cost_analysis.kernels.curves import Rates, fitted_kernels
from cost_analysis.kernels.times import KernelTimes


def kernel_times(hardware: Hardware, engine: Engine, kernels: str) -> KernelTimes | None:
    """The measured kernels of an engine on a device; None where only its roofs are known.

    Args:
        hardware: The device.
        engine: What runs the model on it.
        kernels: How they are known, one of `inputs.system.KERNELS`.

    Raises:
        InputError: Tables were asked for that are not there.
    """
    if kernels == "modelled" or not hardware.kernels or engine.kernels == KernelSources():
        return None
    if kernels == "measured":
        from cost_analysis.kernels.lookup import measured_kernels

        return measured_kernels(hardware.kernels, engine.kernels)
    sources = engine.kernels
    if not _has_own_link(hardware):
        sources = replace(sources, exchanges="")
    return fitted_kernels(hardware.kernels, sources, _rates(hardware)) or None


def _has_own_link(hardware: Hardware) -> bool:
    """Whether a relative of a measured device has its link as well."""
    if hardware.name == hardware.kernels:
        return True
    link = _measured_device(hardware.kernels).interconnect
    own = hardware.interconnect
    return link is not None and own is not None and holds(as_float(own) == link)


def _rates(hardware: Hardware) -> Rates:
    """Bandwidth and 16-bit peak of a device over those of the one that was measured.

    They differ where a device has the chip of another with other memory: an A100 of 40 GB.
    """
    measured, wide = _measured_device(hardware.kernels), dtype_named("bf16")
    bandwidth = single(hardware.bandwidth / measured.bandwidth)
    return bandwidth, single(hardware.matmul_peak(wide) / measured.matmul_peak(wide))


@cache
def _measured_device(name: str) -> Hardware:
    return load_hardware(name)
