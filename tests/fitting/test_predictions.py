"""What the model says for rows of measurements, all at once and one by one."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cost_analysis import InputError, Precision, Workload, estimate, load_engine, load_hardware
from cost_analysis.fitting.measurements import METRICS, Measurement
from cost_analysis.fitting.predictions import (
    class_engines,
    engine_of,
    in_own_unit,
    measured_seconds,
    rows_of,
    stacked_engine,
    stacked_hardware,
)
from cost_analysis.inputs.layout import Layout
from cost_analysis.inputs.spec import ModelSpec

SIZES: dict[str, Any] = {
    "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 22,
    "num_attention_heads": 32, "num_key_value_heads": 4, "head_dim": 64, "vocab_size": 32000,
}  # fmt: skip
TIMES = [metric for metric in METRICS if not metric.startswith("peak")]


def row(metric: str = "total_latency_s", value: float = 2.0, **changes: Any) -> Measurement:
    texts = {
        "id": "x", "source_id": "S", "model": "m", "weight_dtype": "fp16", "engine": "graphs",
        "engine_detail": "", "hardware": "a100-sxm-80gb", "hardware_detail": "",
        "metric": metric, "note": "",
    }  # fmt: skip
    lengths = {"batch_size": 4, "input_length": 100, "output_length": 20}
    switches = {"gated_mlp": True, "tie_word_embeddings": False}
    texts |= {name: changes[name] for name in changes if name in texts}
    lengths |= {name: changes[name] for name in changes if name in lengths}
    return Measurement(texts, SIZES, lengths, switches, changes.get("devices", 1), value)


def predicted(measurement: Measurement) -> float:
    (rows,) = rows_of([measurement])
    (seconds,) = rows.predicted(engine_of(measurement))
    return in_own_unit(measurement, float(seconds))


@pytest.mark.parametrize("devices", [1, 4])
@pytest.mark.parametrize("metric", TIMES)
def test_each_metric_is_made_of_an_estimates_phases(metric: str, devices: int) -> None:
    work = Workload(4, 100, 20)
    cost = estimate(
        ModelSpec(**SIZES, qkv_bias=False), work, load_hardware("a100-sxm-80gb"),
        load_engine("graphs"), Precision("fp16", "fp16", "fp16"), Layout(devices),
    )  # fmt: skip
    expected = {
        "prefill_ms": cost.ttft * 1e3,
        "prefill_tokens_per_s": 4 * 100 / cost.ttft,
        "decode_ms_per_step": cost.tpot * 1e3,
        "decode_tokens_per_s": 4 / cost.tpot,
        "output_tokens_per_s": 4 * 20 / cost.total,
        "total_latency_s": cost.total,
    }
    assert predicted(row(metric, devices=devices)) == pytest.approx(expected[metric], rel=1e-9)


@pytest.mark.parametrize(
    ("metric", "seconds"),
    [("prefill_ms", 0.002), ("decode_ms_per_step", 0.002), ("total_latency_s", 2.0),
     ("decode_tokens_per_s", 0.5), ("output_tokens_per_s", 0.5)],
)  # fmt: skip
def test_values_as_seconds_and_back(metric: str, seconds: float) -> None:
    measurement = row(metric, 2.0)
    assert measured_seconds(measurement) == seconds
    assert in_own_unit(measurement, seconds) == 2.0


@pytest.mark.property
def test_rows_together_are_rows_alone() -> None:
    """Over devices, formats and metrics that share an array call, and those that do not."""
    rows = [
        row(metric, weight_dtype=dtype, hardware=device, devices=devices, batch_size=batch)
        for metric in TIMES
        for dtype, batch in (("fp16", 1), ("int8", 9))
        for device, devices in (("a100-sxm-80gb", 2), ("t4", 1), ("h100-sxm-80gb", 8))
    ]
    engines = [engine_of(each) for each in rows]
    together = np.full(len(rows), math.nan)
    for group in rows_of(rows):
        stacked = stacked_engine([engines[place] for place in group.places])
        together[group.places] = group.predicted(stacked)
        assert group.seconds == pytest.approx([measured_seconds(m) for m in group.measurements])
    alone = [float(rows_of([each])[0].predicted(engine)[0])
             for each, engine in zip(rows, engines, strict=True)]  # fmt: skip
    assert together == pytest.approx(alone, rel=1e-12)


def test_an_engine_is_named_by_its_words() -> None:
    assert engine_of(row(engine_detail="vLLM 0.4.2")).name == "vllm-2024"
    assert engine_of(row(engine_detail="pytorch-labs/gpt-fast, int4")).name == "gpt-fast"
    assert engine_of(row(engine_detail="nobody knows it")) == class_engines()["graphs"]
    # Engines of processors are only asked there.
    assert engine_of(row(engine_detail="vLLM", hardware="epyc-9654")).engine_class == "cpu"
    with pytest.raises(InputError, match="engine class 'steam' is none of"):
        engine_of(row(engine="steam"))


def test_devices_as_one_have_the_peaks_that_all_of_them_have() -> None:
    t4, h100 = load_hardware("t4"), load_hardware("h100")
    stacked = stacked_hardware([t4, h100])
    assert np.asarray(stacked.bandwidth).tolist() == [t4.bandwidth, h100.bandwidth]
    assert np.asarray(stacked.peak["fp16"]).tolist() == [t4.peak["fp16"], h100.peak["fp16"]]
    alone = replace(t4, interconnect=None)
    links = stacked_hardware([alone]).interconnect
    assert np.asarray(links).tolist() == [1e30]
