"""CPU seconds of the main command from a cold start, compared with another program.

    python benchmarks/cold_start.py --peer 'python path/to/ParScale/cost_analysis.py \
        --hidden_size 2560 --intermediate_size 13824 --P 2 --batch_size 2'

The peer is the published script, in an environment of its own: QwenLM/ParScale's cost_analysis.py
needs cli99/llm-analysis from its repository, transformers and torch. The two run in turn, so that
a machine that slows down slows both.
"""

from __future__ import annotations

import argparse
import os
import shlex
import statistics
import subprocess
import sys

OURS = [sys.executable, "-m", "cost_analysis"]
OURS += ["--hidden_size", "2560", "--P", "2", "--batch_size", "2"]


ENVIRONMENT = {name: each for name, each in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""That of an installed program, whose modules are compiled once, by the first run or by pip."""


def cpu_seconds(command: list[str]) -> float:
    """User and system seconds of one run of a command."""
    process = subprocess.Popen(
        command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{shlex.join(command)} failed with exit code {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peer", help="another program's command line")
    parser.add_argument("--runs", type=int, default=11)
    options = parser.parse_args()
    peer = shlex.split(options.peer) if options.peer else None
    cpu_seconds(OURS)
    pairs = [
        (cpu_seconds(OURS), cpu_seconds(peer) if peer else float("nan"))
        for _ in range(options.runs)
    ]
    ours = statistics.median(own for own, _ in pairs)
    print(f"parscale-cost: {ours:.3f} s of CPU, median of {len(pairs)} runs")
    if peer:
        other = statistics.median(other for _, other in pairs)
        ratio = statistics.median(other / own for own, other in pairs)
        print(f"peer:          {other:.3f} s of CPU; {ratio:.1f} times ours, median of pairs")


if __name__ == "__main__":
    main()
