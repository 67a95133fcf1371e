"""Seconds of one operator on a device under an engine, kind by kind, and which roof binds.

A kernel takes the engine's floor, plus what its FLOPs and its bytes need (Williams, Waterman and
Patterson, "Roofline", CACM 2009): at neutral coefficients the larger of the two. The peak is the
dense one of its data type; causal attention is charged the triangle that a fused kernel computes.
Times are affine in the context, so that a decode of many steps keeps a closed form.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

from cost_analysis.common.arrays import Number, maximum, minimum, square_root, where
from cost_analysis.cost.operator import Operator
from cost_analysis.inputs.device import Hardware
from cost_analysis.inputs.engine import Engine


@dataclass(frozen=True, slots=True)
class _Protocol:
    """How devices exchange messages.

    Attributes:
        start: Time it takes beyond what the fastest to start takes [s].
        message: Time of each message, however short [s].
        share: Share of the link's rate that it reaches.
    """

    start: float
    message: float
    share: float


_PROTOCOLS = (_Protocol(0.0, 0.47e-6, 0.25), _Protocol(6.4e-6, 1.9e-6, 1.0))
"""Of a ring over NVLink: with a flag beside every value (LL), which is fast to start and moves a
quarter, and with one beside every 128 bytes (LL128). The figures are those that NCCL chooses by
(NVIDIA/nccl, src/graph/tuning.cc at 01afd20: baseLat, hwLat); over PCIe a message takes 1 us."""

_NETWORK_PROTOCOLS = (
    _Protocol(0.0, 2.7e-6, 0.25),
    _Protocol(7.4e-6, 4.0e-6, 1.0),
    _Protocol(1.8e-6, 14.0e-6, 1.0),
)
"""The same of a ring over a network, and without flags (Simple): src/graph/tuning.cc at 5067397."""


@dataclass(frozen=True, slots=True)
class OperatorTime:
    """An operator and the time that each of its limits asks for [s].

    An operator that repeats unchanged keeps the numbers of one run; the properties that begin
    with `total_` are those of all runs.

    Attributes:
        operator: FLOPs, bytes and kernels of one run.
        hardware: The device.
        engine: What runs it there.
        overhead: Floor of its kernels, or waiting for the host.
        seconds: Time that one run takes.
        runs: How often it runs in the phase.
    """

    operator: Operator
    hardware: Hardware
    engine: Engine
    overhead: Number
    seconds: Number
    runs: Number = 1.0

    @property
    def compute(self) -> Number:
        """Time of one run at the compute roof [s]."""
        return compute_time(self.operator, self.hardware, self.engine)

    @property
    def transfer(self) -> Number:
        """Time of one run at the memory roof, or on the link [s]."""
        return transfer_time(self.operator, self.hardware, self.engine)

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
    def bound(self) -> Number:
        """Which limit asks for most: "compute", "memory", "link" or "overhead"."""
        compute, transfer = self.compute, self.transfer
        slower = "link" if self.operator.kind == "exchange" else "memory"
        roof = where(compute > transfer, "compute", slower)
        return where(self.overhead > maximum(compute, transfer), "overhead", roof)


def operator_time(
    operator: Operator, hardware: Hardware, engine: Engine, runs: Number = 1.0
) -> OperatorTime:
    """The time of an operator, by its kind.

    Args:
        operator: Of a pass (`forward_pass`), or what a step adds to it (`context_growth`).
        hardware: The device.
        engine: What runs the model on it.
        runs: How often it runs in the phase.
    """
    overhead = operator.kernels * engine.kernel_floor
    if operator.kind == "attention":
        overhead = overhead + operator.kernels * engine.attention.floor
    elif operator.kind == "exchange":
        overhead = overhead + operator.kernels * engine.link_latency
    compute, transfer = (
        compute_time(operator, hardware, engine),
        transfer_time(operator, hardware, engine),
    )
    measured = _measured_product(operator, hardware)
    if measured is not None:
        roofs = measured
    elif engine.soft_roofs and operator.kind == "product":
        roofs = square_root(compute * compute + transfer * transfer)
    else:
        roofs = maximum(compute, transfer)
    return OperatorTime(operator, hardware, engine, overhead, overhead + roofs, runs)


def _measured_product(operator: Operator, hardware: Hardware) -> Number | None:
    """Time of a product by what was measured on the device; None where it was not."""
    if operator.kind != "product" or operator.compute is None or _widens(operator, hardware):
        return None
    rates = hardware.product_rates.get(operator.compute.unit)
    if rates is None:
        return None
    started = operator.kernels * rates.start(operator.rows)
    return started + rates.seconds(operator.weight_bytes, operator.rows)


def _widens(operator: Operator, hardware: Hardware) -> bool:
    """Whether weights of fewer than 16 bits are turned into what the device multiplies.

    An engine's shares for quantised weights were measured so, with 16-bit activations. Products of
    two 8-bit types on units for them do without.
    """
    stored, compute = operator.stored, operator.compute
    if stored is None or compute is None or stored.bits >= 16:
        return False
    return stored.unit != hardware.peak_dtype(compute)


def compute_time(operator: Operator, hardware: Hardware, engine: Engine) -> Number:
    """Time of an operator's matrix products at the rate that its kernel reaches [s]."""
    if operator.compute is None:
        return 0.0
    rate = engine.flops_rate(hardware, operator.compute)
    if operator.kind == "attention":
        rate = rate * engine.attention.flops_share
    elif _widens(operator, hardware):
        rate = rate * engine.quantised_flops_share
    return operator.kernel_flops / rate


def transfer_time(operator: Operator, hardware: Hardware, engine: Engine) -> Number:
    """Time of an operator's traffic at the rate that its kernel reaches [s]."""
    rate = engine.bytes_rate(hardware)
    if operator.kind == "product":
        share = engine.quantised_bandwidth_share if _widens(operator, hardware) else 1.0
        return operator.bytes / (rate * share)
    if operator.kind == "attention":
        return _attention_transfer_time(operator, rate, engine)
    if operator.kind == "exchange":
        return _exchange_time(operator, hardware, engine)
    return operator.bytes / (rate * engine.elementwise_share)


def _attention_transfer_time(operator: Operator, rate: Number, engine: Engine) -> Number:
    """Time to read the cache, to copy it where the engine does, and to pass over the scores."""
    kernels = engine.attention
    copied = operator.expanded_bytes * kernels.cache_copies
    scores = operator.score_values * kernels.score_bytes
    reading = rate * kernels.bandwidth_share * kernels.filled(operator.blocks)
    return operator.bytes / reading + (copied + scores) / rate


def _exchange_time(operator: Operator, hardware: Hardware, engine: Engine) -> Number:
    """Time of an exchange by its fastest protocol.

    An interconnect states both directions together, of which a ring uses each. A group that
    reaches beyond one node is charged the network for everything that it sends.
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
