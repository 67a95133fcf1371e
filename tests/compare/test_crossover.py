"""Crossovers against a brute-force scan of every value, and where the published ones lie."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cost_analysis import (
    Engine,
    Hardware,
    ModelSpec,
    Precision,
    load_engine,
    load_hardware,
    load_model,
)
from cost_analysis.common.arrays import single
from cost_analysis.compare.claims import Law, fitted_laws
from cost_analysis.compare.cost_models import Setting, request_cost
from cost_analysis.compare.crossover import (
    CrossoverSearch,
    compute_bound_penalty,
    crossings,
    first_loss,
    ridge_tokens,
    tokens_of,
)
from cost_analysis.inputs.spec import Workload
from cost_analysis.inputs.system import System
from cost_analysis.law.equal_loss import law_baseline, measured_baseline
from cost_analysis.law.family import FAMILY
from cost_analysis.law.runs import published_runs
from cost_analysis.law.scaling_law import ScalingLaw

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


@pytest.mark.property
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
    search = CrossoverSearch(spec, baseline, law, setting, system, cost_model, metric)

    def scan(axis: str, lowest: int, last: int) -> int | None:
        values = np.arange(lowest, last + 1)
        lost = np.flatnonzero(search.advantage(axis, values.astype(np.float64)) < 0)
        return int(values[lost[0]]) if len(lost) else None

    for axis in ("batch_size", "input_length", "prompt_share"):
        last = min(UP_TO, tokens_of(setting) - 1) if axis == "prompt_share" else UP_TO
        solved = first_loss(partial(search.advantage, axis), 1, last)
        assert solved.first == scan(axis, 1, last)
    solved = first_loss(partial(search.advantage, "P"), 2, 64)
    assert solved.first == scan("P", 2, 64)


@pytest.mark.property
@pytest.mark.parametrize("metric", ["latency", "memory"])
@pytest.mark.parametrize("cost_model", ["published", "operators"])
def test_advantage_is_what_two_single_requests_say(cost_model: str, metric: str) -> None:
    """The arrays of the solver against one request at a time, in plain Python."""
    system = System(load_hardware("a100"), load_engine("graphs"), Precision())
    spec = load_model("1.6b").spec.with_streams(4)
    baseline = law_baseline(spec, LAWS[0])
    setting = Setting((1, 4), (64, 512), (128, 32))
    search = CrossoverSearch(spec, baseline, LAWS[0], setting, system, cost_model, metric)

    def cost(prompt: int, output: int, one: ModelSpec) -> float:
        memory, latency = request_cost(cost_model, one, Workload(7, prompt, output), system)
        return float(memory if metric == "memory" else latency)

    pairs = [partial(cost, 64, 128), partial(cost, 512, 32)]
    single = np.mean([baseline.cost(of) - of(spec) for of in pairs])
    (solved,) = search.advantage("batch_size", np.array([7.0]))
    assert solved == pytest.approx(single, rel=1e-9)


@pytest.mark.property
@given(st.integers(1, 50_000), st.integers(1, 60_000))
def test_first_loss_finds_any_single_sign_change(crossing: int, last: int) -> None:
    solved = first_loss(lambda values: crossing - 0.5 - values, 1, last)
    assert solved.first == (crossing if crossing <= last else None)
    assert solved.never == (crossing == 1)


BASE = load_model("1.6b").spec


@pytest.fixture(scope="module")
def laws() -> dict[str, Law]:
    return fitted_laws(samples=100)


@pytest.fixture(scope="module")
def system(a100: Hardware, graphs: Engine) -> System:
    return System(a100, graphs, Precision())


@pytest.mark.golden
def test_published_latency_crosses_at_batch_7(system: System, laws: dict[str, Law]) -> None:
    spec = BASE.with_streams(8)
    baseline = measured_baseline(spec, published_runs("stack"))
    law = laws["stack"].fitted.law
    search = CrossoverSearch(spec, baseline, law, Setting((1,)), system, "published", "latency")
    assert search.solve("batch_size").first == 7


@pytest.mark.golden
def test_compute_bound_limit(laws: dict[str, Law]) -> None:
    multiplier = single(laws["stack"].fitted.law.multiplier(8))
    assert compute_bound_penalty(multiplier, 8) == pytest.approx(4.4, abs=0.05)


@pytest.mark.golden
def test_ridge_of_the_roofs(a100: Hardware, ideal: Engine) -> None:
    # 312 TFLOP/s over 2,039 GB/s, a 2-byte weight for 2 FLOPs a token.
    assert ridge_tokens(a100, ideal, Precision()) == pytest.approx(312e12 / 2039e9)
    assert ridge_tokens(a100, ideal, Precision(weights="int8")) == pytest.approx(
        312e12 / 2039e9 / 2
    )


@pytest.mark.golden
def test_crossings_of_another_family(system: System, laws: dict[str, Law]) -> None:
    spec = load_model("qwen3-0.6b").spec.with_streams(4)
    from cost_analysis.law.equal_loss import law_baseline

    law = laws["stack"].fitted.law
    solved = crossings(spec, Setting((1,)), system, law_baseline(spec, law), law, ("operators",))
    assert {crossing.axis for crossing in solved} == {
        "batch_size",
        "input_length",
        "P",
        "prompt_share",
    }


@pytest.mark.parametrize(
    ("crossing", "last", "always", "never"),
    [(5, 10, False, False), (11, 10, True, False), (1, 10, False, True)],
)
def test_an_advantage_over_the_whole_range_or_nowhere(
    crossing: int, last: int, always: bool, never: bool
) -> None:
    solved = first_loss(lambda values: crossing - 0.5 - values, 1, last)
    assert (solved.always, solved.never) == (always, never)


def test_crossings_are_told_in_words(system: System, laws: dict[str, Law]) -> None:
    spec = load_model("1.6b").spec.with_streams(8)
    law = laws["stack"].fitted.law
    baseline = law_baseline(spec, law)
    for crossing in crossings(spec, Setting((1,)), system, baseline, law):
        first, meaning = crossing.found.first, crossing.meaning
        if first is None:
            assert meaning.startswith(("never", "not up to "))
        elif crossing.found.never:
            assert meaning == f"they never pay (from {crossing.found.lowest})"
        elif crossing.axis == "prompt_share":
            tokens = tokens_of(Setting((1,)))
            assert tokens == 2 * 512
            assert meaning == f"{first / tokens:.0%} of 1,024 tokens"
        else:
            assert int(meaning.replace(",", "")) == first
