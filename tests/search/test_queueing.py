"""The serving model against a simulation of every step, and against itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cost_analysis import InputError, Precision, Workload, estimate, load_engine, load_hardware
from cost_analysis.cost.estimate import estimate_on
from cost_analysis.cost.memory import memory
from cost_analysis.inputs.system import System
from cost_analysis.law.family import family
from cost_analysis.search.queueing import Lengths, Load, Server, under_load

H100, GRAPHS, IDEAL = load_hardware("h100-sxm-80gb"), load_engine("graphs"), load_engine("ideal")
BASE = family()[3]


@dataclass
class Simulated:
    """Means over the requests of a simulation."""

    ttft: float
    tpot: float
    latency: float
    requests: float
    peak_share: float


def simulate(server: Server, rate: float, peak: float, count: int = 4000) -> Simulated:
    """Serve random requests one pass at a time: prefills alone and first, else a decode step."""
    rng = np.random.default_rng(1)
    lengths = server.lengths
    arrivals = np.cumsum(rng.exponential(1 / rate, count))
    kinds = rng.choice(len(lengths.weights), count, p=lengths.weights)
    prompts = lengths.prompts[kinds]
    prefill = {
        p: float(estimate_on(server.spec, Workload(1, p, 1), server.system).ttft)
        for p in set(prompts)
    }
    steps = np.concatenate([[0.0], server.step_seconds(np.arange(1.0, 1025))])
    first, last = np.zeros(count), np.zeros(count)
    left: dict[int, int] = {}
    now, arrived, begun, held, below, idle = 0.0, 0, 0, 0.0, 0.0, 0.0
    while len(left) or begun < count:
        while arrived < count and arrivals[arrived] <= now:
            arrived += 1
        if begun == arrived and not left:
            idle += arrivals[arrived] - now
            now = arrivals[arrived]
            continue
        present = len(left) + (begun < arrived)
        if begun < arrived:
            spent = prefill[prompts[begun]]
            first[begun] = last[begun] = now + spent
            if lengths.outputs[kinds[begun]] > 1:
                left[begun] = int(lengths.outputs[kinds[begun]]) - 1
            begun += 1
        else:
            spent = steps[len(left)]
            for request in list(left):
                left[request] -= 1
                if not left[request]:
                    last[request] = now + spent
                    del left[request]
        now += spent
        held += present * spent
        below += spent * (present <= peak)
    decode = lengths.outputs[kinds] - 1
    many = decode > 0
    return Simulated(
        float((first - arrivals).mean()),
        float((last - first)[many].sum() / decode[many].sum()),
        float((last - arrivals).mean()),
        held / now,
        (below + idle) / now,
    )


SERVERS = {
    "streams": Server(BASE.with_streams(8), Lengths(256, 33), System(H100, GRAPHS)),
    "one stream": Server(BASE, Lengths(256, 33), System(H100, GRAPHS)),
    "no overheads": Server(BASE.with_streams(4), Lengths(64, 48), System(H100, IDEAL)),
    "mixed": Server(
        BASE.with_streams(4),
        Lengths([32, 1024, 300], [100, 12, 1], [0.5, 0.3, 0.2]),
        System(H100, GRAPHS),
    ),
}


@pytest.mark.property
@pytest.mark.parametrize(("share", "near"), [(0.1, 0.03), (0.5, 0.04), (0.8, 0.12)])
@pytest.mark.parametrize("name", SERVERS)
def test_steady_state_is_that_of_a_simulation(name: str, share: float, near: float) -> None:
    server = SERVERS[name]
    rate = share * float(server.carried_rate(256))
    load = under_load(server, rate)
    found = simulate(server, rate, float(load.peak_requests))
    assert load.tpot == pytest.approx(found.tpot, rel=near)
    assert load.latency == pytest.approx(found.latency, rel=near)
    assert load.requests == pytest.approx(found.requests, rel=near)
    assert load.ttft == pytest.approx(found.ttft, rel=0.1)
    assert 0.96 < found.peak_share <= 1


@pytest.mark.property
@given(
    st.lists(st.integers(1, 16), min_size=1, max_size=4), st.floats(0.001, 60),
    st.sampled_from([(1, 2), (700, 65), (64, 1)]), st.sampled_from([2, 40, 1024]),
)  # fmt: skip
@settings(max_examples=30)
def test_a_row_is_its_own_answer(
    streams: list[int], rate: float, lengths: tuple[int, int], room: int
) -> None:
    def served(count: Any) -> Load:
        server = Server(BASE.with_streams(count), Lengths(*lengths), System(H100, GRAPHS))
        return under_load(server, rate, room)

    rows = served(np.array(streams, np.float64))
    for index, count in enumerate(streams):
        alone = served(count)
        for name in ("ttft", "tpot", "latency", "requests", "peak_requests", "memory", "busy"):
            assert np.array_equal(getattr(rows, name)[index], getattr(alone, name), equal_nan=True)


@pytest.mark.parametrize("name", SERVERS)
def test_more_load_is_slower_until_it_is_too_much(name: str) -> None:
    server, room = SERVERS[name], 100
    most = float(server.carried_rate(room))
    load = under_load(server, most * np.array([0.01, 0.2, 0.5, 0.9, 0.9999, 1.0001, 50]), room)
    for values in (load.ttft, load.tpot, load.latency, load.requests, load.busy, load.memory):
        assert np.isnan(values[-2:]).all()
        assert (np.diff(values[:-2]) >= 0).all()
    assert load.requests[4] == pytest.approx(room, abs=1.5)
    assert load.busy[4] == pytest.approx(1, abs=1e-6)


def test_without_load_a_request_is_alone() -> None:
    server = Server(BASE.with_streams(4), Lengths(300, 33), System(H100, GRAPHS))
    alone = estimate(BASE.with_streams(4), Workload(1, 300, 33), H100, GRAPHS)
    load = under_load(server, 1e-9)
    assert load.ttft == pytest.approx(alone.ttft)
    assert load.latency == pytest.approx(alone.total, rel=1e-4)
    assert load.memory == alone.memory.total
    assert load.peak_requests == 1
    assert load.requests == pytest.approx(1e-9 * alone.total, rel=1e-4)


def test_a_single_token_needs_no_decoding() -> None:
    load = under_load(Server(BASE, Lengths(300, 1), System(H100, GRAPHS)), np.array([0.1, 10.0]))
    assert np.isnan(load.tpot).all()
    assert np.array_equal(load.ttft, load.latency)
    assert load.ttft[1] > load.ttft[0]


@pytest.mark.property
@given(st.integers(1, 8), st.floats(1e8, 9e10), st.sampled_from([(1, 1), (900, 30), (64, 2000)]))
@settings(max_examples=40)
def test_capacity_is_the_most_that_fits(
    streams: int, limit: float, lengths: tuple[int, int]
) -> None:
    server = Server(BASE.with_streams(streams), Lengths(*lengths), System(H100, GRAPHS), most=500)
    room = int(server.capacity(limit))
    assert 0 <= room <= 500
    assert room == 0 or server.memory_bytes(room) <= limit
    assert room == 500 or server.memory_bytes(room + 1) > limit


def test_memory_of_one_is_that_of_its_request() -> None:
    spec, form = BASE.with_streams(8), Precision("int8", "bf16", "fp8")
    server = Server(spec, Lengths(700, 30), System(H100, GRAPHS, form))
    assert server.memory_bytes(1) == memory(spec, Workload(1, 700, 30), form).total


def test_always_so_many_in_flight() -> None:
    """One at a time takes a request's time; many at once take more in all, less each."""
    server = Server(BASE, Lengths(64, 129), System(H100, GRAPHS))
    alone = estimate(BASE, Workload(1, 64, 129), H100, GRAPHS).total
    rates = server.closed_rate(np.array([1.0, 2.0, 64.0]))
    assert rates[0] == pytest.approx(1 / alone, rel=1e-3)
    assert rates[0] < rates[1] < rates[2] < 64 / alone


def test_means_over_lengths() -> None:
    """Worked out by hand: a request of 101 tokens decodes 100 steps, one of 1 token none."""
    lengths = Lengths([10, 30], [101, 1], [1, 3])
    assert lengths.steps == 25
    assert lengths.context == 60  # 10 to 109 tokens, 59.5 on average
    assert lengths.cached_tokens == 110
    assert Lengths(5, 1).cached_tokens == 5
    assert Lengths(5, 1).context == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 2], [1, 2, 3]), "2 input lengths, 3 output lengths and 1 weights cannot be paired"),
        (([1, 2], 5, [0, 0]), "not all 0"),
        (([1, 2], 5, [1, -1]), "0 or positive"),
        (([1, 2], 5, [1, math.inf]), "0 or positive"),
        (([1, 0], 5), "input_length holds 0"),
        (([1.5], 5), "input_length holds 1.5"),
    ],
)
def test_lengths_that_make_no_sense(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Lengths(*arguments)
