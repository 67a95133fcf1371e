"""Serving runs predicted: what prompts add, and time as a sum of what coefficients add."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cost_analysis import load_engine
from cost_analysis.cost.estimate import estimate
from cost_analysis.fitting.served_fit import prototypes
from cost_analysis.fitting.served_rows import LINEAR, represented_runs, served_rows, spec_of
from cost_analysis.fitting.serving_runs import ServedRun, read_serving_runs
from cost_analysis.inputs.dtypes import Precision
from cost_analysis.inputs.engine import Engine
from cost_analysis.inputs.layers import Attention
from cost_analysis.inputs.layout import Layout
from cost_analysis.inputs.profiles import load_hardware
from cost_analysis.inputs.spec import Workload
from tests.helpers.data import DATA

ENGINES = prototypes(load_engine("graphs"))


def read() -> list[ServedRun]:
    return [
        run
        for name in ("serving_runs.csv", "steps_at_a_batch.csv")
        for run in read_serving_runs(DATA / name)
    ]


def engine_of(run: ServedRun) -> Engine:
    return ENGINES[run.engine]


def predicted(run: ServedRun, engine: Engine | None = None) -> float:
    """Time between two tokens of a single run [s]."""
    (rows,) = served_rows([run], engine_of)
    return float(rows.predicted(engine or engine_of(run))[0])


def run_named(name: str) -> ServedRun:
    return next(run for run in read() if run.id == name)


def test_runs_that_cannot_be_represented_say_why() -> None:
    kept, refused = represented_runs(read())
    assert len(kept) == 7
    assert {run.id for run, _ in refused}.isdisjoint(run.id for run in kept)
    _, few = represented_runs(kept, most=8.0)
    assert {reason for _, reason in few} == {"more than 8 requests at a time"}
    odd = replace(kept[0], tensor_parallel=3)
    assert "must divide the 64 query heads" in represented_runs([odd])[1][0][1]


def test_time_is_the_sum_of_what_coefficients_add() -> None:
    """The rows are made with one engine, and predict another as the cost model does."""
    kept, _ = represented_runs(read())
    changed = {
        name: replace(
            engine,
            kernel_floor=7.7e-6,
            kernel_gap=1.3e-6,
            kernel_factor=1.21,
            link_latency=5.1e-6,
            elementwise_share=0.31,
            step_host_time=1.2e-3,
            sequence_host_time=3.3e-5,
        )
        for name, engine in ENGINES.items()
    }
    assert set(LINEAR) <= {name for name in LINEAR if getattr(changed["vllm"], name)}
    for rows in served_rows(kept, engine_of):
        engine = changed[rows.runs[0].engine]
        (direct,) = served_rows(rows.runs, lambda run: changed[run.engine])
        np.testing.assert_allclose(rows.predicted(engine), direct.predicted(engine), rtol=1e-9)


def test_a_single_request_is_an_estimate() -> None:
    run = replace(run_named("S3559"), batch=1.0)
    work = Workload(1, int(run.input_length or 0), int(run.output_length))
    precision, layout = Precision("fp8", kv_cache="fp8"), Layout(tensor_parallel=4)
    engine = engine_of(run)
    cost = estimate(spec_of(run), work, load_hardware("h200"), engine, precision, layout)
    assert predicted(run) == pytest.approx(float(cost.tpot), rel=1e-9)


def test_prompts_of_others_add_to_the_mean_alone() -> None:
    run = run_named("S1305")
    median = replace(run, statistic="median")
    added = predicted(run) - predicted(median)
    work = Workload(1, int(run.input_length or 0), 1)
    alone = estimate(spec_of(run), work, load_hardware(run.hardware), engine_of(run))
    prompts = (run.batch - 1.0) / (run.output_length - 1.0)
    # Its rows join those of the step: weights are read once.
    assert 0.3 * prompts * alone.ttft < added < prompts * alone.ttft
    twice = replace(run, input_length=2.0 * (run.input_length or 0))
    assert predicted(twice) - predicted(replace(twice, statistic="median")) > 1.5 * added


def test_attention_is_wide_where_the_checkpoint_keeps_it_so() -> None:
    mixture = run_named("S0202")
    assert all(isinstance(group.attention, Attention) for group in spec_of(mixture).groups)
    assert all(group.attention.wide for group in spec_of(mixture).groups)
    narrow = replace(mixture, weights="nvfp4")
    assert not any(group.attention.wide for group in spec_of(narrow).groups)
    assert predicted(narrow) < predicted(mixture)
    latent = replace(mixture, profile="deepseek-v3")
    assert all(group.attention.wide for group in spec_of(latent).groups)


def test_whole_experts_are_held_where_the_run_says_so() -> None:
    whole = run_named("E054")
    assert (whole.tensor_parallel, whole.expert_parallel) == (4, 4)
    # 8 parts of 192 columns would cut the blocks of 128 that share a scale.
    cut = replace(whole, tensor_parallel=8, expert_parallel=1)
    assert predicted(cut) == predicted(replace(cut, expert_parallel=8))
    plain = replace(cut, weights="bf16", experts="bf16")
    assert predicted(plain) != predicted(replace(plain, expert_parallel=8))
