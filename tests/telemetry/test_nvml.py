"""The real binding over a stub driver: what it says, and every way in which it can fail."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from cost_analysis.telemetry import nvml
from cost_analysis.telemetry.meter import Sampler
from cost_analysis.telemetry.nvml import Unavailable, open_device
from tests.helpers.nvml_scenarios import COMPILER, ask, build

GIB = 2.0**30
UUID = "11111111-2222-3333-4444-555555555555"

needs_stub = pytest.mark.skipif(
    COMPILER is None or sys.platform != "linux", reason="no C compiler `cc` to build a stub with"
)


@pytest.fixture(scope="session")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("stub"))


@pytest.fixture(scope="session")
def old_stub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("old"), "-DOLD")


@pytest.fixture(scope="session")
def new_stub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("new"), "-DNEW")


@needs_stub
def test_description_is_in_si_units(stub: Path) -> None:
    found = ask(stub, "describe", processes=f"4242:{2**30},77:-1", reasons=0x804)
    assert found == {
        "name": "NVIDIA Stub 80GB",
        "uuid": f"GPU-{UUID}",
        "driver": "580.65.06",
        "nvml": "13.580.65.06",
        "cuda": "13.1",
        "memory": {"total": 80 * GIB, "used": 10 * GIB, "free": 69 * GIB, "reserved": GIB},
        "power_limit": 700.0,
        "max_sm_clock": 1980e6,
        "max_memory_clock": 2619e6,
        "mig": False,
        "processes": [{"pid": 4242, "memory": GIB}, {"pid": 77, "memory": None}],
        "clock_events": ["sw_power_cap", "0x800"],
        "missing": {},
        "notes": [],
    }


@needs_stub
def test_sample_is_in_si_units(stub: Path) -> None:
    (found,) = ask(stub, "read", power=123)
    assert found.pop("time") > 0
    assert found.pop("own") == []
    assert found.pop("energy") == pytest.approx(123456.789, abs=60)
    assert found == {
        "power": pytest.approx(123),
        "sm_clock": 1980e6,
        "memory_clock": 2619e6,
        "temperature": 50.0,
        "utilisation": 0.97,
        "memory_utilisation": 0.42,
        "memory_used": 10 * GIB,
        "clock_events": [],
        "processes": [],
        "missing": {},
    }


@needs_stub
@pytest.mark.parametrize("which", ["0", f"GPU-{UUID}", UUID, "0000:18:00.0"])
def test_device_is_found_by_index_uuid_and_bus(stub: Path, which: str) -> None:
    assert ask(stub, "describe", which)["uuid"] == f"GPU-{UUID}"


@needs_stub
@pytest.mark.parametrize("which", ["7", f"GPU-{UUID[:-1]}6", f"{UUID[:-1]}6", "0000:19:00.0"])
def test_unknown_device_is_named(stub: Path, which: str) -> None:
    assert f"knows no device '{which}'" in ask(stub, "describe", which)["reason"]


@needs_stub
def test_old_driver_is_asked_in_old_ways(old_stub: Path) -> None:
    found = ask(old_stub, "describe", processes="4242:1024", reasons=0x20)
    assert found["missing"] == {}
    assert found["memory"] == {
        "total": 80 * GIB, "used": 11 * GIB, "free": 69 * GIB, "reserved": None,
    }  # fmt: skip
    assert "includes what the driver reserves" in found["notes"][0]
    assert found["processes"] == [{"pid": 4242, "memory": 1024.0}]
    assert found["clock_events"] == ["sw_thermal_slowdown"]
    (sample,) = ask(old_stub, "read")
    assert sample["missing"] == {}
    assert sample["temperature"] == 50.0


@needs_stub
def test_new_driver_is_asked_in_new_ways(new_stub: Path) -> None:
    (sample,) = ask(new_stub, "read")
    assert sample["missing"] == {}
    (sample,) = ask(new_stub, "read", fail="nvmlDeviceGetTemperatureV=3")
    assert sample["missing"] == {"temperature": "NOT_SUPPORTED"}


@needs_stub
def test_instances_are_told(stub: Path) -> None:
    failing = "nvmlDeviceGetUtilizationRates=3,nvmlDeviceGetPowerUsage=3"
    assert ask(stub, "describe", mig=1, fail=failing)["mig"] is True
    assert ask(stub, "describe", fail="nvmlDeviceGetMigMode=3")["mig"] is None


@needs_stub
@pytest.mark.parametrize(
    ("call", "number", "fields", "reason"),
    [
        ("PowerUsage", 3, ["power"], "NOT_SUPPORTED"),
        ("TotalEnergyConsumption", 13, ["energy"], "FUNCTION_NOT_FOUND"),
        ("UtilizationRates", 4, ["utilisation", "memory_utilisation"], "NO_PERMISSION"),
        ("ClockInfo", 999, ["sm_clock", "memory_clock"], "UNKNOWN"),
        ("CurrentClocksEventReasons", 4, ["clock_events"], "NO_PERMISSION"),
        ("ComputeRunningProcesses_v3", 4, ["processes"], "NO_PERMISSION"),
        ("MemoryInfo_v2", 777, ["memory_used"], "ERROR_777"),
    ],
)
def test_a_failed_reading_is_named_and_the_others_go_on(
    stub: Path, call: str, number: int, fields: list[str], reason: str
) -> None:
    (sample,) = ask(stub, "read", fail=f"nvmlDeviceGet{call}={number}")
    assert sample["missing"] == dict.fromkeys(fields, reason)
    assert {name for name, value in sample.items() if value is None} == set(fields)


@needs_stub
def test_a_missing_symbol_is_named(tmp_path: Path) -> None:
    build(tmp_path, "-DnvmlDeviceGetPowerUsage=absent")
    (sample,) = ask(tmp_path, "read")
    assert sample["missing"] == {"power": "FUNCTION_NOT_FOUND"}


@needs_stub
@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [
        ({"fail": "nvmlInitWithFlags=9"}, "DRIVER_NOT_LOADED", "not loaded"),
        ({"fail": "nvmlInitWithFlags=4"}, "NO_PERMISSION", "/dev/nvidia"),
        ({"fail": "nvmlInitWithFlags=18"}, "LIB_RM_VERSION_MISMATCH", "different versions"),
        ({"fail": "nvmlInitWithFlags=999"}, "UNKNOWN", "(UNKNOWN)"),
        ({"devices": 0}, "NO_DEVICE", "sees no device"),
        ({"lost_after": 1}, "GPU_IS_LOST", "fell off the bus"),
        ({"lost_after": 2}, "GPU_IS_LOST", "fell off the bus"),
    ],
)
def test_a_device_that_cannot_be_opened_is_a_sentence(
    stub: Path, settings: dict[str, Any], code: str, words: str
) -> None:
    found = ask(stub, "describe", **settings)
    assert found["code"] == code
    assert words in found["reason"]


@needs_stub
def test_a_broken_library_is_no_library(tmp_path: Path) -> None:
    (tmp_path / "libnvidia-ml.so.1").write_text("")
    assert ask(tmp_path, "describe")["code"] == "LIBRARY_NOT_FOUND"
    found = ask(tmp_path, "watch", 0.01)
    assert found["window"]["joules"] is None
    assert "no NVIDIA driver library" in found["window"]["reasons"][0]
    assert found["window"]["seconds"] > 0
    assert found["samples"] == 0


@needs_stub
def test_closing_twice_leaves_other_devices_open(stub: Path) -> None:
    assert ask(stub, "reopen") == [350.0, "UNINITIALIZED"]


def test_without_the_binding_a_sentence_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(nvml, "import_module", absent)
    found = open_device()
    assert isinstance(found, Unavailable)
    assert found.code == "NO_BINDING"
    assert "pip install" in found.reason


def test_here_a_device_opens_or_says_why_not() -> None:
    with open_device() as device:
        if isinstance(device, Unavailable):
            assert device.code
            assert "\n" not in device.reason
        else:
            assert device.describe().name


@pytest.mark.torch
@pytest.mark.gpu
def test_a_real_device_is_described_and_watched() -> None:
    import torch

    with open_device() as device:
        if isinstance(device, Unavailable):
            pytest.skip(device.reason)
        if not torch.cuda.is_available():
            pytest.skip("torch sees no CUDA device")
    with open_device(torch.cuda.get_device_properties(0).uuid) as device:
        assert not isinstance(device, Unavailable)
        about = device.describe()
        assert about.name == torch.cuda.get_device_name(0)
        assert about.memory is not None
        assert about.memory.total >= torch.cuda.mem_get_info(0)[1]
        matrix = torch.ones(4096, 4096, device="cuda")
        with Sampler(device) as sampler:
            start = sampler.mark()
            while sampler.samples[-1].time < start + 2:
                matrix = matrix @ matrix / 4096
                torch.cuda.synchronize()
            window = sampler.window(start, sampler.mark())
        assert window.joules is not None, window.reasons
        assert sampler.cost < 0.01
        if window.source == "counter" and window.power_joules is not None:
            # Power is an average of the last second, and the device had been idle.
            assert 0.5 < window.power_joules / window.joules < 2
