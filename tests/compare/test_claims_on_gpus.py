"""The claims on measured devices and engines, with kernels whose times are a plain formula."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cost_analysis import Precision, load_model
from cost_analysis.common.errors import InputError
from cost_analysis.compare.claims_on_gpus import (
    STREAMS,
    ClaimsOnGpus,
    Question,
    claims_on_gpus,
    has_kernels,
    measured_systems,
)
from cost_analysis.compare.cost_models import Setting, mean_cost
from cost_analysis.inputs.profiles import load_hardware, profile_names
from cost_analysis.law.equal_loss import measured_baseline
from cost_analysis.law.runs import published_runs
from tests.helpers.gpu_claims import SETTING, fitted, plain_claims, use_plain_kernels

BASE = load_model("1.6B").spec


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> ClaimsOnGpus:
    return plain_claims(monkeypatch, device="h100")


def test_every_measured_device_under_every_measured_engine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use_plain_kernels(monkeypatch)
    systems = measured_systems(fitted, Precision())
    devices = [load_hardware(name) for name in profile_names("hardware")]
    own = {device.name for device in devices if device.kernels == device.name}
    assert len(own) == 10
    assert {system.hardware.name for system in systems} == own
    assert {system.engine.name for system in systems} == {"vllm", "sglang", "tensorrt-llm"}
    rates = [float(system.hardware.bandwidth) for system in systems]
    assert rates == sorted(rates)
    # The like of a measured device only where it is asked for.
    for device in devices:
        if device.kernels not in ("", device.name):
            assert len(measured_systems(fitted, Precision(), device.name)) == 3
    assert len(measured_systems(fitted, Precision(), None, "vllm")) == 10


def test_formats_and_devices_without_kernels_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    use_plain_kernels(monkeypatch)
    with pytest.raises(InputError, match="no products with int8 weights were measured on any"):
        measured_systems(fitted, Precision("int8"))
    with pytest.raises(InputError, match="measured on t4 under any engine"):
        measured_systems(fitted, Precision(), "t4")
    assert not has_kernels(fitted("h100", "ideal"))


def test_ratios_are_those_of_estimates(found: ClaimsOnGpus) -> None:
    gpu = found.gpus[0]
    runs, streamed = published_runs("stack"), BASE.with_streams(8)
    for reading in gpu.of(8):
        assert (reading.method, reading.dataset) == ("measured", "stack")
        base, slow = (
            mean_cost("operators", spec, reading.setting, gpu.system) for spec in (BASE, streamed)
        )
        wider = measured_baseline(streamed, runs)
        costs = [mean_cost("operators", s, reading.setting, gpu.system) for s in wider.specs]
        for part, ratio in (("memory", reading.memory), ("latency", reading.latency.ratio)):
            each = (getattr(cost, part) for cost in costs)
            wide = sum(w * cost for w, cost in zip(wider.weights, each, strict=True))
            held = getattr(base, part)
            assert ratio == pytest.approx((wide - held) / (getattr(slow, part) - held))
        assert reading.latency.base == pytest.approx(base.latency)
        assert 0 < reading.latency.noise < gpu.noise * slow.latency


def test_every_reading_is_there(found: ClaimsOnGpus) -> None:
    settings = 3  # batch 1, batch 8, their mean
    for gpu in found.gpus:
        assert {reading.streams for reading in gpu.readings} == set(STREAMS)
        assert len({reading.choice for reading in gpu.readings}) * settings == len(gpu.readings)
        assert {(r.method, r.dataset) for r in gpu.readings if r.streams == 8} == {
            (method, dataset) for method in ("measured", "law") for dataset in ("stack", "pile")
        }
        for count in STREAMS:
            sizes = [reading.setting.batch_sizes for reading in gpu.of(count)]
            assert sizes == [(1,), (8,), (1, 8)]


def test_a_mean_is_of_costs_not_of_ratios(found: ClaimsOnGpus) -> None:
    one, eight, mean = (reading.latency for reading in found.gpus[0].of(8))
    for name in ("base", "wider", "streams", "noise"):
        parts = (getattr(one, name), getattr(eight, name))
        assert getattr(mean, name) == pytest.approx(np.mean(parts))


@pytest.mark.golden
def test_the_papers_own_numbers_stand_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    use_plain_kernels(monkeypatch)
    systems = measured_systems(fitted, Precision(), "h100", "vllm")
    asked = Question(BASE, 8, Setting((1, 2, 4, 8)))
    papers = claims_on_gpus(asked, systems, with_ends=False).papers
    assert [f"{reading.latency.ratio:.2f}" for reading in papers][::4] == ["6.43", "1.77"]
    assert [f"{reading.memory:.2f}" for reading in papers][::4] == ["22.55", "7.34"]
    assert not any(reading.latency.noise for reading in papers)


def test_streams_stop_paying_where_latencies_meet(found: ClaimsOnGpus) -> None:
    gpu = found.gpus[0]
    wider = measured_baseline(BASE.with_streams(8), published_runs("stack"))

    def ratio(batch: int) -> float:
        setting = Setting((batch,), SETTING.input_lengths, SETTING.output_lengths)
        system = gpu.system
        wide = wider.cost(lambda spec: mean_cost("operators", spec, setting, system).latency)
        slow = mean_cost("operators", BASE.with_streams(8), setting, system).latency
        return float(wide / slow)

    first = gpu.ends[8].batch_size.first
    assert first is not None
    assert first > 1
    assert ratio(first) < 1 <= ratio(first - 1)
    assert gpu.ends.keys() == set(STREAMS)


def test_free_streams_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    for row in (0.0, -0.01):  # eight rows as fast as one, or faster
        gpu = plain_claims(monkeypatch, row, "h100").gpus[0]
        first = gpu.of(8)[0].latency
        assert first.is_free
        assert 1 < first.low < first.wider / first.noise * (1 + 1e-9)
        assert math.isinf(first.high)
    assert gpu.one_row > 1


def test_nothing_to_compare_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    use_plain_kernels(monkeypatch)
    systems = measured_systems(fitted, Precision(), "h100", "vllm")
    with pytest.raises(InputError, match="P is 1"):
        claims_on_gpus(Question(BASE, 1, SETTING), systems)
    # No published run has P = 3: the law alone answers, for it and for the others.
    three = claims_on_gpus(Question(BASE, 3, SETTING), systems, with_ends=False)
    assert [reading.method for reading in three.gpus[0].of(3)] == ["law"] * 3
    assert {reading.streams for reading in three.gpus[0].readings} == {2, 3, 4, 8}
    assert three.gpus[0].ends == {}
