"""Pages of fits of serving engines: errors by engine, device and format; a line a run."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from cost_analysis import load_engine
from tests.helpers.data import DATA

FILES = ("--served", str(DATA / "serving_runs.csv"), "--served", str(DATA / "steps_at_a_batch.csv"))


def test_the_page_tells_errors_apart(answer: Callable[..., str]) -> None:
    page = answer("fit-latency", *FILES)
    for title in ("Time per token of serving engines", "The model held out, by device",
                  "The model held out, by format", "The model held out, by model",
                  "sglang: 1 rows", "Runs that are not used"):  # fmt: skip
        assert title in page
    assert "nvfp4, attention bf16" in page
    assert "kernel_floor" in page
    assert max(map(len, page.splitlines())) <= 80


def test_a_line_a_run(answer: Callable[..., str]) -> None:
    lines = list(csv.DictReader(io.StringIO(answer("fit-latency", *FILES, "--format", "csv"))))
    assert len(lines) == 7
    assert {line["engine"] for line in lines} == {"vllm", "vllm-2025", "sglang", "tensorrt-llm"}
    for line in lines:
        assert 0.1 < float(line["held out by model"]) < 10.0


def test_profiles_are_written_and_read_again(answer: Callable[..., str], tmp_path: Path) -> None:
    answer("fit-latency", *FILES, "--profiles", str(tmp_path))
    assert sorted(path.stem for path in tmp_path.glob("*.toml")) == [
        "sglang",
        "tensorrt-llm",
        "vllm",
        "vllm-2025",
    ]
    for name, devices in (("vllm", ("b200",)), ("vllm-2025", ("h100-sxm-80gb",))):
        engine = load_engine(str(tmp_path / f"{name}.toml"))
        assert engine.kernels == load_engine(name).kernels
        assert engine.spread is not None
        assert engine.spread.devices == devices


def test_bad_input(refusal: Callable[..., str], tmp_path: Path) -> None:
    assert "or runs of serving engines with --served" in refusal("fit-latency")
    assert "cannot read" in refusal("fit-latency", "--served", str(tmp_path / "none.csv"))
    empty = tmp_path / "empty.csv"
    empty.write_text((DATA / "serving_runs.csv").read_text().splitlines()[0] + "\n")
    assert "no run that the model can represent" in refusal("fit-latency", "--served", str(empty))


@pytest.mark.parametrize("name", ["vllm", "vllm-2025", "sglang", "tensorrt-llm"])
def test_shipped_engines_of_today_have_kernels_and_a_spread(name: str) -> None:
    engine = load_engine(name)
    assert engine.kernels.products == name.removesuffix("-2025")
    assert engine.spread is not None
