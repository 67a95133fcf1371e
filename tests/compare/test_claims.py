"""The paper's claims, to the digits that it prints, and the other readings."""

from __future__ import annotations

import math

import pytest

from cost_analysis import Engine, Hardware, Precision, load_model
from cost_analysis.claims import BATCHES, Law, Reading, fitted_laws, readings
from cost_analysis.request_costs import Setting, System
from cost_analysis.scaling_law import residuals

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
