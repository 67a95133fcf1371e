"""Every configuration that a plan chooses from, with its loss and its cost, as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from cost_analysis.common.arrays import Array, Number, single
from cost_analysis.common.errors import InputError
from cost_analysis.common.units import format_bytes
from cost_analysis.cost.estimate import estimate_on
from cost_analysis.cost.memory import memory
from cost_analysis.inputs.dtypes import Precision
from cost_analysis.inputs.spec import ModelSpec, Workload
from cost_analysis.inputs.system import System
from cost_analysis.law.family import model_sizes, size_of
from cost_analysis.law.scaling_law import ScalingLaw
from cost_analysis.search.queueing import Lengths, Server, under_load

SECONDS_PER_HOUR = 3600.0
MOST_CELLS = 800
"""Most combinations of device, weight format, batch and P of one plan, which take some seconds."""

AT_ONCE = 16
"""Values of P in one calculation, so that its memory stays within some 100 MB."""


@dataclass(frozen=True, slots=True)
class Setup:
    """A system that a model may run on, with a storage format and a batch size.

    Attributes:
        system: What runs it, on one device.
        memory_limit: Memory that may be used [B].
        batch_size: Sequences of a request; None where requests arrive at a rate.
        power: Power of the board [W]; None if not known.
        price_per_hour: Price of the device [$/h]; None if not known.
        penalty: What the user adds to the loss for the weight format.
    """

    system: System
    memory_limit: float
    batch_size: int | None = 1
    power: float | None = None
    price_per_hour: float | None = None
    penalty: float = 0.0


@dataclass(frozen=True, slots=True)
class Space:
    """What a plan chooses from.

    Attributes:
        base: The model whose depth, heads and vocabulary all sizes have.
        streams: Numbers of streams, P.
        setups: The systems that they may run on.
        law: Loss of N parameters at P streams.
        input_length: Prompt tokens of a request.
        output_length: Generated tokens.
        rate: Requests a second; None for one batch at a time [1/s].
    """

    base: ModelSpec
    streams: tuple[int, ...]
    setups: tuple[Setup, ...]
    law: ScalingLaw
    input_length: int = 64
    output_length: int = 64
    rate: float | None = None

    def __post_init__(self) -> None:
        """Sort the numbers of streams, and check that there are not too many combinations.

        Raises:
            InputError: More than `MOST_CELLS`, or a rate that is not above 0 and finite.
        """
        object.__setattr__(self, "streams", tuple(sorted(set(self.streams))))
        cells = len(self.setups) * len(self.streams)
        if cells > MOST_CELLS:
            raise InputError(
                f"{cells} combinations of device, weight format, batch size and P; "
                f"a plan takes up to {MOST_CELLS}"
            )
        if self.rate is not None and not 0 < self.rate < np.inf:
            raise InputError(f"request_rate is {self.rate:g}; it must be above 0")
        Workload(1, self.input_length, self.output_length)


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Configurations, one an index: by setup, then P, then size rising; all (rows,).

    Attributes:
        setup: Index of the setup.
        streams: Parallel streams, P.
        hidden_size: Width of the residual stream.
        intermediate_size: Width of the MLP.
        parameters: Parameters without embeddings, N.
        loss: Loss by the law, the penalty of the weight format included.
        memory: Memory [B].
        ttft: Time to first token [s]; nan where the device cannot carry the load.
        tpot: Time per output token after the first [s]; nan also for a single token.
        latency: Time of a request [s].
        requests: Sequences in flight: the batch, or the mean under the load.
        carried: Requests a second that it could carry; nan without a rate [1/s].
        energy: Energy of an output token at the board's power, an upper bound [J]; nan if unknown.
        dollars: Price of a million output tokens [$]; nan without a price.
    """

    setup: npt.NDArray[np.intp]
    streams: Array
    hidden_size: Array
    intermediate_size: Array
    parameters: Array
    loss: Array
    memory: Array
    ttft: Array
    tpot: Array
    latency: Array
    requests: Array
    carried: Array
    energy: Array
    dollars: Array

    def __len__(self) -> int:
        """Number of configurations."""
        return self.setup.size

    @property
    def cell(self) -> npt.NDArray[np.intp]:
        """A number for each combination of setup and P."""
        changes = (np.diff(self.setup) != 0) | (np.diff(self.streams) != 0)
        return np.concatenate([[0], np.cumsum(changes)])


def candidates(space: Space) -> Candidates:
    """Every model size at every P on every setup, up to the first that is too large.

    A size is left out if neither it nor the next smaller one fits the memory at any P. What is
    left holds every feasible configuration and, for each cell, the next size above the largest.
    """
    sizes = model_sizes(space.base)
    parts = [
        _on(space, index, space.streams[first : first + AT_ONCE], sizes)
        for index in range(len(space.setups))
        for first in range(0, len(space.streams), AT_ONCE)
    ]
    names = [item.name for item in fields(Candidates)]
    return Candidates(*(np.concatenate([part[name] for part in parts]) for name in names))


def _on(
    space: Space, index: int, counts: Sequence[int], sizes: ModelSpec
) -> Mapping[str, npt.NDArray[np.generic]]:
    """The columns of one setup and some numbers of streams."""
    setup = space.setups[index]
    streams = np.array(counts, np.float64)[:, None]
    work = Workload(setup.batch_size or 1, space.input_length, space.output_length)
    held = memory(sizes.with_streams(streams), work, setup.system.precision).total
    fits = np.asarray(held <= setup.memory_limit).any(axis=0)
    count = min(fits.size, 2 + np.flatnonzero(fits).max(initial=-1))
    spec = _first(sizes, int(count)).with_streams(streams)
    costs = _batch_costs if space.rate is None else _load_costs
    found = costs(space, setup, spec)
    seconds = found.pop("seconds_per_token")
    held_hours = seconds if space.rate is None else 1 / (space.rate * space.output_length)
    columns: dict[str, npt.ArrayLike] = {
        **found,
        "setup": np.intp(index),
        "streams": streams,
        "hidden_size": spec.hidden_size,
        "intermediate_size": spec.intermediate_size,
        "parameters": (size := size_of(spec)),
        "loss": space.law.loss(size, streams) + setup.penalty,
        "energy": seconds * (setup.power or np.nan),
        "dollars": held_hours * (setup.price_per_hour or np.nan) / SECONDS_PER_HOUR * 1e6,
    }
    shape = (len(counts), int(count))
    return {name: np.broadcast_to(value, shape).ravel() for name, value in columns.items()}


def _first(sizes: ModelSpec, count: int) -> ModelSpec:
    """The first of several models, which are the smallest."""
    widths = ("hidden_size", "intermediate_size", "head_dim")
    arrays = {name: getattr(sizes, name) for name in widths if np.ndim(getattr(sizes, name))}
    return replace(sizes, **{name: values[:count] for name, values in arrays.items()})


def _batch_costs(space: Space, setup: Setup, spec: ModelSpec) -> dict[str, Number]:
    """What a batch of requests costs, one batch after the other."""
    work = Workload(setup.batch_size or 1, space.input_length, space.output_length)
    cost = estimate_on(spec, work, setup.system)
    return {
        "memory": cost.memory.total,
        "ttft": cost.ttft,
        "tpot": cost.tpot,
        "latency": cost.total,
        "requests": work.batch_size,
        "carried": np.nan,
        "seconds_per_token": 1 / cost.tokens_per_second,
    }


def _load_costs(space: Space, setup: Setup, spec: ModelSpec) -> dict[str, Number]:
    """What a request costs among others that arrive at the rate."""
    rate = space.rate or 0.0
    lengths = Lengths(space.input_length, space.output_length)
    server = Server(spec, lengths, setup.system)
    room = server.capacity(setup.memory_limit)
    load = under_load(server, rate, room)
    return {
        "memory": np.where(np.isnan(load.memory), server.memory_bytes(1), load.memory),
        "ttft": load.ttft,
        "tpot": load.tpot,
        "latency": load.latency,
        "requests": load.requests,
        "carried": server.carried_rate(room),
        "seconds_per_token": load.busy / (rate * space.output_length),
    }


@dataclass(frozen=True, slots=True)
class Board:
    """A device that a plan may choose, with its power and its price.

    Attributes:
        system: The device and what runs models on it; each setup has formats of its own.
        power: Power of the board [W]; None if not known.
        price_per_hour: Price of the device [$/h]; None if not known.
    """

    system: System
    power: float | None = None
    price_per_hour: float | None = None


def boards(
    systems: Sequence[System],
    power: Sequence[float | None] = (None,),
    prices: Sequence[float | None] = (None,),
) -> tuple[Board, ...]:
    """The devices with their powers and prices.

    Args:
        systems: The devices, each with what runs models on it.
        power: Power of the boards, one or one a device [W]; None means the device's own limit.
        prices: Prices of the devices, likewise [$/h].

    Raises:
        InputError: More or fewer powers or prices than devices.
    """
    powers, costs = (
        _paired(name, values, len(systems))
        for name, values in (("power", power), ("price_per_hour", prices))
    )
    return tuple(
        Board(system, watts or system.hardware.tdp, price)
        for system, watts, price in zip(systems, powers, costs, strict=True)
    )


def setups(
    chosen: Sequence[Board],
    precisions: Sequence[Precision],
    batch_sizes: Sequence[int] | None,
    *,
    memory_limit: float | None = None,
    penalties: Mapping[str, float] | None = None,
) -> tuple[Setup, ...]:
    """Every device with every format and batch size.

    Args:
        chosen: The devices (`boards`).
        precisions: Storage formats.
        batch_sizes: Batch sizes; None for requests that arrive at a rate.
        memory_limit: Memory that may be used, at most the device's [B]; None means all of it.
        penalties: What to add to the loss, by weight format.

    Raises:
        InputError: A penalty for a format that is not allowed, or a memory limit above the memory
            of every device.
    """
    allowed = [precision.weights for precision in precisions]
    for name in penalties or {}:
        if name not in allowed:
            raise InputError(
                f"a precision_penalty is given for {name}, which is not among the weight formats "
                f"allowed: {', '.join(allowed)}"
            )
    memories = [single(board.system.hardware.memory) for board in chosen]
    largest = max(memories)
    if memory_limit is not None and memory_limit > largest:
        raise InputError(
            f"memory_limit is {format_bytes(memory_limit)}, more than the "
            f"{format_bytes(largest)} that the device has"
        )
    return tuple(
        Setup(
            replace(board.system, precision=precision),
            min(memory, memory_limit or np.inf),
            batch,
            board.power,
            board.price_per_hour,
            (penalties or {}).get(precision.weights, 0.0),
        )
        for board, memory in zip(chosen, memories, strict=True)
        for precision in precisions
        for batch in (batch_sizes or (None,))
    )


def _paired(name: str, values: Sequence[float | None], count: int) -> list[float | None]:
    if len(values) not in (1, count):
        raise InputError(
            f"{name} has {len(values)} values for {count} devices; give one or as many"
        )
    return list(values) * (1 if len(values) == count else count)
