"""Readings of a stub driver, printed as JSON.

It runs as a program of its own, because the loader looks for libraries only once in a process.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from cost_analysis.inputs.spec import ModelSpec
from cost_analysis.measure.journal import open_journal
from cost_analysis.measure.journal_rows import Failed, Run
from cost_analysis.telemetry.energy import Window, stability
from cost_analysis.telemetry.meter import Meter, Sampler
from cost_analysis.telemetry.nvml import Unavailable, open_device

ROOT = Path(__file__).parents[2]
SOURCE = Path(__file__).parent / "nvml_stub" / "stub.c"
COMPILER = shutil.which("cc")


def build(folder: Path, *options: str) -> Path:
    """A stub library in a folder."""
    assert COMPILER is not None
    target = folder / "libnvidia-ml.so.1"
    command = [COMPILER, "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", *options]
    subprocess.run([*command, "-o", str(target), str(SOURCE)], check=True)
    return folder


def ask(folder: Path, scenario: str, *arguments: object, **settings: object) -> Any:
    """The result of a scenario with the library in a folder and settings as `NVML_STUB_…`."""
    variables = {f"NVML_STUB_{name.upper()}": str(value) for name, value in settings.items()}
    places = {"LD_LIBRARY_PATH": str(folder), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", __file__, scenario, *map(str, arguments)]
    result = subprocess.run(
        command, env=os.environ | places | variables, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return json.loads(result.stdout)


def describe(which: str = "0") -> Any:
    """A device's description, or why there is none."""
    with open_device(which) as device:
        return asdict(device if isinstance(device, Unavailable) else device.describe())


def read(times: str = "1") -> Any:
    """A few samples of a device."""
    with open_device(0) as device:
        assert not isinstance(device, Unavailable)
        return [asdict(device.read(processes=True)) for _ in range(int(times))]


def reopen() -> Any:
    """Whether a closed device lets another one be, and what it answers itself."""
    first, second = open_device(0), open_device(0)
    assert not isinstance(first, Unavailable)
    assert not isinstance(second, Unavailable)
    first.close()
    first.close()
    others = second.read().power
    second.close()
    return [others, second.read().gone]


def meter(seconds: str) -> Any:
    """The energy of a run beside a device, and intermediate results."""

    def work() -> int:
        time.sleep(float(seconds))
        return 1

    with Meter(0) as reader:
        said, readings = reader.run(work)
        about, cost = reader.describe(), reader.cost()
        assert about is not None
        assert cost is not None
        return {
            "said": said,
            "readings": asdict(readings),
            "about": asdict(about),
            "cost": asdict(cost),
            "findings": reader.findings(),
        }


def group(journal: str) -> Any:
    """A small model run on the processors while a device's driver is read."""
    from cost_analysis.measure.runner import (
        Limits,  # PyTorch, which others can do without
        run_group,
    )
    from cost_analysis.measure.session import Job

    job = Job("small", ModelSpec(64, 96, 2, 4, 2, vocab_size=97), 1, 4, 3)
    with Meter(0) as reader, open_journal(Path(journal), resume=False) as kept:
        window = reader.shortest_window
        run_group([job], Limits(60, 5, 5), kept, lambda *_: None, reader)
        failed, runs = map(msgspec.to_builtins, (kept.of(Failed), kept.of(Run)))
        return {"window": window, "failed": failed, "runs": runs, "findings": reader.findings()}


def watch(seconds: str, rate: str = "20") -> Any:
    """A window between two marks of a sampler, and intermediate results."""
    with open_device(0) as device:
        with Sampler(device, float(rate)) as sampler:
            start = sampler.mark()
            time.sleep(float(seconds))
            window = sampler.window(start, sampler.mark())
        return {
            "window": _shown(window),
            "stopped": sampler.stopped,
            "tick": sampler.tick,
            "cost": sampler.cost,
            "rate": sampler.rate,
            "samples": len(sampler.samples),
            "fields": [sample.power is not None for sample in sampler.samples],
            "threads": threading.active_count(),
            "findings": [str(finding) for finding in stability(sampler.samples)],
        }


def _shown(window: Window) -> dict[str, Any]:
    return asdict(window) | {"watts": window.watts, "samples": len(window.samples)}


SCENARIOS: dict[str, Callable[..., Any]] = {
    scenario.__name__: scenario for scenario in (describe, group, meter, read, reopen, watch)
}

if __name__ == "__main__":
    print(json.dumps(SCENARIOS[sys.argv[1]](*sys.argv[2:])))
