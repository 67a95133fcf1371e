"""Serving runs: what each row says, and why one cannot be represented."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from cost_analysis import InputError
from cost_analysis.fitting.serving_runs import ServedRun, read_serving_runs
from tests.helpers.data import DATA

LOOPS, STEPS = DATA / "serving_runs.csv", DATA / "steps_at_a_batch.csv"


def changed(folder: Path, source: Path, **changes: str) -> ServedRun:
    """The first row of a file, changed."""
    with source.open(newline="") as file:
        row = next(csv.DictReader(file)) | changes
    path = folder / "mine.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        writer.writeheader()
        writer.writerow(row)
    (found,) = read_serving_runs(path)
    return found


@pytest.mark.golden
def test_closed_loops_are_read_as_they_are_written() -> None:
    with LOOPS.open(newline="") as file:
        rows = list(csv.DictReader(file))
    runs = read_serving_runs(LOOPS)
    assert [run.id for run in runs] == [row["id"] for row in rows]
    dense, eight, mixture, sglang = runs[:4]
    assert (dense.profile, dense.engine, dense.hardware) == (
        "llama-3.1-70b",
        "tensorrt-llm",
        "h200",
    )
    assert (dense.weights, dense.experts, dense.cache) == ("fp8", "fp8", "fp8")
    assert (dense.batch, dense.seconds) == (8.0, float(rows[0]["tpot_s"]))
    assert (eight.weights, eight.cache) == ("bf16", "bf16")
    assert (mixture.weights, mixture.experts, mixture.cache) == ("bf16", "nvfp4", "fp8")
    assert (sglang.engine, sglang.weights, sglang.cache) == ("sglang", "fp8-b128", "bf16")
    assert all(run.statistic == "mean" and not run.refusal for run in runs[:4])


@pytest.mark.golden
def test_rows_that_cannot_be_represented_say_why() -> None:
    reasons = [run.refusal for run in read_serving_runs(LOOPS)[4:]]
    assert reasons == [
        "prompts and tokens are on devices of their own, at batches that are not stated",
        "model 'Qwen/Qwen3.5-397B-A17B': layers of linear attention or state spaces are not "
        "counted",
        "attention is on 1 devices and experts on 2",
        "the devices of attention in groups are stated in two ways",
    ]


@pytest.mark.golden
def test_steps_at_a_mean_batch() -> None:
    llama, blocks, oss, refused = read_serving_runs(STEPS)
    assert (llama.batch, llama.seconds, llama.statistic) == (7.978, 0.0073161, "median")
    assert (llama.input_length, llama.engine, llama.version) == (None, "vllm-2025", "2025")
    assert (blocks.weights, blocks.tensor_parallel, blocks.expert_parallel) == ("fp8-b128", 4, 4)
    assert (oss.weights, oss.experts, oss.devices) == ("bf16", "mxfp4", 1)
    assert "chunks of attention" in refused.refusal


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"hardware": "h900"}, "h900"),
        ({"engine": "other"}, "engine 'other' is not known"),
        ({"gemm_format": "fp3"}, "format 'fp3' is not known"),
        ({"concurrency": ""}, "no concurrency"),
        ({"tpot_s": "nan", "output_tokens": "-3"}, "no output_tokens, tpot_s"),
        ({"pipeline_parallel": "2"}, "stages in a row"),
        ({"model": "someone/Model-1B"}, "model 'someone/Model-1B': it has no profile"),
    ],
)
def test_refusals(tmp_path: Path, changes: dict[str, str], reason: str) -> None:
    assert reason in changed(tmp_path, LOOPS, **changes).refusal


def test_refusals_of_steps(tmp_path: Path) -> None:
    assert "format 'q2'" in changed(tmp_path, STEPS, weight_format="q2").refusal
    assert changed(tmp_path, STEPS, mean_batch="0").refusal == "no mean_batch"


def test_groups_of_devices_each_have_the_stated_batch(tmp_path: Path) -> None:
    run = changed(tmp_path, STEPS, devices="8", data_parallel="4")
    assert (run.tensor_parallel, run.data_parallel, run.devices) == (2, 4, 8)


def test_a_file_without_a_column_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("id,model\n1,2\n")
    with pytest.raises(InputError, match="has no column 'mode'"):
        read_serving_runs(path)


@pytest.mark.parametrize(
    ("version", "engine"),
    [("", "vllm"), ("0.12.0", "vllm-2025"), ("0.13.1", "vllm-2025"), ("0.14.0", "vllm"),
     ("0.19.0", "vllm"), ("nightly-5b8c30d62b754b57", "vllm"), ("1.0.0", "vllm")],
)  # fmt: skip
def test_vllm_of_2025_is_an_engine_of_its_own(tmp_path: Path, version: str, engine: str) -> None:
    run = changed(tmp_path, LOOPS, engine="vllm", engine_version=version)
    assert run.engine == engine


def test_runs_that_may_have_drafted_tokens_are_refused(tmp_path: Path) -> None:
    """One configuration with times far apart, of a model that can draft."""
    with LOOPS.open(newline="") as file:
        row = next(csv.DictReader(file))
    path = tmp_path / "twice.csv"

    def refusals(model: str, faster: str) -> list[str]:
        rows = [row | {"model": model}, row | {"model": model, "tpot_s": faster}]
        rows.append(row | {"model": model, "concurrency": "16"})
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(row), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        return [run.refusal for run in read_serving_runs(path)]

    half, same = str(float(row["tpot_s"]) / 2.0), str(float(row["tpot_s"]) * 0.95)
    assert all("tokens may be drafted" in why for why in refusals("DeepSeek-R1", half))
    assert refusals("DeepSeek-R1", same) == ["", "", ""]
    assert refusals("Llama-3.1-70B", half) == ["", "", ""]
