"""Real runs on an NVIDIA GPU; skipped, with the reason, where there is none."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from cost_analysis import ModelSpec, Precision, Workload
from cost_analysis.cost.memory import memory
from cost_analysis.measure.checkpoints import check_folder
from cost_analysis.measure.journal import open_journal
from cost_analysis.measure.journal_rows import Failed, counted_runs, requests_of
from cost_analysis.measure.parallel_model import build
from cost_analysis.measure.runner import Limits, run_group
from cost_analysis.measure.session import Job, Session
from cost_analysis.telemetry.meter import Meter
from tests.helpers.data import DATA

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.torch,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here"),
]

SPEC = ModelSpec(512, 1536, 4, 8, 2, vocab_size=4096)
UUID = str(torch.cuda.get_device_properties(0).uuid) if torch.cuda.is_available() else ""


def job(engine: str = "eager", streams: int = 2, **changes: Any) -> Job:
    shape: dict[str, Any] = {
        "batch_size": 2,
        "input_length": 32,
        "output_length": 9,
        "dtype": "bf16",
    }
    return Job("x", SPEC.with_streams(streams), device="cuda", engine=engine, **(shape | changes))


@pytest.mark.parametrize("engine", ["eager", "graphs"])
def test_phases_are_timed_on_the_device(engine: str, tmp_path: Path) -> None:
    with open_journal(tmp_path / "run.jsonl", resume=False) as journal, Meter(UUID) as meter:
        run_group([job(engine)], Limits(30, 8, 5), journal, lambda *_: None, meter)
        assert journal.of(Failed) == []
        runs = counted_runs(journal.rows)
    for request in (request for run in runs for request in requests_of(run)):
        assert len(request.steps) == 8
        assert 0 < min(request.steps) <= max(request.steps) < 1
    for run in runs:
        assert isinstance(run.memory_loaded_bytes, int)
        assert isinstance(run.memory_reserved_bytes, int)
        assert isinstance(run.device_memory_used_bytes, float)
        assert run.memory_before_bytes <= run.memory_loaded_bytes < run.memory_peak_bytes
        assert run.memory_peak_bytes <= run.memory_reserved_bytes
        assert run.device_memory_used_bytes > run.memory_peak_bytes
        assert run.energy_joules is None or run.energy_joules > 0
    assert not any("other process" in finding for finding in meter.findings())


def test_graphs_are_recorded_once_and_beat_eager_steps() -> None:
    """A deep, narrow model is bound by the host when it runs op by op."""
    steps = {}
    for engine in ("eager", "graphs"):
        session = Session(job(engine, streams=1, batch_size=1))
        for _ in range(6):
            session.run()
        steps[engine] = min(min(session.run().steps) for _ in range(5))
    assert steps["graphs"] < steps["eager"]


def test_both_engines_give_the_same_logits() -> None:
    model = build(SPEC.with_streams(4), device="cuda", dtype="fp32")
    tokens = torch.randint(0, 4096, (2, 16), device="cuda")
    found = []
    with torch.inference_mode():
        for cache in (model.new_cache(2), model.new_cache(2, 20)):
            model(tokens, cache)
            position = torch.full((1, 1), 16, device="cuda")
            found.append(model(tokens[:, :1], cache, positions=position))
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-3)


def test_a_renewed_cache_forgets_the_last_request() -> None:
    model = build(SPEC.with_streams(2), device="cuda", dtype="fp32")
    first, second = torch.randint(0, 4096, (2, 1, 16), device="cuda")
    with torch.inference_mode():
        cache = model.new_cache(1, 16)
        expected = model(first, cache)
        model.renew(cache, 1)
        model(second, cache)
        model.renew(cache, 1)
        torch.testing.assert_close(model(first, cache), expected)


def test_memory_is_what_the_core_counts() -> None:
    """A model whose parts are far larger than what an allocator rounds up to."""
    spec = ModelSpec(2048, 5632, 8, 16, 4, vocab_size=32000).with_streams(4)
    work = Workload(2, 512, 8)
    session = Session(Job("x", spec, 2, 512, 8, "bf16", "cuda"))
    session.run()
    predicted = float(memory(spec, work, Precision()).total)
    measured = session.memory["peak"] - session.memory["before"]
    assert measured == pytest.approx(predicted, rel=0.05)


def test_parity_on_the_device() -> None:
    """The recorded logits are float32; TF32 would not do."""
    torch.backends.cuda.matmul.allow_tf32 = False
    outcomes = list(check_folder(DATA / "parity", device="cuda"))
    assert len(outcomes) == 88
    worst = max(max(outcome.prefill_error, outcome.decode_error) for outcome in outcomes)
    assert worst < 1e-3


def test_a_tiny_validation(tmp_path: Path) -> None:
    path = tmp_path / "tiny.jsonl"
    command = [sys.executable, "-m", "cost_analysis", "validate", "--size", "tiny", "--dtype",
               "bf16", "--device", "cuda", "--rounds", "6", "--output", str(path)]  # fmt: skip
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert run.returncode in (0, 3), run.stderr
    plan = json.loads(path.read_text().splitlines()[0])
    assert plan["machine"]["gpu"] == torch.cuda.get_device_name(0)
    assert "Ratio of increases" in run.stdout
