"""Ratios of speed and memory that must hold on any machine; CI runs it.

    python benchmarks/ratios.py

Each compares two things that are measured in turn in the same run, as CPU time or resident memory,
so that neither the machine's speed nor its load matters. Exit code 1 where one is above its limit.
Memory is read from Linux's /proc.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from million import request

from cost_analysis import ModelSpec, Workload, estimate, load_engine, load_hardware

MAIN_COMMAND = ["-m", "cost_analysis", "--hidden_size", "2560", "--P", "2", "--batch_size", "2"]
ROWS = 250_000
ADDITIONS = 10_000
SYSTEM = load_hardware("a100-sxm-80gb"), load_engine("graphs")


def one() -> None:
    estimate(ModelSpec(2560, 13824, streams=2), Workload(2), *SYSTEM)


def many(rows: int) -> Callable[[], None]:
    spec, workload = request(rows)

    def run() -> None:
        estimate(spec, workload, *SYSTEM)

    return run


def additions() -> None:
    total = 0.0
    for number in range(ADDITIONS):
        total += number * 0.5


def cpu_seconds(work: Callable[[], None]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def least(first: Callable[[], float], second: Callable[[], float], runs: int) -> float:
    """The least of one over the least of the other, measured in turn."""
    pairs = [(first(), second()) for _ in range(runs)]
    return min(a for a, _ in pairs) / min(b for _, b in pairs)


def child_seconds(*arguments: str) -> float:
    """CPU seconds of a run of Python."""
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{arguments} failed with exit code {process.returncode}")
    return usage.ru_utime + usage.ru_stime


PEAK = """
import re, sys
sys.path.insert(0, sys.argv[1])
from ratios import many
many(int(sys.argv[2]))()
print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
"""
"""A program that prints the most memory that it held while it estimated some rows [KiB]."""


def memory_of(rows: int) -> int:
    """Memory that an estimate of some rows takes beyond that of a single row [KiB]."""
    here = str(Path(__file__).parent)
    peaks = (
        subprocess.run(
            [sys.executable, "-c", PEAK, here, str(count)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for count in (rows, 1)
    )
    most, least = map(int, peaks)
    return most - least


def ratios() -> dict[str, tuple[float, float]]:
    """Each ratio, and its limit."""
    few, more = many(ROWS), many(4 * ROWS)
    in_rows = least(lambda: cpu_seconds(more), lambda: cpu_seconds(few), 4)
    row = least(lambda: cpu_seconds(more) / (4 * ROWS), lambda: cpu_seconds(one), 3)
    alone = least(lambda: cpu_seconds(one), lambda: cpu_seconds(additions), 200)
    start = least(
        lambda: child_seconds(*MAIN_COMMAND), lambda: child_seconds("-c", "import numpy"), 7
    )
    return {
        "time of four times the rows": (in_rows, 8.0),
        "memory of four times the rows": (memory_of(4 * ROWS) / memory_of(ROWS), 5.0),
        "a row of a million over an estimate on its own": (row, 1 / 40),
        f"an estimate on its own over {ADDITIONS:,} additions in Python": (alone, 1.0),
        "cold start of the main command over importing NumPy": (start, 1.3),
    }


def main() -> int:
    """The exit code: 1 where a ratio is above its limit."""
    found = ratios()
    for name, (ratio, limit) in found.items():
        print(f"{name}: {ratio:.3g} (at most {limit:.3g})")
    return int(any(ratio > limit for ratio, limit in found.values()))


if __name__ == "__main__":
    sys.exit(main())
