"""Streams against parameters in serving: what fits, speed under load, and where each is faster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cost_analysis.common.arrays import Array, single
from cost_analysis.common.errors import InputError
from cost_analysis.common.files import read_table
from cost_analysis.inputs.layout import is_one
from cost_analysis.inputs.spec import ModelSpec
from cost_analysis.law.equal_loss import Baseline, choose
from cost_analysis.search.queueing import Lengths, Load, Server, under_load

METRICS = ("ttft", "tpot", "latency")
"""Metrics in which streams and parameters are compared."""

POINTS = 400
"""Rates at which two models are compared, from light to full load."""

LIGHTEST = 1e-3
"""The lightest load, as a share of the heaviest."""

SHARES = (0.05, 0.2, 0.5, 0.8, 0.95)
"""Loads that tables show, as shares of the most that a model carries."""


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """A model on the device.

    Attributes:
        name: "P = 8", or "wider".
        server: The model and what is asked of it.
        room: Requests in flight that fit; 0 if not one does.
        carried: Requests a second beyond which more would be in flight [1/s].
    """

    name: str
    server: Server
    room: int
    carried: float

    def load(self, rate: Array | float) -> Load:
        """The steady state at rates of requests [1/s]."""
        return under_load(self.server, rate, self.room)

    @property
    def batches(self) -> Array:
        """Batches up to what fits: 1, 2, 4, … and the largest; empty if none fits."""
        powers = 2.0 ** np.arange(self.room.bit_length())
        return np.unique(np.append(powers, self.room)) if self.room else np.empty(0)


@dataclass(frozen=True, slots=True)
class LoadCrossover:
    """Where the streamed model is faster than the wider one in a metric.

    Attributes:
        metric: One of `METRICS`.
        wins_light: Streams are faster at the lightest load.
        ends: Rate at which that changes [1/s]; None if it does not while either keeps up.
    """

    metric: str
    wins_light: bool
    ends: float | None


@dataclass(frozen=True, slots=True, eq=False)
class ServingView:
    """Models of several numbers of streams under one load, and a wider one of equal loss.

    Attributes:
        spec: The model with the most streams.
        lengths: Lengths of the requests.
        memory_limit: Memory that may be used [B].
        streams: A model for each number of streams, the most last.
        wider: The model of equal loss with one stream; None where there are no streams.
        chosen: How the wider model was chosen.
        crossovers: Which is faster at which load, one for each metric.
    """

    spec: ModelSpec
    lengths: Lengths
    memory_limit: float
    streams: tuple[Served, ...]
    wider: Served | None
    chosen: Baseline | None
    crossovers: tuple[LoadCrossover, ...]

    @property
    def models(self) -> tuple[Served, ...]:
        """All models."""
        return (*self.streams, self.wider) if self.wider else self.streams

    @property
    def rivals(self) -> tuple[Served, ...]:
        """The model with the most streams, and the wider one if there is one."""
        return (self.streams[-1], self.wider) if self.wider else self.streams[-1:]

    @property
    def rates(self) -> Array:
        """Loads that tables show, from light to nearly full for each of the rivals [1/s]."""
        loads = {float(f"{share * model.carried:.2g}") for share in SHARES for model in self.rivals}
        return np.array(sorted(loads - {0.0}))


def serving_view(
    server: Server,
    streams: Sequence[int],
    *,
    memory_limit: float | None = None,
    baseline: str = "law",
    dataset: str = "stack",
) -> ServingView:
    """Serve a model with several numbers of streams, and the wider model of equal loss.

    Args:
        server: The model and what is asked of it; `streams` replaces its own. Models with
            fewer streams than the layout has groups use as many groups as they have streams.
        streams: Numbers of streams; the largest is compared with the wider model.
        memory_limit: Memory that may be used [B]; None means the device's.
        baseline: "law", "measured", or the name of a model.
        dataset: Data set of the law and the measured losses.

    Raises:
        InputError: No such baseline, a layout with a pipeline, or more memory than the device has.
    """
    spec, system = server.spec, server.system
    installed = single(system.hardware.memory)
    limit = installed if memory_limit is None else memory_limit
    if limit > installed:
        raise InputError(f"memory_limit is more than the memory of {system.hardware.name}")

    if not is_one(system.layout.pipeline_parallel):
        raise InputError("serving knows no pipelines; leave --pipeline_parallel out")

    def served(name: str, model: ModelSpec) -> Served:
        own = replace(server, spec=model, system=system.of_streams(model.streams))
        room = int(own.capacity(limit))
        return Served(name, own, room, float(own.carried_rate(room)))

    counts = sorted(set(streams))
    models = tuple(served(f"P = {count}", spec.with_streams(count)) for count in counts)
    streamed = spec.with_streams(counts[-1])
    if counts[-1] == 1:
        return ServingView(streamed, server.lengths, limit, models, None, None, ())
    chosen = choose(streamed, baseline, dataset, None)
    wider = served("wider", chosen.specs[0])
    metrics = [metric for metric in METRICS if metric != "tpot" or server.lengths.steps]
    if models[-1].carried == wider.carried == 0:
        metrics = []
    crossovers = tuple(load_crossover(models[-1], wider, metric) for metric in metrics)
    return ServingView(streamed, server.lengths, limit, models, wider, chosen, crossovers)


def load_crossover(streamed: Served, wider: Served, metric: str) -> LoadCrossover:
    """Where the first of two models stops being the faster one, or starts.

    The time of an overloaded model is infinite. The first change is bracketed on a grid of rates
    and found on a finer one, to 5e-5 of the rate.
    """
    most = max(streamed.carried, wider.carried)

    def wins(rates: Array) -> Array:
        ours, theirs = (
            np.nan_to_num(getattr(model.load(rates), metric), nan=np.inf)
            for model in (streamed, wider)
        )
        return np.asarray(ours < theirs)

    rates = np.geomspace(LIGHTEST * most, most * (1 - LIGHTEST), POINTS)
    won = wins(rates)
    changes = np.flatnonzero(won[1:] != won[:-1])
    if not len(changes):
        return LoadCrossover(metric, bool(won[0]), None)
    rates = np.linspace(rates[changes[0]], rates[changes[0] + 1], POINTS)
    finer = wins(rates)
    return LoadCrossover(metric, bool(won[0]), float(rates[np.flatnonzero(finer != finer[0])[0]]))


def read_lengths(path: str) -> Lengths:
    """Lengths of requests from a CSV file with a header.

    Args:
        path: The file: columns `input_length` and `output_length`, and `weight` where a row
            stands for several requests.

    Raises:
        InputError: A file that cannot be read, a column that is missing, or a cell that is no
            length.
    """
    table = read_table(Path(path))
    prompts, outputs = (
        table.positive_numbers(table.column(name), whole=True)
        for name in ("input_length", "output_length")
    )
    if not prompts:
        raise InputError(f"{path!r} has no rows below its header")
    weights = table.positive_numbers("weight") if "weight" in table.header else 1.0
    return Lengths(prompts, outputs, weights)
