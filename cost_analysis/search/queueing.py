"""A model that answers many users: request lengths, requests in flight, waiting, speed.

Requests arrive at random (Poisson) and are served by continuous batching. The steady state:

- A prompt is prefilled alone and ahead of decoding. Prompts wait for each other as in a queue of
  one server with random service times (Pollaczek-Khinchine), and for the decode step that runs.
- What prefills leave of the time, a share 1 - rho, goes to decode steps. A request decodes in a
  batch of itself and the b others that are there on average (the arrival theorem), in steps of
  s(1 + b), the time of a decode step of that batch. Before its first step it waits for the prompts
  that arrived during its own wait and prefill, rho times its time to first token.
- So it decodes for T = (steps s(1 + b) + rho TTFT) / (1 - rho), and by Little's law b is the rate
  times T. Where s(n)/n falls with n these two equations have one solution, or none: then the load
  is more than the device can carry.
- The number in flight varies about its mean: as Poisson where requests don't slow each other, more
  the closer the device is to its limit, and more as each prompt stops the decoding of all others
  (linear noise approximation: arrivals and completions around a stable mean). The 99 % quantile of
  a gamma distribution of that mean and variance is the number that memory is counted for, each
  with the cache of its full length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cost_analysis.common.arrays import Array, Number
from cost_analysis.common.errors import InputError
from cost_analysis.cost.activations import activation_bytes
from cost_analysis.cost.estimate import estimate_on, passes
from cost_analysis.cost.latency import decode_phase
from cost_analysis.cost.memory import kv_cache_bytes, memory
from cost_analysis.cost.roofline import speeds_of
from cost_analysis.inputs.spec import ModelSpec, Workload
from cost_analysis.inputs.system import System


@dataclass(frozen=True, slots=True, eq=False)
class Lengths:
    """How long requests are: kinds of requests and how often each comes.

    Attributes:
        prompts: Prompt tokens of each kind, (kinds,).
        outputs: Generated tokens of each kind, (kinds,).
        weights: Share of each kind, (kinds,); scaled to sum to 1. Left out, all are equal.
    """

    prompts: Any
    outputs: Any
    weights: Any = 1.0

    def __post_init__(self) -> None:
        """Check the numbers and pair them.

        Raises:
            InputError: Lists that do not pair, or something that is no length or weight.
        """
        prompts, outputs = (np.array(x, ndmin=1) for x in (self.prompts, self.outputs))
        work = Workload(1, prompts, outputs)
        weights = np.array(self.weights, np.float64, ndmin=1)
        counts = [np.size(part) for part in (work.input_length, work.output_length, weights)]
        kinds = max(counts)
        if not all(count in (1, kinds) for count in counts):
            raise InputError(
                f"{counts[0]} input lengths, {counts[1]} output lengths and {counts[2]} weights "
                "cannot be paired; give as many of each, or one"
            )
        if not ((weights >= 0) & np.isfinite(weights)).all() or not weights.sum() > 0:
            raise InputError("weights of lengths must be 0 or positive numbers, not all 0")
        full = [np.broadcast_to(x, kinds) for x in (work.input_length, work.output_length, weights)]
        shares = full[2] / full[2].sum()
        for name, value in zip(("prompts", "outputs", "weights"), (*full[:2], shares), strict=True):
            object.__setattr__(self, name, value)

    def mean(self, values: Array) -> float:
        """The mean of a value of each kind over requests."""
        return float(self.weights @ values)

    @property
    def steps(self) -> float:
        """Decode steps of a request, the mean."""
        return self.mean(self.outputs - 1)

    def decoding_mean(self, values: Array) -> float:
        """The mean over requests that are decoding: longer outputs are there for longer."""
        shares = self.weights * (self.outputs - 1)
        return float(shares @ values / shares.sum()) if shares.any() else self.mean(values)

    @property
    def context(self) -> float:
        """Tokens that a decode step finds in the cache of a request, the mean, at least 1."""
        tokens = self.prompts + np.maximum(self.outputs - 2, 0) / 2
        return max(1.0, round(self.decoding_mean(tokens)))

    @property
    def cached_tokens(self) -> float:
        """Tokens in the cache of a request at its end, the mean over those that are there."""
        return float(np.ceil(self.decoding_mean(self.prompts + self.outputs - 1)))


HALVINGS = 60
"""Bisections of an interval, until only rounding is left."""

MOST_REQUESTS = 1024
"""Requests that an engine decodes together at most, unless the user says otherwise."""

LEAST = 1e-9
"""Smallest divisor."""

QUANTILE = 2.326
"""Standard deviations above the mean below which a normal variable lies 99 % of the time."""


@dataclass(frozen=True, slots=True, eq=False)
class Server:
    """Models on a device that serve requests.

    Attributes:
        spec: The models; its fields may be arrays that broadcast.
        lengths: Lengths of the requests.
        system: What runs the models; its layout has no pipeline.
        most: Requests that are decoded together at most.
    """

    spec: ModelSpec
    lengths: Lengths
    system: System
    most: int = MOST_REQUESTS

    def step_seconds(self, batch: Number) -> Array:
        """Time of a decode step of a batch at the mean context [s]."""
        asked, system = Workload(batch, self.lengths.context, 2), self.system
        work = passes(self.spec, asked, system.precision, system.layout)
        speeds = speeds_of(system)
        step = decode_phase(work.first_step, work.growth, work.steps, work.launched, speeds)
        return np.asarray(step.seconds)

    def prefill_moments(self) -> tuple[Array, Array]:
        """Mean of the time of a prefill [s], and of its square [s²]."""
        prompts, index = np.unique(self.lengths.prompts, return_inverse=True)
        shares = np.bincount(index, self.lengths.weights)
        first = second = np.asarray(0.0)
        for prompt, share in zip(prompts, shares, strict=True):
            seconds = np.asarray(estimate_on(self.spec, Workload(1, prompt, 1), self.system).ttft)
            first, second = first + share * seconds, second + share * seconds**2
        return first, second

    def memory_bytes(self, requests: Number) -> Array:
        """Memory of a device with a number of requests in flight, one in its prefill [B]."""
        longest = self.lengths.prompts.max()
        precision, layout = self.system.precision, self.system.layout
        alone = memory(self.spec, Workload(1, longest, 1), precision, layout)
        cache = self.cache_bytes(requests)
        decoding = activation_bytes(self.spec, requests, 1, precision, layout=layout)
        return np.asarray(alone.weights + cache + np.maximum(alone.activations, decoding))

    def cache_bytes(self, requests: Number) -> Number:
        """Cache of a device with a number of requests that are decoding [B]."""
        tokens, system = self.lengths.cached_tokens, self.system
        return kv_cache_bytes(self.spec, requests, tokens, system.precision, system.layout)

    def capacity(self, limit: float) -> Array:
        """The most requests in flight whose memory stays within a limit [B]; 0 if not one."""
        shape = np.shape(self.memory_bytes(1))
        low, high = np.zeros(shape), np.full(shape, self.most + 1.0)
        while (high - low > 1).any():
            middle = np.maximum(np.floor((low + high) / 2), 1)
            fits = self.memory_bytes(middle) <= limit
            low, high = np.where(fits, middle, low), np.where(fits, high, middle)
        return low

    def carried_rate(self, capacity: Number) -> Array:
        """Requests a second beyond which more would be in flight than there is room for [1/s].

        Args:
            capacity: Requests that there is room for, (models,); 0 carries nothing.
        """
        room = np.maximum(capacity, 1.0)
        first, second = self.prefill_moments()
        step = self.step_seconds(room + 1)
        shape = np.broadcast_shapes(np.shape(step), np.shape(room))
        low, high = np.zeros(shape), np.broadcast_to(1 / first, shape).copy()
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            queue = _Queue(middle, self.lengths.steps, first, second)
            within = queue.requests(room, step) <= room
            low, high = np.where(within, middle, low), np.where(within, high, middle)
        return np.where(np.asarray(capacity) >= 1, low, 0.0)

    def closed_rate(self, requests: Number) -> Array:
        """Requests a second with a constant number in flight [1/s].

        Args:
            requests: Whole numbers from 1, broadcast against the models.
        """
        prefill, _ = self.prefill_moments()
        decode = self.lengths.steps * self.step_seconds(requests) / requests
        return np.asarray(1.0 / (prefill + decode))

    def closed_tpot(self, requests: Number) -> Array:
        """Time per output token with a constant number in flight [s]; nan for single tokens.

        While a request decodes, each of the others is prefilled once.
        """
        steps = self.lengths.steps
        prefill, _ = self.prefill_moments()
        held = (np.asarray(requests) - 1) * prefill + steps * self.step_seconds(requests)
        return np.asarray(held / steps if steps else held * np.nan)


@dataclass(frozen=True, slots=True, eq=False)
class Load:
    """The steady state of a server under a load; nan where it is overloaded.

    Attributes:
        rate: Requests a second [1/s].
        ttft: Time to first token, waiting included, the mean [s].
        tpot: Time per output token after the first, the mean [s].
        latency: Time of a request, the mean [s].
        requests: Requests in flight, prefilling or decoding, the mean.
        peak_requests: Requests in flight 99 % of the time at most.
        memory: Memory with these [B].
        busy: Share of the time that the device is at work.
    """

    rate: Number
    ttft: Array
    tpot: Array
    latency: Array
    requests: Array
    peak_requests: Array
    memory: Array
    busy: Array


@dataclass(frozen=True, slots=True, eq=False)
class _Queue:
    """Requests at a rate: what they wait for, given the batch that they decode in.

    Attributes:
        rate: Requests a second [1/s].
        steps: Decode steps of a request, the mean.
        first: Mean time of a prefill [s].
        second: Mean square of it [s²].
    """

    rate: Number
    steps: float
    first: Array
    second: Array

    @property
    def free(self) -> Array:
        """Share of the time that prefills leave."""
        return np.maximum(1 - np.asarray(self.rate) * self.first, LEAST)

    @property
    def noise(self) -> Array:
        """Variance of arrivals less completions, over that of two Poisson processes.

        An arrival adds a request and, by its prefill, delays the completion of others.
        """
        load = np.asarray(self.rate) / self.free
        return np.asarray((1 + 1 + 2 * load * self.first + load**2 * self.second) / 2)

    def active(self, others: Array) -> Array:
        """Probability that some request is decoding, given the mean number."""
        return (1 - np.exp(-others)) * (self.steps > 0)

    def ttft(self, others: Array, step: Array) -> Array:
        """Time to first token [s]: the waits for prompts and for the running step, the prefill."""
        waiting = self.rate * self.second / (2 * self.free)
        return np.asarray(self.first + waiting + self.active(others) * step / 2)

    def decoding(self, others: Array, step: Array) -> Array:
        """Time from the first token to the last [s]."""
        passing = (1 - self.free) * self.ttft(others, step)
        return np.asarray((self.steps * step + passing) / self.free * (self.steps > 0))

    def requests(self, others: Array, step: Array) -> Array:
        """Requests that are decoding by Little's law, given the batch that they decode in."""
        return np.asarray(self.rate * self.decoding(others, step))


def under_load(server: Server, rate: Number, capacity: Number | None = None) -> Load:
    """The steady state at a rate of requests.

    Args:
        server: The models and what is asked of them.
        rate: Requests a second, broadcast against the models [1/s].
        capacity: Requests that there is room for, (models,); None means `server.most`.
    """
    room = np.asarray(server.most if capacity is None else capacity, np.float64)
    good = np.asarray(rate) <= server.carried_rate(room)
    queue = _Queue(np.where(good, rate, 0.0), server.lengths.steps, *server.prefill_moments())
    others, step, stiffness = _batch(server, queue, room)
    ttft, decoding = queue.ttft(others, step), queue.decoding(others, step)
    requests = others + 1 - queue.free
    peak = np.maximum(np.ceil(_quantile(requests, requests / stiffness * queue.noise)), 1)
    tpot = decoding / queue.steps if queue.steps else np.full(good.shape, np.nan)
    busy = 1 - queue.free * (1 - queue.active(others))
    columns = (ttft, tpot, ttft + decoding, requests, peak, server.memory_bytes(peak), busy)
    return Load(rate, *(np.where(good, column, np.nan) for column in columns))


def _quantile(mean: Array, variance: Array) -> Array:
    """99 % quantile of a gamma distribution (Wilson and Hilferty, 1931)."""
    spread = variance / np.maximum(mean, LEAST) ** 2 / 9
    return np.asarray(mean * np.maximum(1 - spread + QUANTILE * np.sqrt(spread), 0) ** 3)


def _batch(server: Server, queue: _Queue, room: Array) -> tuple[Array, Array, Array]:
    """The mean number of decoding requests b, the time of a step of batch 1 + b [s], the stiffness.

    The smallest whole batch beyond the solution, and between it and the one before along a line.
    The stiffness is 1 - d ln T / d ln b there: how strongly the number returns to its mean.
    """

    def excess(batch: Array) -> tuple[Array, Array]:
        step = server.step_seconds(batch)
        return queue.requests(batch - 1, step) - (batch - 1), step

    shape = np.broadcast_shapes(excess(np.ones(()))[0].shape, room.shape)
    low, high = np.ones(shape), np.broadcast_to(np.maximum(room, 1) + 1, shape).copy()
    while (wide := high - low > 1).any():
        middle = np.where(wide, np.floor((low + high) / 2), low)
        beyond = excess(middle)[0] <= 0
        high = np.where(wide & beyond, middle, high)
        low = np.where(wide & ~beyond, middle, low)
    (left, near), (right, far) = excess(low), excess(high)
    stiffness = np.clip(left - right, LEAST, 1.0)
    share = np.clip(left / stiffness, 0.0, 1.0)
    return low + share - 1, near + share * (far - near), stiffness
