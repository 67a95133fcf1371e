"""Ten million rows of a sweep to a Parquet file, and the same rows by llm-analysis.

    python benchmarks/sweep.py

It runs `parscale-cost sweep` in a process of its own, and samples the resident memory of that
process and its workers. If llm-analysis is installed in the same environment (from its
repository), it then analyses rows of that very file, one at a time as it does, for some seconds.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from million import cpu_seconds, peer_seconds
from pyarrow import parquet

from cost_analysis import ModelSpec, Workload
from cost_analysis.search.grid import Grid, make_grid
from cost_analysis.search.sweep import pieces_of

GRID = {
    "model": "0.5B,0.7B,1.1B,1.6B,2.8B,4.4B",
    "gpu_config": "a100-sxm-80gb,h100-sxm-80gb",
    "P": "1:8",
    "batch_size": "1:53",
    "input_length": "16:512:16",
    "output_length": "8:496:8",
}
"""10,094,592 rows."""


psutil: Any = import_module("psutil")  # it has no types


def resident(process: Any) -> int:
    """Resident bytes of a process and its children; shared pages count for each."""
    total = 0
    for each in (process, *process.children(recursive=True)):
        try:
            total += each.memory_info().rss
        except psutil.Error:
            continue
    return total


def run(path: Path, workers: int | None) -> tuple[float, int]:
    """Wall seconds of the sweep, and the most resident bytes."""
    flags = [word for name, values in GRID.items() for word in (f"--{name}", values)]
    command = [sys.executable, "-m", "cost_analysis", "sweep", *flags, "--output", str(path)]
    if workers:
        command += ["--workers", str(workers)]
    start, most = time.perf_counter(), 0
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    process = psutil.Process(running.pid)
    while running.poll() is None:
        most = max(most, resident(process))
        time.sleep(0.05)
    if running.returncode:
        raise SystemExit(running.returncode)
    return time.perf_counter() - start, most


def calculated(grid: Grid, pieces: int) -> float:
    """CPU seconds a row of the calculation alone: every column of some pieces, not kept."""
    step = grid.piece_count // pieces
    rows = [len(columns["P"]) for columns in pieces_of(grid, range(0, grid.piece_count, step))]

    def run() -> None:
        for _ in pieces_of(grid, range(0, grid.piece_count, step)):
            pass

    return cpu_seconds(run) / sum(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workers", type=int)
    parser.add_argument("--peer_rows", type=int, default=3000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        path = Path(folder) / "rows.parquet"
        seconds, most = run(path, options.workers)
        file = parquet.ParquetFile(path)
        rows, columns = file.metadata.num_rows, file.metadata.num_columns
        print(
            f"{rows:,} rows of {columns} columns: {seconds:.1f} s, {rows / seconds:,.0f} rows/s, "
            f"{path.stat().st_size / 1e9:.2f} GB, {most / 2**30:.2f} GiB resident"
        )
        step = rows // options.peer_rows
        sample = file.read().take(list(range(0, rows, step))).to_pandas()
    value = {str(name): sample[name].to_numpy() for name in sample.columns}
    spec = ModelSpec(value["hidden_size"], value["intermediate_size"], streams=value["P"])
    lengths = (value[name] for name in ("batch_size", "input_length", "output_length"))
    peer = peer_seconds(spec, Workload(*lengths), len(sample))
    alone = calculated(make_grid(GRID), 20)
    print(f"the calculation alone: {alone * 1e6:.2f} us of CPU a row")
    if peer is None:
        print("llm-analysis is not installed here: no comparison")
        return
    print(
        f"llm-analysis on {len(sample):,} of them: {peer * 1e3:.3f} ms of CPU a row, "
        f"{peer / alone:,.0f} times the calculation; one core of it would take "
        f"{peer * rows / seconds:,.0f} times as long as both of ours with the file"
    )


if __name__ == "__main__":
    main()
