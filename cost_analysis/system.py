"""What a model runs on: a device, and the engine that runs it there.

Frozen, validated when made, no input or output. The figures of both may be NumPy arrays, which
broadcast against those of models and workloads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cost_analysis.arrays import (
    Number,
    holds,
    is_array,
    is_finite,
    is_real,
    maximum,
    minimum,
    where,
)
from cost_analysis.dtypes import WIDER, DType
from cost_analysis.errors import InputError, shown, unknown_name
from cost_analysis.product_rates import ProductRates
from cost_analysis.sizes import FLAGS, whole_number

LEAST_EFFICIENCY = 1e-6
"""No engine is slower; below it, times would leave the range of numbers."""


def _check_share(name: str, value: Any) -> None:
    if not (is_real(value) and holds((value >= LEAST_EFFICIENCY) & (value <= 1))):
        raise InputError(
            f"{FLAGS.get(name, name)} is {shown(value)}; it must be from {LEAST_EFFICIENCY:g} to 1"
        )


def _check_positive(name: str, value: Any) -> None:
    """Refuse what is no number above 0; infinity is one."""
    if not (is_real(value) and holds(value > 0)):
        raise InputError(f"{name} is {shown(value)}; it must be a positive number")


def _check_time(name: str, value: Any) -> None:
    if not (is_real(value) and holds((value >= 0) & is_finite(value))):
        raise InputError(f"{name} is {shown(value)}; it must be 0 or a positive time")


def _check_count(name: str, value: Any) -> None:
    if not (is_real(value) and holds((value >= 0) & is_finite(value))):
        raise InputError(f"{name} is {shown(value)}; it must be 0 or a positive number")


KINDS = ("gpu", "cpu", "soc")
"""Kinds of devices."""

LINKS = ("interconnect", "devices_per_node", "network")
"""Fields of `Hardware` that join it to other devices."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """One device, as its datasheet states it, in SI base units.

    Attributes:
        name: Profile name.
        description: What people call it.
        memory: Capacity that the driver reports [B].
        bandwidth: Peak memory bandwidth [B/s].
        peak: Dense peak of matrix products for each kind of values (`WIDER`) that it has units
            for [FLOP/s].
        interconnect: Link to other devices, both directions together [B/s]; None if none.
        devices_per_node: Devices that the interconnect joins; None means as many as there are.
        network: Link of each device to those of other nodes, each direction [B/s]; None if none.
        tdp: Power limit [W]; None if not stated.
        reached_flops: Share of the peak that its best large matrix products reach.
        reached_bandwidth: Share of the bandwidth that its best large reads reach.
        product_rates: Matrix products as measured on this device, by data type; where they are
            known, they stand for both roofs and an engine's shares of them.
        kind: "gpu", "cpu" or "soc".
        vendor: Maker.
        architecture: Generation.
        sources: For each figure the document that states it.
    """

    name: str
    description: str
    memory: Number
    bandwidth: Number
    peak: Mapping[str, Number]
    interconnect: float | None = None
    devices_per_node: int | None = None
    network: float | None = None
    tdp: float | None = None
    reached_flops: Number = 1.0
    reached_bandwidth: Number = 1.0
    product_rates: Mapping[str, ProductRates] = field(default_factory=dict)
    kind: str = "gpu"
    vendor: str = ""
    architecture: str = ""
    sources: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that figures are positive and at least one peak is given."""
        if self.kind not in KINDS:
            raise InputError(f"kind is {shown(self.kind)}; it must be one of {', '.join(KINDS)}")
        for name in ("memory", "bandwidth"):
            value = getattr(self, name)
            if not (is_real(value) and holds((value > 0) & is_finite(value))):
                raise InputError(f"{name} of device {self.name} must be a positive number")
        if not self.peak:
            raise InputError(f"device {self.name} has no peak for any data type")
        for name in ("reached_flops", "reached_bandwidth"):
            _check_share(name, getattr(self, name))
        if self.network is not None:
            _check_positive("network", self.network)
        if self.devices_per_node is not None:
            whole_number("devices_per_node", self.devices_per_node, 1)
        for dtype, peak in self.peak.items():
            if dtype not in WIDER:
                raise unknown_name("data type", dtype, WIDER)
            if not (is_real(peak) and holds((peak > 0) & is_finite(peak))):
                raise InputError(f"peak {dtype} of device {self.name} must be a positive number")

    def peak_dtype(self, dtype: DType) -> str:
        """The type in which this device computes products of `dtype` values.

        Its own where the device has units for it, else the nearest wider one.

        Raises:
            InputError: The device has no peak for the type nor for any wider one.
        """
        for name in (dtype.unit, *WIDER[dtype.unit]):
            if name in self.peak:
                return name
        raise InputError(
            f"device {self.name} states no peak for {dtype.name} or a wider type; "
            f"it has {', '.join(self.peak)}"
        )

    def matmul_peak(self, dtype: DType) -> Number:
        """Dense peak of matrix products of `dtype` values [FLOP/s]."""
        return self.peak[self.peak_dtype(dtype)]

    def is_within_a_node(self, devices: Number) -> Number:
        """Whether so many neighbouring devices are joined by the interconnect."""
        return devices <= (math.inf if self.devices_per_node is None else self.devices_per_node)

    def link_among(self, devices: int) -> str:
        """What joins so many neighbouring devices: "interconnect" or "network"."""
        return "interconnect" if self.is_within_a_node(devices) else "network"

    def at_datasheet(self, *, flops: bool, bandwidth: bool) -> Hardware:
        """The device without what its kernels were seen to reach, for a user's own shares."""
        return replace(
            self,
            reached_flops=1.0 if flops else self.reached_flops,
            reached_bandwidth=1.0 if bandwidth else self.reached_bandwidth,
        )


@dataclass(frozen=True, slots=True)
class AttentionKernels:
    """How an engine's attention differs from a large read and a large matrix product.

    Attributes:
        flops_share: Share of the matrix products' rate that scores and values reach, in a prefill.
        bandwidth_share: Share of the weights' rate that reading the cache reaches.
        floor: Time beyond the kernel floor that a layer's attention takes, however short [s].
        score_bytes: Traffic of each score of a query and key where scores go to memory [B].
        cache_copies: How often keys and values, copied to all query heads, are moved beyond
            reading the cache once: concatenation and expansion of grouped heads.
        filling_blocks: Blocks (`Operator.blocks`) from which on a kernel that does not divide the
            context fills the device; 0 for one that does, which always fills it.
    """

    flops_share: Number = 1.0
    bandwidth_share: Number = 1.0
    floor: Number = 0.0
    score_bytes: Number = 0.0
    cache_copies: Number = 0.0
    filling_blocks: Number = 0.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        _check_positive("attention flops_share", self.flops_share)
        _check_positive("attention bandwidth_share", self.bandwidth_share)
        _check_time("attention floor", self.floor)
        _check_count("score_bytes", self.score_bytes)
        _check_count("cache_copies", self.cache_copies)
        _check_count("filling_blocks", self.filling_blocks)

    def filled(self, blocks: Number) -> Number:
        """Share of the device that a kernel of so many blocks keeps busy."""
        if not is_array(self.filling_blocks) and self.filling_blocks == 0:
            return 1.0
        busy = minimum(blocks / maximum(self.filling_blocks, 1.0), 1.0)
        return where(self.filling_blocks > 0, busy, 1.0)


@dataclass(frozen=True, slots=True)
class Spread:
    """What measured times were, as multiples of the predicted ones.

    Attributes:
        low: The 10th percentile on devices that the engine was measured on.
        high: The 90th percentile there.
        other_low: The 10th percentile on devices that the fit had not seen.
        other_high: The 90th percentile there.
        devices: Devices that the engine was measured on.
    """

    low: float = 1.0
    high: float = 1.0
    other_low: float = 1.0
    other_high: float = 1.0
    devices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("low", "high", "other_low", "other_high"):
            _check_positive(f"spread {name}", getattr(self, name))
        if self.low > self.high or self.other_low > self.other_high:
            raise InputError("a spread's low end must not be above its high end")

    def interval(self, seconds: Number, device: str) -> tuple[Number, Number]:
        """The 80 % interval of a predicted time [s]."""
        if device in self.devices:
            return seconds * self.low, seconds * self.high
        return seconds * self.other_low, seconds * self.other_high


@dataclass(frozen=True, slots=True)
class Engine:
    """What runs the model: the share of each roof that it reaches, and its overheads.

    The neutral values of what comes after the two efficiencies leave a plain roofline.

    Attributes:
        name: Profile name.
        description: What it stands for.
        flops_efficiency: Share of the peak that a large matrix product reaches, in (0, 1].
        bandwidth_efficiency: Share of the bandwidth that a large read reaches, in (0, 1].
        device_shares: The two efficiencies are shares of what the device's best kernels reach
            (`Hardware.reached_flops`, `reached_bandwidth`), not of its datasheet.
        soft_roofs: Matrix products feel both roofs near the ridge: the root of the sum of the
            squares of the two times, not the larger one.
        kernel_floor: Time that a kernel takes however small it is [s].
        elementwise_share: Share of the weights' rate that norms, activations and sums reach;
            small where they are not fused and pass over their values several times.
        attention: Its attention kernels.
        quantised_flops_share: Share of the products' rate left where weights below 16 bits are
            turned into what the device multiplies.
        quantised_bandwidth_share: Share of the weights' rate left there.
        link_share: Share of the interconnect's bandwidth that a large all-reduce reaches.
        link_latency: Time of an all-reduce, however short [s].
        layer_host_time: Time the host needs to launch one layer [s]; a pass cannot be faster.
        step_host_time: Time the host adds to every pass, e.g. for sampling [s].
        source: What the figures were taken from, or fitted on.
        engine_class: "eager", "graphs", "native" or "cpu", where the engine was fitted as one
            of them; the engine of that name is the class itself.
        words: Words of a measurement's `engine_detail` that name this engine.
        spread: How far measured times were from predicted ones; None where nothing was measured.
    """

    name: str
    description: str = ""
    flops_efficiency: Number = 1.0
    bandwidth_efficiency: Number = 1.0
    device_shares: bool = False
    soft_roofs: bool = False
    kernel_floor: Number = 0.0
    elementwise_share: Number = 1.0
    attention: AttentionKernels = field(default_factory=AttentionKernels)
    quantised_flops_share: Number = 1.0
    quantised_bandwidth_share: Number = 1.0
    link_share: Number = 1.0
    link_latency: Number = 0.0
    layer_host_time: Number = 0.0
    step_host_time: Number = 0.0
    source: str = ""
    engine_class: str = ""
    words: tuple[str, ...] = ()
    spread: Spread | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("flops_efficiency", "bandwidth_efficiency"):
            _check_share(name, getattr(self, name))
        for name in _SHARES:
            _check_positive(name, getattr(self, name))
        for name in ENGINE_TIMES:
            _check_time(name, getattr(self, name))

    def flops_rate(self, hardware: Hardware, dtype: DType) -> Number:
        """Rate that large matrix products reach on a device [FLOP/s]."""
        rate = hardware.matmul_peak(dtype) * self.flops_efficiency
        return rate * hardware.reached_flops if self.device_shares else rate

    def bytes_rate(self, hardware: Hardware) -> Number:
        """Rate that large reads reach on a device [B/s]."""
        rate = hardware.bandwidth * self.bandwidth_efficiency
        return rate * hardware.reached_bandwidth if self.device_shares else rate

    def with_efficiency(self, flops: float | None, bandwidth: float | None) -> Engine:
        """The same engine with the user's own shares of the roofs; None keeps the engine's."""
        changed = self
        if flops is not None:
            changed = replace(changed, flops_efficiency=flops)
        if bandwidth is not None:
            changed = replace(changed, bandwidth_efficiency=bandwidth)
        return changed


_SHARES = (
    "elementwise_share",
    "quantised_flops_share",
    "quantised_bandwidth_share",
    "link_share",
)
ENGINE_SHARES = ("flops_efficiency", "bandwidth_efficiency", *_SHARES)
"""Fields of `Engine` that are shares of a rate."""

ENGINE_TIMES = ("kernel_floor", "link_latency", "layer_host_time", "step_host_time")
"""Fields of `Engine` that are times [s]."""
