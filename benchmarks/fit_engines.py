"""Fits the engine profiles to published 16-bit measurements on one GPU.

    python benchmarks/fit_engines.py [MEASUREMENTS.csv]

MEASUREMENTS.csv has one published number a row (architecture, engine, hardware, lengths, metric,
value, source_id); without one, the rows beside this script. For each engine class: the
coefficients that the rows can tell, the error in the sample, and the error on each source when the
fit has not seen it. Rows that the model cannot represent are counted.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import least_squares

from cost_analysis import (
    Engine,
    Estimate,
    ModelSpec,
    Precision,
    Workload,
    estimate,
    load_hardware,
)
from cost_analysis.profiles import profile_names

Floats = npt.NDArray[np.floating[Any]]

FIELDS = (
    "flops_efficiency",
    "bandwidth_efficiency",
    "kernel_floor",
    "layer_host_time",
    "step_host_time",
)
STARTS = (
    (0.6, 0.8, 3e-6, 5e-5, 1e-3),
    (0.6, 0.8, 3e-6, 7e-4, 1e-3),
    (0.6, 0.8, 8e-6, 1e-6, 1e-6),
)
LOWEST = (0.05, 0.05, 1e-8, 1e-8, 1e-8)
HIGHEST = (1.0, 1.0, 1.5e-5, 5e-3, 5e-2)
SIZES = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "vocab_size",
)
ALIKE = ("hardware", "weight_dtype", "gated_mlp", "tie_word_embeddings", "metric")
LENGTHS = ("batch_size", "input_length", "output_length")
TIMES: dict[str, Callable[[Estimate], Floats]] = {
    "decode_tokens_per_s": lambda cost: cost.tpot / cost.workload.batch_size,
    "output_tokens_per_s": lambda cost: 1 / cost.tokens_per_second,
    "decode_ms_per_step": lambda cost: cost.tpot * 1e3,
    "prefill_ms": lambda cost: cost.ttft * 1e3,
    "prefill_tokens_per_s": lambda cost: (
        cost.ttft / (cost.workload.batch_size * cost.workload.input_length)
    ),
    "total_latency_s": lambda cost: cost.total,
}


def errors(rows: pd.DataFrame, engine: Engine) -> Floats:
    """log(predicted time / measured time) of each row: positive means too slow."""
    logs = pd.Series(0.0, index=rows.index)
    for _, group in rows.groupby(list(ALIKE)):
        logs[group.index] = group_errors(group, engine)
    return logs.to_numpy(np.float64)


def group_errors(rows: pd.DataFrame, engine: Engine) -> Floats:
    """The same for rows that share everything that is not a size: one call for all."""
    first = rows.iloc[0]
    sizes: dict[str, Any] = {name: rows[name].to_numpy(np.float64) for name in SIZES}
    lengths: dict[str, Any] = {name: rows[name].to_numpy(np.float64) for name in LENGTHS}
    spec = ModelSpec(
        **sizes,
        gated_mlp=bool(first.gated_mlp),
        tie_word_embeddings=bool(first.tie_word_embeddings),
    )
    dtype = str(first.weight_dtype)
    hardware = load_hardware(str(first.hardware))
    precision = Precision(dtype, dtype, dtype)
    cost = estimate(spec, Workload(**lengths), hardware, engine, precision)
    metric, measured = str(first.metric), rows.value.to_numpy(np.float64)
    seconds = 1 / measured if metric.endswith("per_s") else measured
    return np.log(TIMES[metric](cost) / seconds)


def fit(rows: pd.DataFrame) -> Engine:
    """Robust least squares on log time, each source weighted alike, from several starts."""

    def engine(logs: Floats) -> Engine:
        return Engine("fit", **dict(zip(FIELDS, np.exp(logs).tolist(), strict=True)))

    weights: Floats = 1 / np.sqrt(rows.groupby("source_id")["value"].transform("size").to_numpy())

    def residuals(logs: Floats) -> Floats:
        weighted: Floats = errors(rows, engine(logs)) * weights
        return weighted

    results = [
        least_squares(
            residuals,
            np.log(start),
            bounds=(np.log(LOWEST), np.log(HIGHEST) + 1e-12),
            loss="soft_l1",
            f_scale=0.1 * float(weights.mean()),
        )
        for start in STARTS
    ]
    best = min(results, key=lambda result: float(result.cost))
    return engine(np.minimum(best.x, np.log(HIGHEST)))


def without_idle(rows: pd.DataFrame, engine: Engine) -> Engine:
    """The engine without the overheads that change no prediction: the rows cannot tell them."""
    before = errors(rows, engine)
    idle = {
        name: 0.0
        for name in ("kernel_floor", "layer_host_time", "step_host_time")
        if np.allclose(errors(rows, overheads(engine, {name: 0.0})), before, atol=1e-3)
    }
    return overheads(engine, idle)


def overheads(engine: Engine, changes: dict[str, Any]) -> Engine:
    return replace(engine, **changes)


def describe(logs: Floats) -> str:
    off = np.abs(np.expm1(logs))
    return (
        f"median {np.median(off):6.1%}   90th percentile {np.quantile(off, 0.9):6.1%}   "
        f"signed median {np.median(np.expm1(logs)):+6.1%}   rows {len(off)}"
    )


def usable(table: pd.DataFrame) -> pd.DataFrame:
    devices = (load_hardware(name) for name in profile_names("hardware"))
    known = [device.name for device in devices if device.kind == "gpu"]
    keep = (
        table.metric.isin(list(TIMES))
        & table.weight_dtype.isin(["fp16", "bf16"])
        & (table.tensor_parallel == 1)
        & table[[*SIZES, *LENGTHS]].ge(1).all(axis=1)
        & table.hardware.isin(known)
        & ~((table.metric.str.startswith("decode")) & (table.output_length < 2))
    )
    return table[keep]


def main(arguments: Sequence[str]) -> None:
    beside = Path(__file__).with_name("measurements.csv")
    table = pd.read_csv(arguments[0] if arguments else beside)
    rows = usable(table)
    print(f"{len(rows)} of {len(table)} rows: 16-bit, one device, complete, a time or a rate")
    for name, group in rows.groupby("engine"):
        engine = without_idle(group, fit(group))
        print(f"\n{name}: " + ", ".join(f"{f} = {getattr(engine, f):.3g}" for f in FIELDS))
        print(f"  in the sample            {describe(errors(group, engine))}")
        for source, held in group.groupby("source_id"):
            rest = group[group.source_id != source]
            if len(rest):
                print(f"  not seen: {source:14s} {describe(errors(held, fit(rest)))}")
            else:
                print(f"  only source: {source}")
        plain = replace(engine, flops_efficiency=0.7, bandwidth_efficiency=0.9)
        plain = replace(plain, kernel_floor=0.0, layer_host_time=0.0, step_host_time=0.0)
        print(f"  0.7 / 0.9, no overheads  {describe(errors(group, plain))}")


if __name__ == "__main__":
    main(sys.argv[1:])
