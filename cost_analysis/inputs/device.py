"""A device: its peaks, bandwidth, memory and links, and the product rates measured on it.

The classes are frozen and validated when they are made. Figures may be NumPy arrays, which
broadcast against those of models and workloads.

Two roofs are not accurate for a processor whose kernels differ with the number of rows: two float32
rows may take 1.7 times the time of one. A calibrated device has measured times instead.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cost_analysis.common.arrays import (
    Condition,
    Number,
    holds,
    interpolated,
    is_finite,
    is_real,
    maximum,
)
from cost_analysis.common.checks import check_positive, check_share, whole_number
from cost_analysis.common.errors import InputError, shown, unknown_name
from cost_analysis.inputs.dtypes import WIDER, DType


@dataclass(frozen=True, slots=True)
class ProductRates:
    """Measured products of one data type.

    Attributes:
        rows: Numbers of rows of the input matrix, in rising order.
        rates: Rate at which a product reads its weights at each number of rows [B/s].
        starts: Time of a kernel at each number of rows, however small its weights are [s].
    """

    rows: tuple[float, ...]
    rates: tuple[float, ...]
    starts: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            InputError: Not a positive rate for each of some rising numbers of rows.
        """
        rising = all(a < b for a, b in zip((0.0, *self.rows), self.rows, strict=False))
        if not self.rows or not rising:
            raise InputError("rows of measured products must be positive and rise")
        if len(self.rates) != len(self.rows) or not all(0 < rate < 1e18 for rate in self.rates):
            raise InputError("measured products need a positive rate for each number of rows")
        if len(self.starts) != len(self.rows) or not all(0 <= start < 1 for start in self.starts):
            raise InputError("measured products need a start, 0 or more, for each number of rows")

    def seconds(self, weight_bytes: Number, rows: Number) -> Number:
        """Time that weights need [s]: linear between measured rows, in proportion beyond the last.

        Args:
            weight_bytes: Of the weights [B].
            rows: Rows of the input matrix.
        """
        each = interpolated(rows, self.rows, tuple(1.0 / rate for rate in self.rates))
        return weight_bytes * each * maximum(rows / self.rows[-1], 1.0)

    def start(self, rows: Number) -> Number:
        """Time of a product apart from its weights, at a number of rows [s]."""
        return interpolated(rows, self.rows, self.starts)


KINDS = ("gpu", "cpu", "soc")
"""Kinds of devices."""

LINKS = ("interconnect", "devices_per_node", "network")
"""Fields of `Hardware` that describe links to other devices."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """One device, as its datasheet states it, in SI base units.

    Attributes:
        name: Profile name.
        description: Its usual name.
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
        product_rates: Matrix products as measured on this device, by data type; they replace both
            roofs and an engine's shares of them.
        kernels: Name of the device whose measured kernels hold for this one; "" without any.
        has_measured_link: Its interconnect is the one over which sums were measured.
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
    kernels: str = ""
    has_measured_link: bool = True
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
            check_share(name, getattr(self, name))
        if self.network is not None:
            check_positive("network", self.network)
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

    def is_within_a_node(self, devices: Number) -> Condition:
        """Whether a group of neighbouring devices fits in a node, joined by the interconnect."""
        return devices <= (math.inf if self.devices_per_node is None else self.devices_per_node)

    def link_among(self, devices: int) -> str:
        """What joins a group of neighbouring devices: "interconnect" or "network"."""
        return "interconnect" if holds(self.is_within_a_node(devices)) else "network"

    def with_links(self, links: Mapping[str, Any]) -> Hardware:
        """The device with other links, by the names of `LINKS`; those were not measured."""
        own = self.has_measured_link and links.keys() <= {"devices_per_node", "network"}
        return replace(self, **links, has_measured_link=own)

    def at_datasheet(self, *, flops: bool, bandwidth: bool) -> Hardware:
        """The device with shares of 1 in place of measured ones, for a user's efficiencies."""
        return replace(
            self,
            reached_flops=1.0 if flops else self.reached_flops,
            reached_bandwidth=1.0 if bandwidth else self.reached_bandwidth,
        )
