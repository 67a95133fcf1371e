"""Energy of a run: of a stub GPU, and of processors whose counters are files."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from nvml_scenarios import COMPILER, ask, build

from cost_analysis import meter
from cost_analysis.host import cpu_energy
from cost_analysis.journal_rows import Run, requests_of
from cost_analysis.meter import Meter, Readings
from cost_analysis.nvml import Unavailable

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
