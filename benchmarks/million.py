"""A million estimates in one call, and the time of one compared with llm-analysis.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/million.py

Every row has a model, a number of streams and a workload of its own; the full breakdown, each
operator of prefill and decode, is kept. If llm-analysis is installed in the same environment
(from its repository), it analyses some of the same rows, one at a time as it does.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from cost_analysis import ModelSpec, Workload, estimate, load_engine, load_hardware
from cost_analysis.common.arrays import Number

HIDDEN = np.array([896.0, 1024.0, 1280.0, 1536.0, 2048.0, 2560.0])
INNER = np.array([4864.0, 5504.0, 6912.0, 8320.0, 11008.0, 13824.0])


def request(rows: int) -> tuple[ModelSpec, Workload]:
    random = np.random.default_rng(0)
    size = random.integers(0, len(HIDDEN), rows)
    streams = (2 ** random.integers(0, 4, rows)).astype(np.float64)
    lengths = random.integers(1, 1024, (2, rows)).astype(np.float64)
    batches = (2 ** random.integers(0, 7, rows)).astype(np.float64)
    spec = ModelSpec(HIDDEN[size], INNER[size], streams=streams)
    return spec, Workload(batches, lengths[0], lengths[1])


def cpu_seconds(work: Callable[[], Any]) -> float:
    start = time.process_time()
    kept = work()
    seconds = time.process_time() - start
    del kept
    return seconds


def column(values: Number, rows: int) -> list[int]:
    """The first whole numbers of an array."""
    return [int(value) for value in np.atleast_1d(values)[:rows]]


def peer_seconds(spec: ModelSpec, workload: Workload, rows: int) -> float | None:
    """Seconds of llm-analysis for one row of arrays; None where it is not installed."""
    try:
        from llm_analysis import analysis
    except ImportError:
        return None
    analysis.logger.setLevel("ERROR")
    device = analysis.get_gpu_config_by_name("a100-sxm-80gb")
    device.mem_per_GPU_in_GB = 10_000
    columns = (
        spec.hidden_size,
        spec.intermediate_size,
        workload.batch_size * spec.streams,
        workload.input_length,
        workload.output_length,
    )
    chosen = list(zip(*(column(values, rows) for values in columns), strict=True))

    def run() -> None:
        for row in chosen:
            analyse(analysis, device, *row)

    return cpu_seconds(run) / rows


def analyse(
    analysis: Any, device: Any, hidden: int, inner: int, batch: int, prompt: int, output: int
) -> None:
    """One analysis of a model and a workload by llm-analysis."""
    model = analysis.ModelConfig(
        name="",
        num_layers=36,
        n_head=16,
        hidden_dim=hidden,
        vocab_size=151936,
        max_seq_len=4096,
        num_key_value_heads=2,
        ffn_embed_dim=inner,
        mlp_gated_linear_units=True,
    )
    analysis.LLMAnalysis(model, device, flops_efficiency=0.7, hbm_memory_efficiency=0.9).inference(
        batch_size_per_gpu=batch, seq_len=prompt, num_tokens_to_generate=output
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peer_rows", type=int, default=1000)
    options = parser.parse_args()
    device, engine = load_hardware("a100-sxm-80gb"), load_engine("graphs")
    spec, workload = request(options.rows)
    runs = [
        cpu_seconds(lambda: estimate(spec, workload, device, engine))
        for _ in range(options.repeats)
    ]
    print(
        f"{options.rows:,} estimates: {runs[0]:.2f} s of CPU for the first call "
        f"(memory is new), {min(runs):.2f} s at best of {len(runs)}"
    )
    single = [
        cpu_seconds(
            lambda: estimate(ModelSpec(2560, 13824, streams=2), Workload(2), device, engine)
        )
        for _ in range(200)
    ]
    print(f"one estimate on its own: {np.median(single) * 1e3:.3f} ms")
    peer = peer_seconds(spec, workload, options.peer_rows)
    if peer is None:
        print("llm-analysis is not installed here: no comparison")
    else:
        each = runs[0] / options.rows
        print(f"llm-analysis: {peer * 1e3:.3f} ms an analysis, {peer / each:.0f} times ours")


if __name__ == "__main__":
    main()
