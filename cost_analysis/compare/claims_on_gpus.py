"""The claims by measured kernels: what streams add on each device and engine with timings.

The costs are those of our own model with kernels as measured (`kernels`), on every device that was
measured and under every engine whose kernels were. Ratios of latency increases have the interval
that the noise of timings leaves them (`noise`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np

from cost_analysis.common.arrays import Array, Number, single
from cost_analysis.common.errors import InputError
from cost_analysis.compare.claims import METHODS
from cost_analysis.compare.cost_models import Setting, request_cost
from cost_analysis.compare.crossover import Crossover, first_loss, workload_along
from cost_analysis.compare.noise import Added, noise_seconds, ratio_noise
from cost_analysis.cost.estimate import estimate_on
from cost_analysis.cost.kernels import kernel_format
from cost_analysis.inputs.dtypes import Precision
from cost_analysis.inputs.profiles import load_engine, load_hardware, profile_names
from cost_analysis.inputs.spec import ModelSpec
from cost_analysis.inputs.system import System, named_system
from cost_analysis.kernels.shapes import Product
from cost_analysis.kernels.sources import kernel_times
from cost_analysis.law.equal_loss import Baseline, chosen_baseline
from cost_analysis.law.runs import DATASETS, published_runs
from cost_analysis.law.scaling_law import fit

STREAMS = (2, 4, 8)
"""Numbers of streams that the paper trained."""

LAST = {"batch_size": 4096, "input_length": 131_072}
"""Where the search for what streams cost more than parameters ends."""

Choice = tuple[int, str, str]
"""P, how the wider model is chosen, and whose losses count."""

Make = Callable[[str, str], System]
"""Makes a system of the names of a device and an engine."""


def measured_systems(
    make: Make, precision: Precision, device: str | None = None, engine: str | None = None
) -> list[System]:
    """The devices and engines whose own kernels were measured, by the bandwidth of the memory.

    Args:
        make: Makes a system, and refuses one without measured kernels.
        precision: Storage formats; products in that of the weights must have been measured.
        device: Name of the only device; None means all that were measured.
        engine: Name of the only engine, likewise.

    Raises:
        InputError: No such device or engine, or none with measured kernels in the format.
    """
    devices = [device] if device else _measured_devices()
    engines = [engine] if engine else _measured_engines()
    asked = [make(*names) for names in product(devices, engines)]
    found = [replace(system, precision=precision) for system in asked]
    found = [system for system in found if has_kernels(system)]
    if not found:
        raise InputError(
            f"no products with {precision.weights} weights were measured on "
            f"{device or 'any device'} under {engine or 'any engine'}"
        )
    return sorted(found, key=lambda system: (single(system.hardware.bandwidth), _place(system)))


def _measured_devices() -> list[str]:
    """Devices that were measured themselves, not only their like."""
    return [name for name in profile_names("hardware") if load_hardware(name).kernels == name]


def _measured_engines() -> list[str]:
    """Engines that were measured themselves, not only their like."""
    return [name for name in profile_names("engines") if load_engine(name).kernels.products == name]


def _place(system: System) -> tuple[str, str]:
    return system.hardware.name, system.engine.name


def has_kernels(system: System) -> bool:
    """Whether products in the system's format were measured: curves exist where tables do."""
    fitted = kernel_times(system.hardware, system.engine, "fitted")
    return fitted is not None and fitted.time(_product(system, 1.0)) is not None


def _product(system: System, rows: float) -> Product:
    """A large product of a decode step."""
    return Product(rows, 4096.0, 16_384.0, kernel_format(system.precision.matrix))


class Ends(NamedTuple):
    """Where the streamed model's latency begins to exceed the wider model's.

    Attributes:
        batch_size: The smallest batch.
        input_length: The shortest prompt, at batch 1.
    """

    batch_size: Crossover
    input_length: Crossover


@dataclass(frozen=True, slots=True)
class GpuReading:
    """One reading of the claim on one device and engine, or by the published cost model.

    Attributes:
        system: The device, the engine and how its kernels are known.
        streams: P of the streamed model.
        method: "measured" or "law": how the wider model is chosen.
        dataset: Whose losses count.
        setting: The requests.
        memory: Ratio of the memory increases.
        latency: What is added to the latency.
    """

    system: System
    streams: int
    method: str
    dataset: str
    setting: Setting
    memory: float
    latency: Added

    @property
    def choice(self) -> Choice:
        """What the wider model depends on."""
        return self.streams, self.method, self.dataset


@dataclass(frozen=True, slots=True)
class OnGpu:
    """The claims on one device and engine.

    Attributes:
        system: The device, the engine and how its kernels are known.
        noise: Share within which the ratio of a product's times at two numbers of rows repeats.
        one_row: Time of a large product with one row over that with a row for each stream.
        readings: Every reading, those of the first choice first.
        ends: Where streams stop paying by its method and losses, for each number of streams;
            empty where it was not searched for.
    """

    system: System
    noise: float
    one_row: float
    readings: tuple[GpuReading, ...]
    ends: Mapping[int, Ends]

    def of(self, streams: int) -> list[GpuReading]:
        """The readings of the first method and losses: a batch each, then their mean."""
        _, *others = self.readings[0].choice
        return [reading for reading in self.readings if reading.choice == (streams, *others)]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of every device and engine.

    Attributes:
        base: The model that is scaled, at P = 1.
        streams: P of the streamed model.
        setting: Batch sizes, each on its own and as a mean, and lengths that costs are means over.
        datasets: Whose losses count.
    """

    base: ModelSpec
    streams: int
    setting: Setting
    datasets: tuple[str, ...] = tuple(DATASETS)

    @property
    def counts(self) -> tuple[int, ...]:
        """The number of streams that is asked for, and those of the paper."""
        return (self.streams, *(count for count in STREAMS if count != self.streams))


@dataclass(frozen=True, slots=True)
class ClaimsOnGpus:
    """The claims on every device and engine.

    Attributes:
        asked: The models and requests.
        baseline: The wider model of the first reading.
        papers: The first readings by the published cost model on its A100.
        gpus: The devices and engines.
    """

    asked: Question
    baseline: Baseline
    papers: tuple[GpuReading, ...]
    gpus: tuple[OnGpu, ...]


def claims_on_gpus(
    asked: Question, systems: Sequence[System], *, with_ends: bool = True
) -> ClaimsOnGpus:
    """Every reading of the claim on every device and engine.

    Args:
        asked: The models and requests.
        systems: Devices and engines (`measured_systems`).
        with_ends: Search for where streams stop paying, which takes most of the time.

    Raises:
        InputError: P is 1, or no wider model of equal loss exists.
    """
    if asked.streams < 2:
        raise InputError("P is 1: nothing increases; give --P 2 or more")
    baselines = _baselines(asked)
    choice, baseline = next(iter(baselines.items()))
    published = cache(lambda spec: _costs("published", spec, asked.setting, named_system()))
    papers = _readings(named_system(), asked, choice, baseline, published)
    gpus = tuple(_on(system, asked, baselines, with_ends=with_ends) for system in systems)
    return ClaimsOnGpus(asked, baseline, papers, gpus)


def _baselines(asked: Question) -> dict[Choice, Baseline]:
    """The wider models of equal loss that exist, those of the P that is asked for first."""
    fits = {name: fit(published_runs(name)) for name in asked.datasets}
    found: dict[Choice, Baseline] = {}
    missing: dict[int, InputError] = {}
    for count, method, dataset in product(asked.counts, METHODS, fits):
        streamed = asked.base.with_streams(count)
        try:
            found[count, method, dataset] = chosen_baseline(streamed, method, fits[dataset])
        except InputError as error:
            missing[count] = error
    if not any(count == asked.streams for count, *_ in found):
        raise missing[asked.streams]
    return found


def _on(
    system: System, asked: Question, baselines: Mapping[Choice, Baseline], *, with_ends: bool
) -> OnGpu:
    costs = cache(lambda spec: _costs("operators", spec, asked.setting, system))
    readings = tuple(
        reading
        for choice, baseline in baselines.items()
        for reading in _readings(system, asked, choice, baseline, costs)
    )
    _, *others = next(iter(baselines))
    own = {choice[0]: each for choice, each in baselines.items() if [*choice[1:]] == others}
    ends = _ends(system, asked, own) if with_ends else {}
    return OnGpu(system, ratio_noise(system), _one_row(system, asked.streams), readings, ends)


def _one_row(system: System, rows: int) -> float:
    kernels = kernel_times(system.hardware, system.engine, system.kernels)
    if kernels is None:
        return math.nan
    times = [kernels.time(_product(system, float(count))) for count in (1, rows)]
    one, several = (math.nan if time is None else single(time.seconds) for time in times)
    return one / several


class _Costs(NamedTuple):
    """Means over the lengths, for each batch.

    Attributes:
        memory: Memory [B].
        latency: Latency [s].
        noise: Within which it repeats at another number of rows [s].
    """

    memory: Array
    latency: Array
    noise: Array


def _costs(cost_model: str, spec: ModelSpec, setting: Setting, system: System) -> _Costs:
    work, batches = setting.workload, len(setting.batch_sizes)
    every: tuple[Number, ...]
    if cost_model == "published":
        every = (*request_cost(cost_model, spec, work, system), 0.0)
    else:
        cost = estimate_on(spec, work, system)
        every = (cost.memory.total, cost.total, noise_seconds(cost))
    rows = (np.broadcast_to(each, np.shape(work.batch_size)) for each in every)
    return _Costs(*(each.reshape(batches, -1).mean(axis=1) for each in rows))


def _readings(
    system: System,
    asked: Question,
    choice: Choice,
    baseline: Baseline,
    costs: Callable[[ModelSpec], _Costs],
) -> tuple[GpuReading, ...]:
    """The readings of one choice: of each batch, and of their mean."""
    base, streamed = costs(asked.base), costs(asked.base.with_streams(choice[0]))
    wider = np.asarray(baseline.cost(lambda spec: np.array(costs(spec)[:2])))
    found = []
    for setting, of in _settings(asked.setting):
        noise = float(streamed.noise[of].mean())
        memory, latency = (
            Added(*_increases(parts, of), noise)
            for parts in zip(base[:2], wider, streamed[:2], strict=True)
        )
        found.append(GpuReading(system, *choice, setting, memory.ratio, latency))
    return tuple(found)


def _increases(costs: Sequence[Array], of: slice) -> tuple[float, float, float]:
    """The mean cost of the base, and what the wider and the streamed model add to it."""
    base, wider, streamed = (float(each[of].mean()) for each in costs)
    return base, wider - base, streamed - base


def _settings(setting: Setting) -> list[tuple[Setting, slice]]:
    """Each batch on its own, with its place, and the mean over several."""
    batches = setting.batch_sizes
    alone = [
        (replace(setting, batch_sizes=(batch,)), slice(place, place + 1))
        for place, batch in enumerate(batches)
    ]
    return alone if len(batches) == 1 else [*alone, (setting, slice(None))]


def _ends(system: System, asked: Question, baselines: Mapping[int, Baseline]) -> dict[int, Ends]:
    """Where streams stop paying; models are evaluated once for all numbers of streams."""
    alone = replace(asked.setting, batch_sizes=(1,))

    @cache
    def latency(axis: str, spec: ModelSpec, values: tuple[float, ...]) -> Array:
        work = workload_along(axis, np.array(values), alone)
        return np.asarray(np.atleast_2d(estimate_on(spec, work, system).total).mean(axis=0))

    def end(axis: str, count: int, baseline: Baseline) -> Crossover:
        def advantage(values: Array) -> Array:
            at = tuple(values.tolist())
            wider = baseline.cost(lambda spec: latency(axis, spec, at))
            return np.asarray(wider - latency(axis, asked.base.with_streams(count), at))

        return first_loss(advantage, 1, LAST[axis])

    return {
        count: Ends(*(end(axis, count, baseline) for axis in Ends._fields))
        for count, baseline in baselines.items()
    }
