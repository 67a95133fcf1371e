"""How the benchmark of the expert tables routed its tokens, and the load that follows.

The tables name a distribution. "balanced" gives each expert the same number of rows: 16 tokens with
8 of 128 experts reach all 128, where tokens that choose on their own reach 82. "power_law_1.01"
draws each expert's popularity from a power law of exponent 1.01, from 1 to 0.8 of the tokens (from
0.01 to 2 where there are fewer choices than experts), rounds, gives what is missing to the experts
with the fewest rows, and times the device with the most rows. 16 tokens then reach 64 to 66 of 128,
and a large batch gives the most popular expert seven times the mean.

Curves are fitted to "power_law_1.01": of the distributions it reaches most nearly as many experts
as trained routers do, which are balanced over a corpus but not over the tokens of one batch; and it
pays for tiles that are unevenly filled. "power_law_1.2" is a little steeper. That these are the
loads shows in the timings: seconds beyond the start are proportional to the experts reached.

Tables of older engines (vLLM 0.14, TensorRT-LLM 1.0) rounded differently: one token's experts are
all on one device, and what is missing goes to the experts with the most rows. `certain_loads` says
where that makes no difference.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from cost_analysis.common.arrays import Array

EXPONENT = 1.01
"""Of the power law of the rows that are fitted."""

DRAWS = 8
"""Draws of popularities whose mean is taken: the tables hold one draw each, of an unknown seed."""

_SEED = 7
_MANY = 4.0  # rows an expert, from which rounding decides no more which experts have any

Counts = npt.NDArray[np.int64]
"""Rows of each expert, (devices, experts of a device)."""


def routed_loads(
    tokens: Array, per_token: Array, experts: Array, held: Array, exponent: float = EXPONENT
) -> tuple[Array, Array]:
    """Rows of the busiest device, and its experts that have any: means over draws.

    Args:
        tokens: Tokens of all devices.
        per_token: Experts of each.
        experts: Experts of the layer.
        held: Experts of each device.
        exponent: Of the power law of the experts' popularity.
    """
    keys = np.stack([tokens, per_token, experts, held], axis=1).astype(np.int64)
    different, place = np.unique(keys, axis=0, return_inverse=True)
    loads = np.array([_load(*(int(size) for size in key), exponent) for key in different])
    rows, reached = loads.reshape(-1, 2)[place.reshape(-1)].T
    return rows, reached


def certain_loads(
    tokens: Array, per_token: Array, experts: Array, held: Array
) -> npt.NDArray[np.bool_]:
    """Where older tables have the same load: one device, and one token or many for each expert."""
    many = tokens * per_token >= _MANY * experts
    certain: npt.NDArray[np.bool_] = (held == experts) & (many | (tokens == 1.0))
    return certain


@cache
def _load(
    tokens: int, per_token: int, experts: int, held: int, exponent: float
) -> tuple[float, float]:
    """Mean rows of the busiest device, and mean number of its experts that have any."""
    draws = np.random.default_rng(_SEED)
    devices = experts // held
    rows = reached = 0.0
    for _ in range(DRAWS):
        counts = _drawn(draws, tokens, per_token, (devices, held), exponent)
        busiest = counts[counts.sum(axis=1).argmax()]
        rows, reached = rows + float(busiest.sum()), reached + float((busiest > 0).sum())
    return rows / DRAWS, reached / DRAWS


def _drawn(
    draws: np.random.Generator,
    tokens: int,
    per_token: int,
    shape: tuple[int, int],
    exponent: float,
) -> Counts:
    """Rows of each expert in one draw."""
    chosen = tokens * per_token
    experts = shape[0] * shape[1]
    low, high = (1.0, max(0.8 * tokens, 1.0001)) if chosen > experts else (0.01, 2.0)
    power = 1.0 - exponent
    uniform = draws.random(experts)
    popularity = ((high**power - low**power) * uniform + low**power) ** (1.0 / power)
    counts = np.rint(popularity / popularity.sum() * chosen).astype(np.int64)
    counts = np.minimum(counts, tokens).reshape(shape)
    missing = chosen - int(counts.sum())
    return _given_out(counts, abs(missing), 1 if missing > 0 else -1, tokens)


def _given_out(counts: Counts, number: int, step: int, most: int) -> Counts:
    """Rows added to the least loaded experts, or taken from the most loaded, device by device.

    Args:
        counts: Rows of each expert.
        number: Rows to add or take.
        step: 1 to add, -1 to take.
        most: Rows that an expert can have.
    """
    # Taking from the most loaded is adding to the least loaded of the negatives.
    levels, top = counts * step, most if step > 0 else 0
    rooms = (top - levels).sum(axis=1)
    shares = np.zeros(len(levels), dtype=np.int64)
    while (left := number - int(shares.sum())) > 0:
        free = np.flatnonzero(shares < rooms)
        # Devices take turns from the first on, and those that are full drop out.
        turns = left // len(free) + (np.arange(len(free)) < left % len(free))
        shares[free] = np.minimum(shares[free] + turns, rooms[free])
    raised = [_raised(own, int(share)) for own, share in zip(levels, shares, strict=True)]
    filled: Counts = np.array(raised) * step
    return filled


def _raised(levels: Counts, number: int) -> Counts:
    """Levels after the lowest was raised by one, `number` times."""
    order = np.argsort(levels, kind="stable")
    rising = levels[order]
    # What it takes to raise all that are lower to each of the levels.
    needed = rising * np.arange(len(rising)) - np.r_[0, np.cumsum(rising)[:-1]]
    lowest = int(np.searchsorted(needed, number, side="right"))
    whole, rest = divmod(number + int(rising[:lowest].sum()), lowest)
    raised = levels.copy()
    raised[order[:lowest]] = whole + (np.arange(lowest) < rest)
    return raised
