"""The engines without measured terms answer to the last bit as before there were such terms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cost_analysis import Precision, Workload, estimate, load_engine, load_hardware, load_model

pytestmark = pytest.mark.golden

CASES = json.loads((Path(__file__).parents[1] / "data" / "plain_roofline.json").read_text())


def test_both_engines_are_there() -> None:
    assert {case["engine"] for case in CASES} == {"ideal", "llm-analysis"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['engine']}-{case['model']}")
def test_times_are_the_recorded_ones(case: dict[str, Any]) -> None:
    weights = case["weights"]
    wide = "bf16" if weights in ("int4", "fp8") else weights
    cost = estimate(
        load_model(case["model"]).spec.with_streams(case["streams"]),
        Workload(case["batch_size"], case["input_length"], case["output_length"]),
        load_hardware(case["device"]),
        load_engine(case["engine"]),
        Precision(weights, wide, wide),
    )
    assert float(cost.ttft).hex() == case["ttft"]
    assert float(cost.decode.seconds).hex() == case["decode"]
    assert cost.interval(cost.total) is None
