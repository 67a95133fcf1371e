"""Predicted times of measurements: many rows, devices and engines in a few array calls."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cost_analysis.common.errors import InputError
from cost_analysis.cost.estimate import Passes, passes, phases_at
from cost_analysis.cost.roofline import Speeds
from cost_analysis.fitting.measurements import (
    DECODE_METRICS,
    LENGTHS,
    PREFILL_METRICS,
    SIZES,
    Measurement,
)
from cost_analysis.inputs.device import Hardware
from cost_analysis.inputs.dtypes import DTYPES
from cost_analysis.inputs.engine import (
    ENGINE_SHARES,
    ENGINE_TIMES,
    AttentionKernels,
    Engine,
    KernelSources,
)
from cost_analysis.inputs.layout import Layout
from cost_analysis.inputs.profiles import load_engine, profile_names
from cost_analysis.inputs.spec import ModelSpec, Workload
from cost_analysis.inputs.system import KERNELS
from cost_analysis.kernels.shapes import Shape
from cost_analysis.kernels.sources import kernel_times
from cost_analysis.kernels.times import KernelTime, KernelTimes

Floats = npt.NDArray[np.float64]

NO_LINK = 1e30
"""A link that takes no time [B/s]: of a device that runs alone, where none is stated."""


class Group(Protocol):
    """Rows that are predicted by one call."""

    @property
    def named(self) -> tuple[Engine, ...]:
        """The engine of each row."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Whose rows count as much as those of any other source."""

    @property
    def seconds(self) -> Floats:
        """What was measured [s], (rows,)."""

    def predicted(self, engine: Engine) -> Floats:
        """What an engine, whose figures may be arrays over the rows, would take [s], (rows,)."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Measurements that share everything that is not a number, ready for one array call.

    Attributes:
        measurements: The rows.
        places: Where they stand among all rows, (rows,).
        work: Their forward passes.
        hardware: Their devices; every figure is an array, (rows,).
        prefill: Seconds that a second of prefill adds to what was measured, (rows,).
        decode: The same for a second of all decode steps.
        seconds: What was measured, in seconds of whatever the metric counts, (rows,).
        kernels: Measured kernels of their engines; None where there are none.
    """

    measurements: tuple[Measurement, ...]
    places: npt.NDArray[np.intp]
    work: Passes
    hardware: Hardware
    prefill: Floats
    decode: Floats
    seconds: Floats
    kernels: KernelTimes | None = None

    @property
    def named(self) -> tuple[Engine, ...]:
        """The engine of each row."""
        return tuple(map(engine_of, self.measurements))

    @property
    def sources(self) -> tuple[str, ...]:
        """Whose rows count as much as those of any other source, under each class of engines."""
        return tuple(f"{row.texts['source_id']} {row.engine_class}" for row in self.measurements)

    def predicted(self, engine: Engine) -> Floats:
        """Seconds that an engine, whose figures may be arrays over the rows, would take."""
        prefill, decode = phases_at(self.work, Speeds(self.hardware, engine, self.kernels))
        seconds: Floats = self.prefill * prefill.seconds + self.decode * decode.seconds
        return seconds


class RememberedKernels:
    """Times of kernels that are looked up once for each shape of some rows.

    A fit asks for the same shapes hundreds of times, and its coefficients do not change them.
    """

    def __init__(self, kernels: KernelTimes) -> None:
        """The kernels of an engine on a device."""
        self._kernels = kernels
        self._known: dict[int, tuple[Shape, KernelTime | None]] = {}

    def time(self, shape: Shape) -> KernelTime | None:
        """The time of a shape, as the kernels give it; shapes are told apart by identity."""
        known = self._known.get(id(shape))
        if known is None or known[0] is not shape:
            known = self._known[id(shape)] = (shape, self._kernels.time(shape))
        return known[1]


def rows_of(measurements: Sequence[Measurement]) -> list[Rows]:
    """Measurements of time in as few groups as their switches, formats and logits allow."""
    groups = defaultdict(list)
    for place, row in enumerate(measurements):
        model = row.switches["gated_mlp"], row.precision, row.logits
        groups[(*model, *_kernels_of(row))].append(place)
    return [_rows([measurements[place] for place in places], places) for places in groups.values()]


def _kernels_of(row: Measurement) -> tuple[object, ...]:
    """What rows with measured kernels must share: the device, and whose kernels their engine runs.

    Rows of devices or engines without any share all of these.
    """
    device, sources = row.device, engine_of(row).kernels
    if not device.kernels or sources == KernelSources():
        return ()
    return device.name, device.has_measured_link, sources


def _rows(rows: list[Measurement], places: list[int]) -> Rows:
    first = rows[0]
    sizes: dict[str, Any] = {name: _column(row.sizes[name] for row in rows) for name in SIZES}
    spec = ModelSpec(**sizes, gated_mlp=first.switches["gated_mlp"], qkv_bias=False)
    # A phase that was not run is measured by its shortest form, of which nothing is taken.
    lengths: dict[str, Any] = {
        name: np.maximum(_column(row.lengths[name] for row in rows), 1.0) for name in LENGTHS
    }
    workload = Workload(**lengths, logits=first.logits)
    devices = _column(row.tensor_parallel for row in rows)
    hardware = stacked_hardware([row.device for row in rows])
    kernels = kernel_times(hardware, engine_of(first), KERNELS[0])
    prefill, decode = _weights(rows, workload)
    return Rows(
        measurements=tuple(rows),
        places=np.array(places),
        work=passes(spec, workload, first.precision, Layout(tensor_parallel=devices)),
        hardware=hardware,
        prefill=prefill,
        decode=decode,
        seconds=_column(measured_seconds(row) for row in rows),
        kernels=kernels and RememberedKernels(kernels),
    )


def _column(values: Any) -> Floats:
    return np.fromiter(values, np.float64)


def measured_seconds(row: Measurement) -> float:
    """What was measured, in seconds; for a rate, seconds a token."""
    if row.is_rate:
        return 1.0 / row.value
    return row.value / 1e3 if row.metric.endswith(("_ms", "_ms_per_step")) else row.value


def in_own_unit(row: Measurement, seconds: float) -> float:
    """Seconds as the row's metric counts them: the inverse of `measured_seconds`."""
    if row.is_rate:
        return 1.0 / seconds
    return seconds * 1e3 if row.metric.endswith(("_ms", "_ms_per_step")) else seconds


def _weights(rows: Sequence[Measurement], workload: Workload) -> tuple[Floats, Floats]:
    """How prefill and decode make up each metric, in seconds of what it counts."""
    batch, prompt, output = (getattr(workload, name) for name in LENGTHS)
    steps = np.maximum(workload.decode_steps, 1.0)
    metric = np.array([row.metric for row in rows])
    of_prefill = np.isin(metric, PREFILL_METRICS)
    of_decode = np.isin(metric, DECODE_METRICS)
    tokens = np.where(of_prefill, batch * prompt, np.where(of_decode, batch, batch * output))
    units = np.where([row.is_rate for row in rows], tokens, 1.0)
    return np.where(of_decode, 0.0, 1.0 / units), np.where(
        of_prefill, 0.0, 1.0 / (units * np.where(of_decode, steps, 1.0))
    )


def stacked_hardware(devices: Sequence[Hardware]) -> Hardware:
    """Devices as one whose figures are arrays, (devices,).

    Where all are of one kind, only their links are.
    """
    first = devices[0]
    links: Any = _column(device.interconnect or NO_LINK for device in devices)
    if len({device.name for device in devices}) == 1:
        return replace(first, interconnect=links)
    named = ("memory", "bandwidth", "reached_flops", "reached_bandwidth")
    figures: dict[str, Any] = {
        name: _column(getattr(device, name) for device in devices) for name in named
    }
    peak = {}
    for dtype in DTYPES.values():
        try:
            peak[dtype.unit] = _column(device.matmul_peak(dtype) for device in devices)
        except InputError:
            continue  # a type that one of them cannot compute
    return Hardware("rows", "rows", peak=peak, interconnect=links, **figures)


def stacked_engine(engines: Sequence[Engine]) -> Engine:
    """Engines as one whose figures are arrays, (engines,); all else is the first engine's."""
    kernels = {
        item.name: _column(getattr(engine.attention, item.name) for engine in engines)
        for item in fields(AttentionKernels)
    }
    numbers: dict[str, Any] = {
        name: _column(getattr(engine, name) for engine in engines)
        for name in (*ENGINE_SHARES, *ENGINE_TIMES)
    }
    return replace(engines[0], attention=AttentionKernels(**kernels), **numbers)


@cache
def named_engines() -> tuple[Engine, ...]:
    """The engines that measurements can name by their words."""
    engines = (load_engine(name) for name in profile_names("engines"))
    return tuple(engine for engine in engines if engine.words)


@cache
def class_engines() -> dict[str, Engine]:
    """The engine that stands for each class."""
    engines = (load_engine(name) for name in profile_names("engines"))
    return {engine.name: engine for engine in engines if engine.engine_class == engine.name}


def engine_of(row: Measurement) -> Engine:
    """The engine that a row's `engine_detail` names; an unknown one is its class.

    Raises:
        InputError: A class that does not exist.
    """
    known = class_engines()
    if row.engine_class not in known:
        raise InputError(f"engine class {row.engine_class!r} is none of {', '.join(known)}")
    named = _named_engine(row.texts["engine_detail"], row.engine_class == "cpu")
    return named or known[row.engine_class]


@cache
def _named_engine(detail: str, on_cpu: bool) -> Engine | None:
    """The engine whose words are all in a description; the one with most letters of them."""
    found = {
        sum(map(len, engine.words)): engine
        for engine in named_engines()
        if all(word.lower() in detail.lower() for word in engine.words)
        and (engine.engine_class == "cpu") == on_cpu
    }
    return found[max(found)] if found else None
