"""The paper's claims, to the digits that it prints, and the other readings."""

from __future__ import annotations

import math

import pytest

from cost_analysis import Engine, Hardware, Precision, Workload, estimate, load_engine, load_model
from cost_analysis.compare.claims import (
    BATCHES,
    Law,
    Reading,
    engine_readings,
    fitted_laws,
    format_claims,
    readings,
    why_no_ratio,
)
from cost_analysis.compare.cost_models import Cost, Setting
from cost_analysis.inputs.system import System
from cost_analysis.law.equal_loss import model_baseline
from cost_analysis.law.scaling_law import residuals

BASE = load_model("1.6b").spec


@pytest.fixture(scope="module")
def laws() -> dict[str, Law]:
    return fitted_laws(samples=100)


@pytest.fixture(scope="module")
def system(a100: Hardware, graphs: Engine) -> System:
    return System(a100, graphs, Precision())


@pytest.fixture(scope="module")
def found(system: System, laws: dict[str, Law]) -> dict[tuple[str, str, str, int], Reading]:
    settings = [Setting(sizes) for sizes in BATCHES]
    return {
        (r.cost_model, r.method, r.dataset, len(r.setting.batch_sizes)): r
        for r in readings(BASE, 8, settings, system, laws)
    }


Readings = dict[tuple[str, str, str, int], Reading]


@pytest.mark.golden
def test_every_reading_is_there(found: Readings) -> None:
    assert len(found) == 16


@pytest.mark.golden
@pytest.mark.parametrize(
    ("batches", "memory", "latency"), [(1, "22.55", "6.43"), (4, "7.34", "1.77")]
)
def test_the_papers_own_numbers(found: Readings, batches: int, memory: str, latency: str) -> None:
    reading = found["published", "measured", "stack", batches]
    assert f"{reading.memory.value:.2f}" == memory
    assert f"{reading.latency.value:.2f}" == latency
    assert reading.memory.low is None


@pytest.mark.golden
@pytest.mark.parametrize(
    ("dataset", "memory", "latency"), [("stack", 18.2, 5.18), ("pile", 15.5, 4.42)]
)
def test_by_the_law(found: Readings, dataset: str, memory: float, latency: float) -> None:
    reading = found["published", "law", dataset, 1]
    assert reading.memory.value == pytest.approx(memory, rel=0.005)
    assert reading.latency.value == pytest.approx(latency, rel=0.005)
    for ratio in (reading.memory, reading.latency):
        assert ratio.low is not None
        assert ratio.high is not None
        assert ratio.low < ratio.value < ratio.high


@pytest.mark.golden
def test_the_chord_hangs_on_the_largest_residual(laws: dict[str, Law]) -> None:
    for law in laws.values():
        worst = residuals(law.fitted.law, law.fitted.runs)[0]
        assert (worst.size, worst.streams) == ("4.4B", 1)


@pytest.mark.golden
def test_degenerate_claims_are_said(system: System, laws: dict[str, Law]) -> None:
    settings = [Setting((1,))]
    nothing = readings(BASE, 1, settings, system, laws)
    assert all(math.isnan(reading.memory.value) for reading in nothing)
    assert all("nothing increases" in reading.note for reading in nothing)
    beyond = readings(load_model("4.4b").spec, 8, settings, system, laws)
    for reading in beyond:
        if reading.method == "measured":
            assert math.isnan(reading.memory.value)
            assert "no measured P = 1 model reaches" in reading.note
        else:
            assert math.isfinite(reading.memory.value)
            assert "extrapolated" in reading.note


def test_other_engines_answer_the_first_reading_of_each_setting(
    system: System, laws: dict[str, Law]
) -> None:
    settings = [Setting((1,)), Setting((8,))]
    own = readings(BASE, 8, settings, system, laws)
    found = engine_readings(own, [load_engine(name) for name in ("eager", "graphs")], system, laws)
    assert [(each.engine, each.setting) for each in found] == [("eager", s) for s in settings]
    for each in found:
        assert (each.cost_model, each.method, each.dataset) == ("operators", "measured", "stack")
        (graphs,) = (
            other
            for other in own
            if (other.cost_model, other.method, other.dataset, other.setting)
            == ("operators", "measured", "stack", each.setting)
        )
        assert each.memory == graphs.memory
        assert each.latency != graphs.latency


def test_why_there_is_no_ratio() -> None:
    def cost_of(spec: object) -> Cost:
        return Cost(float(getattr(spec, "hidden_size", 0)), 1.0)

    smaller, larger = (model_baseline(load_model(name).spec) for name in ("0.5b", "4.4b"))
    streamed = BASE.with_streams(8)
    assert why_no_ratio(BASE, cost_of, larger) == "P = 1 is the base itself: nothing increases"
    assert why_no_ratio(streamed, cost_of, smaller) == "the baseline is no larger than the base"
    assert why_no_ratio(streamed, cost_of, larger) == ""


def test_terms_of_a_claim_are_those_of_estimates(system: System) -> None:
    formats = [Precision(), Precision("int4", "bf16", "fp8")]
    wider = load_model("2.8b").spec
    streamed, setting = BASE.with_streams(4), Setting((2,), (100,), (30,))
    found = format_claims(streamed, model_baseline(wider), setting, system, formats)
    assert [claim.precision for claim in found] == formats
    for claim in found:
        base, streams, scaled = (
            estimate(spec, Workload(2, 100, 30), system.hardware, system.engine, claim.precision)
            for spec in (BASE, streamed, wider)
        )
        learned = streams.memory.prefix + streams.memory.aggregator
        assert claim.streams.learned == pytest.approx(learned)
        assert claim.streams.weights == 0
        assert claim.wider.learned == 0
        assert claim.wider.weights == pytest.approx(scaled.memory.weights - base.memory.weights)
        for terms, cost in ((claim.streams, streams), (claim.wider, scaled)):
            assert terms.memory == pytest.approx(cost.memory.total - base.memory.total)
            assert terms.latency == pytest.approx(cost.total - base.total)
            assert terms.cache == pytest.approx(cost.memory.kv_cache - base.memory.kv_cache)
            assert terms.prefill == pytest.approx(cost.ttft - base.ttft)
        assert claim.memory_ratio == pytest.approx(claim.wider.memory / claim.streams.memory)
        assert claim.latency_ratio == pytest.approx(claim.wider.latency / claim.streams.latency)
    assert found[0].memory_ratio != found[1].memory_ratio
