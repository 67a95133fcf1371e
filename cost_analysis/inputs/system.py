"""What runs a model: the device and how many of them, the engine, and the storage formats."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from cost_analysis.common.arrays import Number
from cost_analysis.common.errors import InputError, unknown_name
from cost_analysis.inputs.device import Hardware
from cost_analysis.inputs.dtypes import Precision
from cost_analysis.inputs.engine import Engine, KernelSources
from cost_analysis.inputs.layout import SINGLE, Layout
from cost_analysis.inputs.profiles import load_engine, load_hardware
from cost_analysis.inputs.spec import ModelSpec

DEFAULT_DEVICE = "a100-sxm-80gb"
DEFAULT_ENGINES = {"gpu": "graphs", "cpu": "cpu"}
"""The default engine of each kind of device; of other kinds, without measurements, "ideal"."""


KERNELS = ("fitted", "measured", "modelled")
"""How times of kernels are known: by curves that were fitted to measured ones, by interpolation in
the tables of measured ones, or by the roofs of the device alone."""


@dataclass(frozen=True, slots=True)
class System:
    """What runs a model.

    Attributes:
        hardware: The device.
        engine: What runs the model on it, with the user's own efficiencies if given.
        precision: Storage formats.
        layout: How the model is divided among devices of that kind.
        flops_efficiency: Share of the peak that the user gave, or None. The engine already has it;
            the published cost model needs it separately.
        bandwidth_efficiency: Likewise of the bandwidth.
        kernels: How times of kernels are known, one of `KERNELS`.
    """

    hardware: Hardware
    engine: Engine
    precision: Precision = field(default_factory=Precision)
    layout: Layout = SINGLE
    flops_efficiency: float | None = None
    bandwidth_efficiency: float | None = None
    kernels: str = KERNELS[0]

    def of_streams(self, streams: Number) -> System:
        """The system for a number of streams, which may be smaller than that of stream groups."""
        layout = self.layout.of_streams(streams)
        return self if layout is self.layout else replace(self, layout=layout)

    def interval(self, seconds: Number, spec: ModelSpec) -> tuple[Number, Number] | None:
        """The 80 % interval of a model's predicted time [s]; None where nothing was measured."""
        spread, narrow = self.engine.spread, self.precision.matrix.bits < 16
        if spread is None:
            return None
        return spread.interval(seconds, self.hardware.name, narrow=narrow, experts=spec.has_experts)

    def widened(self, spec: ModelSpec) -> str:
        """What makes a model's intervals wider than those of a known case; "" where nothing."""
        spread, narrow = self.engine.spread, self.precision.matrix.bits < 16
        if spread is None:
            return ""
        reasons = spread.reasons(self.hardware.name, narrow=narrow, experts=spec.has_experts)
        return f"wider for {', '.join(reasons)}" if reasons else ""


def named_system(
    gpu_config: str = DEFAULT_DEVICE,
    engine: str | None = None,
    flops_efficiency: float | None = None,
    bandwidth_efficiency: float | None = None,
    kernels: str | None = None,
) -> System:
    """A device and what runs models on it, in bf16, by the names of their profiles.

    Args:
        gpu_config: A device profile or the path of one.
        engine: An engine profile or the path of one; None means the device kind's default.
        flops_efficiency: Replaces the engine's, unless None.
        bandwidth_efficiency: Replaces the engine's, unless None.
        kernels: How times of kernels are known, one of `KERNELS`; None means fitted curves, or the
            roofs alone where an efficiency is given, which is a share of these.

    Raises:
        InputError: No such device or engine, a share outside (0, 1], or measured kernels that the
            device or the engine does not have.
    """
    by_shares = flops_efficiency is not None or bandwidth_efficiency is not None
    if kernels is None:
        kernels = "modelled" if by_shares else KERNELS[0]
    elif kernels not in KERNELS:
        raise unknown_name("kind of kernel times", kernels, KERNELS)
    elif by_shares and kernels != "modelled":
        raise InputError(
            f"--kernels {kernels} has no share of the roofs; leave the efficiencies out"
        )
    hardware = load_hardware(gpu_config).at_datasheet(
        flops=flops_efficiency is not None, bandwidth=bandwidth_efficiency is not None
    )
    name = engine or DEFAULT_ENGINES.get(hardware.kind, "ideal")
    system = System(
        hardware,
        load_engine(name).with_efficiency(flops_efficiency, bandwidth_efficiency),
        flops_efficiency=flops_efficiency,
        bandwidth_efficiency=bandwidth_efficiency,
        kernels=kernels,
    )
    if kernels == "measured":
        _check_measured(system)
    return system


def _check_measured(system: System) -> None:
    """Refuse to look for measured kernels of a device or an engine that has none."""
    if not system.hardware.kernels:
        raise InputError(
            f"device {system.hardware.name} has no measured kernels; `parscale-cost kernels` lists "
            "the devices that have"
        )
    if system.engine.kernels == KernelSources():
        raise InputError(
            f"engine {system.engine.name} has no measured kernels; vllm, sglang and tensorrt-llm "
            "have"
        )
