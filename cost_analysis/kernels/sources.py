"""Which measured kernels an engine has on a device: fitted curves, tables, or none."""

from __future__ import annotations

from cost_analysis.inputs.device import Hardware
from cost_analysis.inputs.engine import Engine, KernelSources
from cost_analysis.kernels.curves import fitted_kernels
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
        from cost_analysis.kernels.measured import measured_kernels

        return measured_kernels(hardware.kernels, engine.kernels)
    return fitted_kernels(hardware.kernels, engine.kernels) or None
