"""A row of a sweep is the estimate of that row, to the last bit; fronts and extremes by scan."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cost_analysis import InputError, Precision, Workload, sweep
from cost_analysis.cost.estimate import answer
from cost_analysis.inputs.request import make_request, model_asked
from cost_analysis.inputs.system import named_system
from cost_analysis.report.estimate_record import estimate_row
from cost_analysis.search.grid import make_grid
from cost_analysis.search.sweep import (
    MEASURES,
    OBJECTIVES,
    check,
    merged,
    objectives_named,
    summary_of,
)

ASKED = {"P": "streams", "parscale_prefix_tokens": "prefix_tokens"}


def single(row: dict[str, Any]) -> dict[str, Any]:
    """The estimate of a row alone, as `estimate --format csv` gives it."""
    sizes = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
             "num_key_value_heads", "head_dim", "vocab_size", "P",
             "parscale_prefix_tokens")  # fmt: skip
    formats = Precision(row["weight_dtype"], row["activation_dtype"], row["kv_cache_dtype"])
    request = make_request(
        model_asked(None, {ASKED.get(name, name): row[name] for name in sizes}),
        Workload(row["batch_size"], row["input_length"], row["output_length"]),
        replace(named_system(row["gpu_config"], row["engine"]), precision=formats),
    )
    return estimate_row(answer(request))


def few(low: int, high: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(low, high), min_size=1, max_size=2, unique=True)


@pytest.mark.property
@settings(max_examples=25, deadline=None)
@given(
    hidden=few(1, 40).map(lambda sizes: [64 * size for size in sizes]),
    heads=st.sampled_from([[8], [8, 16]]),
    streams=few(1, 9),
    batch=few(1, 500),
    prompt=few(1, 3000),
    output=few(1, 300),
    device=st.sampled_from(["a100-sxm-80gb", "rtx-4090", "xeon-8480"]),
    weights=st.sampled_from(["bf16", "int4"]),
)
def test_a_row_is_its_estimate(
    hidden: list[int], heads: list[int], streams: list[int], batch: list[int], prompt: list[int],
    output: list[int], device: str, weights: str,
) -> None:  # fmt: skip
    frame = sweep(
        hidden_size=hidden, num_attention_heads=heads, P=streams, batch_size=batch,
        input_length=prompt, output_length=output, gpu_config=device, weight_dtype=weights,
        num_hidden_layers=3,
    )  # fmt: skip
    for _, row in frame.sample(min(len(frame), 3), random_state=0).iterrows():
        alone = single({str(name): value for name, value in row.items()})
        shared = [name for name in frame.columns if name in alone]
        assert len(shared) > 40
        for name in shared:
            ours, theirs = row[name], alone[name]
            if theirs is None:
                assert math.isnan(ours), name
            else:
                assert ours == theirs, name


@pytest.mark.property
def test_its_sums_close() -> None:
    frame = sweep(model="1.6B,2.8B", P="1,4", batch_size="1:64:x4", output_length="1,100")
    for phase, whole in (("prefill", "latency_ttft_s"), ("decode", "latency_decode_s")):
        parts = frame.filter(regex=f"^{phase}_.*_s$").sum(axis=1)
        np.testing.assert_allclose(parts, frame[whole], rtol=1e-12)
    np.testing.assert_array_equal(
        frame.memory_total_bytes,
        frame.memory_weights_bytes + frame.memory_kv_cache_bytes + frame.memory_activations_bytes,
    )
    alone = frame[frame.P == 1]
    assert (alone.filter(regex="^increase_(memory|ttft|latency)") == 0).all(axis=None)
    assert (frame[frame.P == 4].increase_memory_bytes > 0).all()
    assert frame[frame.output_length == 1].latency_tpot_s.isna().all()


def test_what_does_not_fit_the_memory_is_refused() -> None:
    with pytest.raises(InputError, match="too many for the memory"):
        sweep(model="1.6B", batch_size="1:10000", input_length="1:10000")


def columns_of(frame: pd.DataFrame) -> dict[str, Any]:
    return {name: frame[name].to_numpy() for name in frame.columns}


@pytest.mark.property
@settings(max_examples=20, deadline=None)
@given(
    objectives=st.lists(st.sampled_from([*MEASURES, "device_free_bytes"]), min_size=1, max_size=3,
                        unique=True),
    cuts=st.lists(st.integers(1, 95), max_size=3, unique=True).map(sorted),
)  # fmt: skip
def test_a_summary_of_parts_is_that_of_the_whole(objectives: list[str], cuts: list[int]) -> None:
    frame = FRAME
    ends = [0, *cuts, len(frame)]
    parts = [frame[a:b] for a, b in pairwise(ends) if b > a]
    total = merged((summary_of(columns_of(part), objectives) for part in parts), objectives)
    assert total.rows == len(frame)
    assert total.fitting == int(frame.device_fits.sum())
    for name in MEASURES:
        assert total.least is not None
        assert total.most is not None
        assert total.least[name][name] == frame[name].min()
        assert total.most[name][name] == frame[name].max()
    assert key(total.front, objectives) == scanned(frame, objectives)


FRAME = sweep(model="1.6B,yi-34b", gpu_config="rtx-4090,h100-sxm-80gb", P="1,8",
              batch_size="1:64:x8", input_length="64,2048", output_length="1,64")  # fmt: skip


def key(rows: Any, objectives: list[str]) -> list[tuple[float, ...]]:
    return sorted(tuple(row[name] for name in objectives) for row in rows)


def scanned(frame: pd.DataFrame, objectives: list[str]) -> list[tuple[float, ...]]:
    """The Pareto front by comparing every pair of rows that fit."""
    fit = frame[frame.device_fits].dropna(subset=objectives)
    signs = [-1 if name in ("tokens_per_s", "device_free_bytes") else 1 for name in objectives]
    values = fit[objectives].to_numpy() * signs
    front = [
        row
        for (_, row), own in zip(fit.iterrows(), values, strict=True)
        if not ((values <= own).all(axis=1) & (values < own).any(axis=1)).any()
    ]
    return key(front, objectives)


def test_objectives_are_columns_of_numbers() -> None:
    assert objectives_named(OBJECTIVES) == OBJECTIVES
    with pytest.raises(InputError, match="unknown column of numbers 'model'"):
        objectives_named(["model"])
    with pytest.raises(InputError, match="each once"):
        objectives_named(["tokens_per_s", "tokens_per_s"])


def test_a_grid_that_contradicts_itself_is_refused_before_it_is_calculated() -> None:
    check(make_grid({"model": "1.6B", "P": "1:1000", "batch_size": "1:1000"}))
    for axes, sentence in (
        ({"hidden_size": [128, 192], "num_attention_heads": [16, 12]}, "must be divisible by"),
        ({"model": "1.6B", "P": [8, 0], "batch_size": "1:1000"}, "P is 0"),
        ({"model": "1.6B", "engine": "eager,greedy"}, "unknown engine 'greedy'"),
    ):
        with pytest.raises(InputError, match=sentence):
            check(make_grid(axes))
