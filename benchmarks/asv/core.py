"""Benchmarks of every release for asv: estimates, sweep, claims and cold start.

    asv run --environment existing --quick       # this checkout, in this environment
    asv continuous main HEAD                     # two commits, each in an environment of its own

Ratios against other programs are in the scripts beside this folder.
"""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np

from cost_analysis import (
    ModelSpec,
    Workload,
    estimate,
    load_engine,
    load_hardware,
    load_model,
    sweep,
)

HIDDEN = np.array([896.0, 1024.0, 1280.0, 1536.0, 2048.0, 2560.0])
INNER = np.array([4864.0, 5504.0, 6912.0, 8320.0, 11008.0, 13824.0])
MAIN_COMMAND = ["--hidden_size", "2560", "--P", "2", "--batch_size", "2"]


class Estimate:
    """One estimate on its own, and a million in one call, each row a model of its own."""

    timeout = 300

    def setup(self) -> None:
        self.system = load_hardware("a100-sxm-80gb"), load_engine("graphs")
        self.experts = load_model("mixtral-8x7b").spec
        random = np.random.default_rng(0)
        rows = 1_000_000
        size = random.integers(0, len(HIDDEN), rows)
        lengths = random.integers(1, 1024, (2, rows)).astype(np.float64)
        streams = (2 ** random.integers(0, 4, rows)).astype(np.float64)
        batches = (2 ** random.integers(0, 7, rows)).astype(np.float64)
        self.spec = ModelSpec(HIDDEN[size], INNER[size], streams=streams)
        self.workload = Workload(batches, lengths[0], lengths[1])

    def time_one(self) -> None:
        estimate(ModelSpec(2560, 13824, streams=2), Workload(2), *self.system)

    def time_one_with_experts(self) -> None:
        estimate(self.experts, Workload(2), *self.system)

    def time_million(self) -> None:
        estimate(self.spec, self.workload, *self.system)

    def peakmem_million(self) -> None:
        estimate(self.spec, self.workload, *self.system)


class Sweep:
    """A hundred thousand rows as a data frame."""

    timeout = 300

    def time_rows(self) -> None:
        sweep(
            model="1.6B",
            P="1:8",
            batch_size="1:50",
            input_length="16:400:16",
            output_length="8:80:8",
        )


class Commands:
    """Commands in a process of their own, from a cold start [s of CPU]."""

    unit = "s"
    timeout = 300

    def track_main_command(self) -> float:
        return cpu_seconds(MAIN_COMMAND)

    def track_help(self) -> float:
        return cpu_seconds(["--help"])

    def track_claims(self) -> float:
        return cpu_seconds(["claims"])


def cpu_seconds(arguments: list[str]) -> float:
    """User and system seconds of one run of the program; the smallest of three."""
    command = [sys.executable, "-m", "cost_analysis", *arguments]
    seconds = []
    for _ in range(3):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"{command} failed with exit code {process.returncode}")
        seconds.append(usage.ru_utime + usage.ru_stime)
    return min(seconds)
