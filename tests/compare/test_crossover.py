"""Crossovers against a brute-force scan of every value."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cost_analysis import ModelSpec, Precision, load_engine, load_hardware, load_model
from cost_analysis.baselines import FAMILY, law_baseline
from cost_analysis.crossings import Contest, tokens_of
from cost_analysis.crossover import first_loss
from cost_analysis.request_costs import Setting, System, request_cost
from cost_analysis.scaling_law import ScalingLaw
from cost_analysis.spec import Workload

pytestmark = pytest.mark.property

LAWS = [ScalingLaw(0.6912, 1.131e7, 0.1894, 0.3935), ScalingLaw(1.2888, 1.97e8, 0.1963, 0.3345)]
DEVICES = ("a100-sxm-80gb", "h100-sxm-80gb", "rtx-4090", "m2-ultra")
ENGINES = ("ideal", "graphs", "eager", "native")
UP_TO = 600

systems = st.builds(
    System,
    st.sampled_from([load_hardware(name) for name in DEVICES]),
    st.sampled_from([load_engine(name) for name in ENGINES]),
    st.builds(Precision, weights=st.sampled_from(["bf16", "int8", "int4"])),
)
requests = st.builds(
    Setting,
    st.lists(st.integers(1, 32), min_size=1, max_size=2).map(tuple),
    st.tuples(st.integers(1, 2000)),
    st.tuples(st.integers(1, 500)),
)


@settings(max_examples=40)
@given(
    st.sampled_from(FAMILY),
    st.integers(2, 16),
    st.sampled_from(LAWS),
    requests,
    systems,
    st.sampled_from(["published", "operators"]),
    st.sampled_from(["latency", "memory"]),
)
def test_solutions_equal_a_scan(
    size: str,
    streams: int,
    law: ScalingLaw,
    setting: Setting,
    system: System,
    cost_model: str,
    metric: str,
) -> None:
    spec = load_model(size).spec.with_streams(streams)
    baseline = law_baseline(spec, law)
    contest = Contest(spec, baseline, law, setting, system, cost_model, metric)

    def scan(axis: str, lowest: int, last: int) -> int | None:
        values = np.arange(lowest, last + 1)
        lost = np.flatnonzero(contest.advantage(axis, values.astype(np.float64)) < 0)
        return int(values[lost[0]]) if len(lost) else None

    for axis in ("batch_size", "input_length", "prompt_share"):
        last = min(UP_TO, tokens_of(setting) - 1) if axis == "prompt_share" else UP_TO
        solved = first_loss(partial(contest.advantage, axis), 1, last)
        assert solved.first == scan(axis, 1, last)
    solved = first_loss(partial(contest.advantage, "P"), 2, 64)
    assert solved.first == scan("P", 2, 64)


@pytest.mark.parametrize("metric", ["latency", "memory"])
@pytest.mark.parametrize("cost_model", ["published", "operators"])
def test_advantage_is_what_two_single_requests_say(cost_model: str, metric: str) -> None:
    """The arrays of the solver against one request at a time, in plain Python."""
    system = System(load_hardware("a100"), load_engine("graphs"), Precision())
    spec = load_model("1.6b").spec.with_streams(4)
    baseline = law_baseline(spec, LAWS[0])
    setting = Setting((1, 4), (64, 512), (128, 32))
    contest = Contest(spec, baseline, LAWS[0], setting, system, cost_model, metric)

    def cost(prompt: int, output: int, one: ModelSpec) -> float:
        memory, latency = request_cost(cost_model, one, Workload(7, prompt, output), system)
        return float(memory if metric == "memory" else latency)

    pairs = [partial(cost, 64, 128), partial(cost, 512, 32)]
    single = np.mean([baseline.cost(of) - of(spec) for of in pairs])
    (solved,) = contest.advantage("batch_size", np.array([7.0]))
    assert solved == pytest.approx(single, rel=1e-9)


@given(st.integers(1, 50_000), st.integers(1, 60_000))
def test_first_loss_finds_any_single_sign_change(crossing: int, last: int) -> None:
    solved = first_loss(lambda values: crossing - 0.5 - values, 1, last)
    assert solved.first == (crossing if crossing <= last else None)
    assert solved.never == (crossing == 1)
