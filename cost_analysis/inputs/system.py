"""What runs a model: the device and how many of them, the engine, and the storage formats."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from cost_analysis.common.arrays import Number
from cost_analysis.inputs.device import Hardware
from cost_analysis.inputs.dtypes import Precision
from cost_analysis.inputs.engine import Engine
from cost_analysis.inputs.layout import SINGLE, Layout
from cost_analysis.inputs.profiles import load_engine, load_hardware

DEFAULT_DEVICE = "a100-sxm-80gb"
DEFAULT_ENGINES = {"gpu": "graphs", "cpu": "cpu"}
"""The default engine of each kind of device; of other kinds, without measurements, "ideal"."""


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
    """

    hardware: Hardware
    engine: Engine
    precision: Precision = field(default_factory=Precision)
    layout: Layout = SINGLE
    flops_efficiency: float | None = None
    bandwidth_efficiency: float | None = None

    def of_streams(self, streams: Number) -> System:
        """The system for a number of streams, which may be smaller than that of stream groups."""
        layout = self.layout.of_streams(streams)
        return self if layout is self.layout else replace(self, layout=layout)


def named_system(
    gpu_config: str = DEFAULT_DEVICE,
    engine: str | None = None,
    flops_efficiency: float | None = None,
    bandwidth_efficiency: float | None = None,
) -> System:
    """A device and what runs models on it, in bf16, by the names of their profiles.

    Args:
        gpu_config: A device profile or the path of one.
        engine: An engine profile or the path of one; None means the device kind's default.
        flops_efficiency: Replaces the engine's, unless None.
        bandwidth_efficiency: Replaces the engine's, unless None.

    Raises:
        InputError: No such device or engine, or a share outside (0, 1].
    """
    hardware = load_hardware(gpu_config).at_datasheet(
        flops=flops_efficiency is not None, bandwidth=bandwidth_efficiency is not None
    )
    name = engine or DEFAULT_ENGINES.get(hardware.kind, "ideal")
    return System(
        hardware,
        load_engine(name).with_efficiency(flops_efficiency, bandwidth_efficiency),
        flops_efficiency=flops_efficiency,
        bandwidth_efficiency=bandwidth_efficiency,
    )
