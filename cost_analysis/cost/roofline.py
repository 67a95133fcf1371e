"""Seconds of one operator on a device under an engine, and the roof that limits it.

Where the device has measured kernels of the engine (`kernels`), these give the time of products,
attention, experts and sums over devices. Every other kernel takes the engine's floor, plus the time
of its FLOPs and its bytes (Williams, Waterman and Patterson, "Roofline", CACM 2009): with default
coefficients the larger of the two. The peak is the dense one of its data type; causal attention has
the FLOPs of the triangle that a fused kernel computes. Modelled times are affine in the context, so
that many decode steps have a closed form.
"""

from __future__ import annotations

from functools import reduce
from typing import NamedTuple

from cost_analysis.common.arrays import Label, Number, holds, maximum, minimum, square_root, where
from cost_analysis.cost.operator import Operator, record
from cost_analysis.inputs.device import Hardware, ProductRates
from cost_analysis.inputs.dtypes import DType
from cost_analysis.inputs.engine import Engine
from cost_analysis.inputs.system import System
from cost_analysis.kernels.sources import kernel_times
from cost_analysis.kernels.times import INSIDE, MODELLED, KernelTime, KernelTimes


class _Protocol(NamedTuple):
    """How devices exchange messages.

    Attributes:
        start: Time to start beyond that of the fastest protocol [s].
        message: Time that each message takes at least [s].
        share: Share of the link's rate that it reaches.
    """

    start: float
    message: float
    share: float


_PROTOCOLS = (_Protocol(0.0, 0.47e-6, 0.25), _Protocol(6.4e-6, 1.9e-6, 1.0))
"""Protocols of a ring over NVLink: with a flag for every value (LL), which starts fast and reaches
a quarter of the rate, and with one for every 128 bytes (LL128). The figures are those by which NCCL
chooses (NVIDIA/nccl, src/graph/tuning.cc at 01afd20: baseLat, hwLat); over PCIe a message takes
1 us."""

_NETWORK_PROTOCOLS = (
    _Protocol(0.0, 2.7e-6, 0.25),
    _Protocol(7.4e-6, 4.0e-6, 1.0),
    _Protocol(1.8e-6, 14.0e-6, 1.0),
)
"""Likewise of a ring over a network; the third is without flags (Simple). Source:
src/graph/tuning.cc at 5067397."""


@record
class OperatorTime:
    """An operator and its time at each limit [s].

    An operator that repeats unchanged has the numbers of one run; properties that begin with
    `total_` are those of all runs.

    Attributes:
        operator: FLOPs, bytes and kernels of one run.
        speeds: Rates of its kernels.
        overhead: Floor of its kernels, or waiting for the host.
        seconds: Time of one run.
        runs: Runs in the phase.
        origin: Where the time is from: "modelled", or as of `KernelTime`.
    """

    operator: Operator
    speeds: Speeds
    overhead: Number
    seconds: Number
    runs: Number = 1.0
    origin: Label = MODELLED

    @property
    def hardware(self) -> Hardware:
        """The device."""
        return self.speeds.hardware

    @property
    def engine(self) -> Engine:
        """The engine that runs it."""
        return self.speeds.engine

    @property
    def compute(self) -> Number:
        """Time of one run at the compute roof [s]."""
        return self.speeds.compute(self.operator)

    @property
    def transfer(self) -> Number:
        """Time of one run at the memory roof, or on the link [s]."""
        return self.speeds.transfer(self.operator)

    @property
    def total_seconds(self) -> Number:
        """Time of all runs [s]."""
        return self.seconds * self.runs

    @property
    def total_flops(self) -> Number:
        """FLOPs of all runs, attention as the full rectangle."""
        return self.operator.flops * self.runs

    @property
    def total_bytes(self) -> Number:
        """Bytes moved in all runs [B]."""
        return self.operator.bytes * self.runs

    @property
    def bound(self) -> Label:
        """The limit that takes longest: "compute", "memory", "link" or "overhead"."""
        compute, transfer = self.compute, self.transfer
        slower = "link" if self.operator.kind == "exchange" else "memory"
        roof = where(compute > transfer, "compute", slower)
        return where(self.overhead > maximum(compute, transfer), "overhead", roof)


class _Rates(NamedTuple):
    """Rates of kernels of a kind, with weights and activations in given formats.

    Attributes:
        floor: Time that each takes at least [s].
        flops: Rate of matrix products [FLOP/s]; None where there are none.
        bytes: Rate of traffic [B/s].
        measured: Rates of products as measured on the device; None where they were not.
    """

    floor: Number
    flops: Number | None
    bytes: Number
    measured: ProductRates | None = None


class Speeds:
    """Rates of an engine's kernels on a device; operators of a kind share them.

    Attributes:
        hardware: The device.
        engine: What runs the model on it.
        kernels: Its measured kernels; None where only the roofs are known.
    """

    def __init__(
        self, hardware: Hardware, engine: Engine, kernels: KernelTimes | None = None
    ) -> None:
        """The speeds of an engine on a device; arguments as the attributes."""
        self.hardware, self.engine, self.kernels = hardware, engine, kernels
        self._bytes_rate = engine.bytes_rate(hardware)
        self._known: dict[tuple[str, str | None, str | None], _Rates] = {}

    def __eq__(self, other: object) -> bool:
        """Whether another is of the same engine and kernels on the same device."""
        return isinstance(other, Speeds) and (self.hardware, self.engine, self.kernels) == (
            other.hardware,
            other.engine,
            other.kernels,
        )

    def time(self, operator: Operator, runs: Number = 1.0) -> OperatorTime:
        """The time of an operator, by its kind.

        Args:
            operator: An operator of a pass (`forward_pass`), or of its growth (`context_growth`).
            runs: Runs in the phase.
        """
        measured = self.measured(operator)
        if measured is not None:
            each = operator.kernels
            overhead, seconds = each * measured.start, each * measured.seconds
            return OperatorTime(operator, self, overhead, seconds, runs, measured.origin)
        rates = self._rates(operator)
        overhead = operator.kernels * rates.floor
        seconds = overhead + self._roofs(operator, rates)
        return OperatorTime(operator, self, overhead, seconds, runs)

    def measured(self, operator: Operator) -> KernelTime | None:
        """The time of one of its kernels as measured ones tell, with the engine's gap.

        An operator inside the kernels of another takes no time of its own. None where nothing was
        measured.
        """
        if self.kernels is None or operator.shape is None:
            return None
        if operator.kind == "exchange" and not self._is_measured_link(operator):
            return None
        found = self.kernels.time(operator.shape)
        if found is None or operator.is_inside:
            return found and KernelTime(0.0, 0.0, INSIDE)
        gap, times = self.engine.kernel_gap, self.engine.kernel_factor
        return KernelTime(found.seconds * times + gap, found.start * times + gap, found.origin)

    def _is_measured_link(self, operator: Operator) -> bool:
        """Whether all devices of an exchange are joined by the link that was measured."""
        within = self.hardware.is_within_a_node(operator.spans)
        return self.hardware.has_measured_link and holds(within)

    def _roofs(self, operator: Operator, rates: _Rates) -> Number:
        """Time beyond the floor of its kernels: at the slower roof, or with both roofs combined."""
        if rates.flops is None:
            return self._transfer(operator, rates)
        if rates.measured is not None:
            started = operator.kernels * rates.measured.start(operator.rows)
            return started + rates.measured.seconds(operator.weight_bytes, operator.rows)
        compute, transfer = operator.kernel_flops / rates.flops, self._transfer(operator, rates)
        if self.engine.soft_roofs and operator.kind == "product":
            return square_root(compute * compute + transfer * transfer)
        return maximum(compute, transfer)

    def overhead(self, operator: Operator) -> Number:
        """Floor of an operator's kernels [s]."""
        return operator.kernels * self._rates(operator).floor

    def compute(self, operator: Operator) -> Number:
        """Time of an operator's matrix products at the rate that its kernel reaches [s]."""
        rate = self._rates(operator).flops
        return 0.0 if rate is None else operator.kernel_flops / rate

    def transfer(self, operator: Operator) -> Number:
        """Time of an operator's traffic at the rate that its kernel reaches [s]."""
        return self._transfer(operator, self._rates(operator))

    def _transfer(self, operator: Operator, rates: _Rates) -> Number:
        if operator.kind == "exchange":
            return _exchange_time(operator, self.hardware, self.engine)
        if operator.kind != "attention":
            return operator.bytes / rates.bytes
        # The cache is read, copied where the engine does so, and scores are written and read.
        kernels = self.engine.attention
        copied = operator.expanded_bytes * kernels.cache_copies
        scores = operator.score_values * kernels.score_bytes
        reading = rates.bytes * kernels.filled(operator.blocks)
        return operator.bytes / reading + (copied + scores) / self._bytes_rate

    def _rates(self, operator: Operator) -> _Rates:
        compute, stored = operator.compute, operator.stored
        # Formats by name: hashing a whole format takes longer than the rest of the look-up.
        key = (
            operator.kind,
            compute.name if compute else None,
            stored.name if stored else None,
        )
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._rates_of(operator.kind, compute, stored)
        return known

    def _rates_of(self, kind: str, compute: DType | None, stored: DType | None) -> _Rates:
        """The rates of kernels of a kind: shares of the two roofs, and measured ones."""
        engine, hardware, rate = self.engine, self.hardware, self._bytes_rate
        floor = engine.kernel_floor
        flops = None if compute is None else engine.flops_rate(hardware, compute)
        if kind == "attention":
            attention = engine.attention
            flops = None if flops is None else flops * attention.flops_share
            return _Rates(floor + attention.floor, flops, rate * attention.bandwidth_share)
        if kind == "exchange":
            return _Rates(floor + engine.link_latency, None, rate)
        if kind != "product":
            return _Rates(floor, None, rate * engine.elementwise_share)
        if flops is not None and _widens(stored, compute, hardware):
            flops = flops * engine.quantised_flops_share
            return _Rates(floor, flops, rate * engine.quantised_bandwidth_share)
        measured = hardware.product_rates.get(compute.unit) if compute else None
        return _Rates(floor, flops, rate, measured)


def speeds_of(system: System) -> Speeds:
    """The speeds of a system's engine on its device.

    Raises:
        InputError: Measured kernels were asked for that are not there.
    """
    hardware, engine = system.hardware, system.engine
    return Speeds(hardware, engine, kernel_times(hardware, engine, system.kernels))


def _widens(stored: DType | None, compute: DType | None, hardware: Hardware) -> bool:
    """Whether weights of fewer than 16 bits are converted to the type that the device multiplies.

    An engine's shares for quantised weights were measured with this conversion, with 16-bit
    activations. Products of two 8-bit types on units for them do not need it.
    """
    if stored is None or compute is None or stored.bits >= 16:
        return False
    return stored.unit != hardware.peak_dtype(compute)


def _exchange_time(operator: Operator, hardware: Hardware, engine: Engine) -> Number:
    """Time of an exchange by its fastest protocol.

    The rate of an interconnect is that of both directions together, of which a ring uses one for
    each message. A group in several nodes sends everything over the network.
    """
    if hardware.interconnect is None:
        inside = operator.link_bytes * 0.0
    else:
        rate = hardware.interconnect / 2.0 * engine.link_share
        inside = _fastest(_PROTOCOLS, operator, rate)
    if hardware.network is None:
        return inside
    beyond = _fastest(_NETWORK_PROTOCOLS, operator, hardware.network * engine.link_share)
    return where(hardware.is_within_a_node(operator.spans), inside, beyond)


def _fastest(protocols: tuple[_Protocol, ...], operator: Operator, rate: Number) -> Number:
    """Time of an exchange over a link of a rate in each direction [s]."""
    moved = operator.link_bytes / rate
    seconds = (
        operator.kernels * way.start + operator.messages * way.message + moved / way.share
        for way in protocols
    )
    return reduce(minimum, seconds)
