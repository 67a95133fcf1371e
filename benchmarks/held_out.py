"""The median error of time on A100 and H100, and by number of devices, for README and docs.

    parscale-cost fit-latency profiles/measurements.csv --format csv --output errors.csv
    python benchmarks/held_out.py errors.csv

Without a file, the recorded errors of that command (tests/data/held_out_times.csv).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cost_analysis.fitting.accuracy import FOLDS, IN_SAMPLE

ROOT = Path(__file__).parents[1]
RECORDED = ROOT / "tests" / "data" / "held_out_times.csv"
MEASURED = ROOT / "profiles" / "measurements.csv"


def main(arguments: Sequence[str]) -> None:
    rows = pd.read_csv(arguments[0] if arguments else RECORDED)
    wide = rows.weight_dtype.isin(["fp16", "bf16"])
    chosen = rows[wide & rows.hardware.str.startswith(("a100", "h100"))]
    print(f"{len(chosen)} 16-bit rows of A100 and H100: median error of time")
    for how in (IN_SAMPLE, *FOLDS):
        print(f"  {how:20s} {(chosen[how] - 1).abs().median():5.1%}")
    measured = pd.read_csv(MEASURED).set_index("id")
    devices = measured.tensor_parallel.reindex(rows.id).to_numpy()
    errors = (rows["held out by source"] - 1).abs()
    print("All rows by number of devices: median error of time on a source not seen")
    for text, among in (
        *((f"{count:.0f}", devices == count) for count in (2, 4, 8)),
        ("2 to 8", devices > 1),
    ):
        print(f"  {text:6s} {among.sum():3d} rows {errors[among].median():6.1%}")


if __name__ == "__main__":
    main(sys.argv[1:])
