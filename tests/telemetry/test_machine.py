"""Readings of the machine and of this process, some from folders laid out as Linux shows them."""

from __future__ import annotations

import mmap
import os
import sys
from pathlib import Path

import pytest

from cost_analysis.telemetry import machine
from cost_analysis.telemetry.machine import (
    affinity,
    control_group,
    cpu_energy,
    process_memory,
    read_machine,
    reset_peak_memory,
    usable_cores,
)

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, which Linux alone has")


def lay_out(root: Path, files: dict[str, str]) -> Path:
    """Files of a folder, made."""
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content + "\n")
    return root


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system does not say")
def test_a_process_may_use_what_it_is_bound_to() -> None:
    before = affinity()
    assert set(before) == os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, before[:1])
        assert affinity() == before[:1]
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert usable_cores() == len(before)


def test_a_system_that_does_not_say_lets_all_cores_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert affinity() == ()
    assert usable_cores() == os.cpu_count()


def test_the_machine_is_described() -> None:
    here = read_machine()
    assert here.missing.keys() <= {"clock"}  # some systems do not say
    assert here.cpu
    assert here.cores is not None
    assert here.logical_cores is not None
    assert 1 <= here.cores <= here.logical_cores
    assert here.memory is not None
    assert here.memory_available is not None
    assert 2.0**27 < here.memory_available < here.memory
    assert here.threads is not None
    assert here.threads >= 1
    assert here.clock is None or 1e8 < here.clock < 1e10
    assert here.max_clock is None or 1e8 < here.max_clock < 1e10


def fresh_memory(size: int) -> mmap.mmap:
    """Memory that the system gives now: a heap may have had its own from before."""
    held = mmap.mmap(-1, size)
    for place in range(0, size, mmap.PAGESIZE):
        held[place] = 1
    return held


def test_memory_of_this_process_grows_with_what_it_holds() -> None:
    before = process_memory()
    held = fresh_memory(2**26)
    after = process_memory()
    assert before.resident is not None
    assert after.resident is not None
    assert after.peak is not None
    assert after.resident - before.resident > 0.9 * len(held)
    assert after.peak >= 0.99 * after.resident
    assert after.missing == {}


@linux
def test_the_peak_can_begin_anew() -> None:
    reset_peak_memory()  # others may have held more before
    held = fresh_memory(2**26)
    size = len(held)
    high = process_memory().peak
    held.close()
    if reason := reset_peak_memory():
        pytest.skip(f"the peak cannot be reset here ({reason})")
    low = process_memory().peak
    assert high is not None
    assert low is not None
    assert high - low > 0.9 * size


def test_without_psutil_the_rest_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> None:
        raise ImportError

    monkeypatch.setattr(machine, "_psutil", absent)
    here = read_machine()
    assert set(here.missing) >= {"cores", "threads"}
    assert set(here.missing.values()) == {"NO_PSUTIL"}
    assert here.cpu


def test_a_peak_that_cannot_be_reset_is_a_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(machine, "PROC", tmp_path)
    assert reset_peak_memory() == "NOT_FOUND"
    memory = process_memory()  # and the sizes are read in other ways
    assert memory.missing == {}
    assert memory.resident is not None
    assert memory.peak is not None
    assert memory.peak > 2.0**20


def test_control_groups_bind_from_the_outermost_in(tmp_path: Path) -> None:
    proc = lay_out(tmp_path / "proc", {"self/cgroup": "0::/outer/inner"})
    stat = "anon 100\ninactive_file 300"
    groups = lay_out(
        tmp_path / "cgroup",
        {
            "outer/cpu.max": "150000 100000",
            "outer/memory.max": "4096",
            "outer/memory.current": "1000",
            "outer/memory.stat": stat,
            "outer/inner/cpu.max": "max 100000",
            "outer/inner/memory.max": "8192",
            "outer/inner/memory.current": "900",
            "outer/inner/memory.stat": stat,
        },
    )
    assert control_group(proc, groups) == (1.5, 4096.0, 700.0)
    assert control_group(tmp_path / "none", groups) == (None, None, 0.0)
    lay_out(proc, {"self/cgroup": "0::/"})
    assert control_group(proc, groups) == (None, None, 0.0)
    lay_out(groups, {"outer/memory.max": "max", "outer/inner/memory.max": "max"})
    lay_out(proc, {"self/cgroup": "0::/outer/inner"})
    assert control_group(proc, groups) == (1.5, None, 0.0)


def rapl(root: Path, package: int, dram: int) -> Path:
    def zone(name: str, energy: int) -> dict[str, str]:
        return {"name": name, "energy_uj": str(energy), "max_energy_range_uj": "1000000000"}

    zones = {
        "intel-rapl:0": zone("package-0", package),
        "intel-rapl:0:0": zone("core", 1),
        "intel-rapl:0:1": zone("dram", dram),
        "intel-rapl:1": zone("psys", 2),
    }
    files = {f"{place}/{name}": text for place, z in zones.items() for name, text in z.items()}
    return lay_out(root, files)


def test_energy_of_the_processors_and_a_counter_that_starts_again(tmp_path: Path) -> None:
    before = cpu_energy(rapl(tmp_path, 999_000_000, 5_000_000))
    assert before.joules == pytest.approx({"package-0": 999.0, "package-0/dram": 5.0})
    after = cpu_energy(rapl(tmp_path, 2_000_000, 6_500_000))
    assert after.since(before) == pytest.approx({"package-0": 3.0, "package-0/dram": 1.5})
    assert after.missing == {}
    assert after.time >= before.time


def test_energy_of_the_processors_that_cannot_be_read_is_a_reason(tmp_path: Path) -> None:
    assert cpu_energy(tmp_path).missing == {"rapl": "NOT_FOUND"}
    rapl(tmp_path, 1, 1)
    (tmp_path / "intel-rapl:0/energy_uj").unlink()
    (tmp_path / "intel-rapl:0/energy_uj").mkdir()
    found = cpu_energy(tmp_path)
    assert "intel-rapl:0" in found.missing
    assert set(found.joules) == {"package-0/dram"}
