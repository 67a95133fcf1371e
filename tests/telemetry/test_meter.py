"""Energy of a run: of a stub GPU that is sampled, and of processors whose counters are files."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from cost_analysis.common.errors import InputError
from cost_analysis.measure.journal_rows import Run, requests_of
from cost_analysis.telemetry import meter
from cost_analysis.telemetry.machine import cpu_energy
from cost_analysis.telemetry.meter import MAXIMUM_RATE, MINIMUM_TICK, Meter, Readings, Sampler
from cost_analysis.telemetry.nvml import Unavailable
from tests.helpers.nvml_scenarios import COMPILER, ask, build

needs_stub = pytest.mark.skipif(COMPILER is None, reason="no C compiler `cc` to build a stub with")


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("stub"))


@needs_stub
def test_a_gpu_by_its_counter(stub: Path) -> None:
    found = ask(stub, "meter", 1.2, power=200)
    assert found["said"] == 1
    assert found["readings"]["source"] == "counter"
    assert found["readings"]["energy"] == pytest.approx(240, rel=0.1)
    assert found["about"]["name"] == "NVIDIA Stub 80GB"
    assert found["about"]["power_limit"] == 700
    assert found["cost"]["rate"] > 1
    assert found["findings"] == []


@needs_stub
def test_a_gpu_that_throttles_and_is_shared(stub: Path) -> None:
    # One runs here, as the ids of the others tell: none is taken for the measurement's own.
    others = [str(os.getpid()), str(2**22 + 78)]
    processes = ",".join(f"{pid}:{2**30}" for pid in others)
    found = ask(stub, "meter", 0.5, reasons=0x40, processes=processes)
    text = " ".join(found["findings"])
    assert all(pid in text for pid in others)
    assert "thermal" in text


@pytest.mark.slow
@pytest.mark.torch
@needs_stub
def test_short_requests_are_repeated_until_their_energy_can_be_told(
    stub: Path, tmp_path: Path
) -> None:
    found = ask(stub, "group", tmp_path / "run.jsonl", power=200, processes="self:1000")
    assert found["failed"] == []
    assert found["window"] == pytest.approx(1.1 * 10 * 0.02, rel=0.2)
    counted = [run for run in msgspec.convert(found["runs"], list[Run]) if run.round >= 0]
    assert len(counted) == 5
    for run in counted:
        requests = requests_of(run)
        taken = sum(request.total for request in requests)
        assert taken > 0.5 * found["window"]
        # One is enough only if it is long itself, as on a machine that is busy with other things.
        assert len(requests) > 1 or requests[0].total > 0.5 * found["window"]
        assert run.energy_source == "counter"
        # 200 W all the time, the time between steps included.
        assert run.energy_joules is not None
        assert run.energy_joules > 0.8 * 200 * taken / len(requests)
        assert run.device_memory_used_bytes
        assert run.device_memory_used_bytes > 0
        assert run.sm_clock_hz
        assert run.sm_clock_hz > 1e9
    assert found["findings"] == []


@needs_stub
def test_a_gpu_that_is_lost(stub: Path) -> None:
    found = ask(stub, "meter", 0.5, lost_after=60)
    assert found["said"] == 1
    assert found["readings"]["energy"] is None
    assert any("GPU_IS_LOST" in sentence for sentence in found["findings"])


def test_no_driver() -> None:
    with Meter(0) as reader:
        if not isinstance(reader.describe(), Unavailable):
            pytest.skip("an NVIDIA driver is here")
        result, readings = reader.run(lambda: 1)
    assert result == 1
    assert readings.energy is None
    assert "no NVIDIA driver library" in readings.missing


def test_processors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zone = tmp_path / "intel-rapl:0"
    zone.mkdir()
    for name, value in (("name", "package-0"), ("max_energy_range_uj", 10**12), ("energy_uj", 5)):
        (zone / name).write_text(f"{value}\n")
    monkeypatch.setattr(meter, "cpu_energy", lambda: cpu_energy(tmp_path))

    def work() -> None:
        (zone / "energy_uj").write_text("3000005\n")

    with Meter() as reader:
        _, readings = reader.run(work)
        assert reader.describe() is None
        assert reader.cost() is None
    assert readings == Readings(3.0, "rapl", "")
    monkeypatch.setattr(meter, "cpu_energy", lambda: cpu_energy(tmp_path / "none"))
    with Meter() as reader:
        _, readings = reader.run(work)
    assert readings.energy is None
    assert readings.missing == "NOT_FOUND"


@needs_stub
def test_energy_is_the_counters_and_power_agrees(stub: Path) -> None:
    found = ask(stub, "watch", 1.5, power=200)
    window = found["window"]
    assert window["source"] == "counter"
    assert window["reasons"] == []
    # The tick is as it was timed: a late poll makes it a little short or long.
    assert window["watts"] == pytest.approx(200, rel=2 * window["resolution"])
    assert window["power_joules"] == pytest.approx(200 * window["seconds"])
    assert found["tick"] >= MINIMUM_TICK
    assert 0 < found["cost"] < 0.01
    assert 0 < found["rate"] < MAXIMUM_RATE + 5  # with the marks
    assert found["threads"] == 1
    assert found["stopped"] is None
    assert found["findings"] == []


@needs_stub
def test_a_window_of_few_ticks_is_too_short(stub: Path) -> None:
    window = ask(stub, "watch", 0.2, tick=90)["window"]
    assert window["joules"] is None
    assert window["source"] is None
    assert window["counter_joules"] > 0
    assert [reason[:16] for reason in window["reasons"]] == ["window too short"] * 2


@needs_stub
def test_a_counter_that_stands_still_gives_way_to_power(stub: Path) -> None:
    found = ask(stub, "watch", 1.5, still_after=0)
    window = found["window"]
    assert window["source"] == "power"
    assert window["watts"] == pytest.approx(350)
    assert window["counter_joules"] == 0
    assert "stood still" in window["reasons"][0]
    assert "integral of the power readings" in window["reasons"][1]
    assert found["tick"] is None
    assert "stood still" in found["findings"][0]


@needs_stub
def test_no_counter_gives_way_to_power_and_no_power_to_a_reason(stub: Path) -> None:
    no_counter = "nvmlDeviceGetTotalEnergyConsumption=3"
    window = ask(stub, "watch", 1.5, fail=no_counter)["window"]
    assert window["source"] == "power"
    assert "(NOT_SUPPORTED)" in window["reasons"][0]
    both = f"{no_counter},nvmlDeviceGetPowerUsage=4"
    window = ask(stub, "watch", 0.1, fail=both)["window"]
    assert window["joules"] is None
    assert "(NOT_SUPPORTED)" in window["reasons"][0]
    assert "(NO_PERMISSION)" in window["reasons"][1]


@needs_stub
def test_a_device_lost_in_mid_run_keeps_what_was_read(stub: Path) -> None:
    counter_alone = "nvmlDeviceGetTotalEnergyConsumption=3"
    found = ask(stub, "watch", 0.8, lost_after=60, fail=counter_alone)
    assert found["stopped"] == "the device answers no more (GPU_IS_LOST)"
    assert found["samples"] > 2
    assert found["fields"][:2] == [True, True]
    assert found["stopped"] in found["window"]["reasons"]
    assert found["window"]["joules"] is None
    assert found["threads"] == 1


@needs_stub
def test_what_makes_a_run_unsteady_is_found(stub: Path) -> None:
    found = ask(
        stub, "watch", 0.6,
        clocks="1980,1410", reasons=0x44, warming=10, processes=f"self:{2**30},1:{2**20}",
    )  # fmt: skip
    seen = "\n".join(found["findings"])
    assert "clocks throttled (hw_thermal_slowdown) in 100% of the readings" in seen
    assert "clocks throttled (sw_power_cap)" in seen
    assert "1 other process on the device (pid 1)" in seen
    assert "the SM clock varied by" in seen
    assert "the device warmed by" in seen
    assert len(found["findings"]) == 5


@pytest.mark.parametrize("rate", [0.0, -1.0, 20.1, float("nan")])
def test_a_rate_that_nothing_can_keep_is_refused(rate: float) -> None:
    with pytest.raises(InputError, match="at most 20 per second"):
        Sampler(Unavailable("NO_DEVICE", "none"), rate)
