"""Readings, crossings and claims by format as records and pages."""

from __future__ import annotations

import math
from typing import Any

import pytest

from cost_analysis import Engine, Hardware, Precision, load_model
from cost_analysis.compare.claims import FormatClaim, Law, Ratio, Reading, format_claims, readings
from cost_analysis.compare.claims import fitted_laws as laws_of
from cost_analysis.compare.cost_models import Setting
from cost_analysis.compare.crossover import Crossing, Crossover
from cost_analysis.inputs.system import System
from cost_analysis.law.equal_loss import model_baseline
from cost_analysis.report.claims import (
    claims_page,
    crossing_record,
    crossover_page,
    format_claim_record,
    format_claims_page,
    listed,
    reading_record,
)
from tests.helpers.pages import printed

BASE, WIDER = load_model("1.6B").spec, model_baseline(load_model("2.8B").spec)
FORMATS = [Precision(), Precision("int8", "bf16", "fp8"), Precision("fp8", "fp8")]


@pytest.fixture(scope="module")
def system(a100: Hardware, graphs: Engine) -> System:
    return System(a100, graphs)


@pytest.fixture(scope="module")
def laws() -> dict[str, Law]:
    return laws_of(("stack",), samples=5)


@pytest.fixture(scope="module")
def found(system: System) -> list[FormatClaim]:
    return format_claims(BASE.with_streams(8), WIDER, Setting((1,)), system, FORMATS)


def reading(memory: Ratio, latency: Ratio, note: str = "") -> Reading:
    setting = Setting((1, 2), (64,), (64,))
    return Reading("published", "law", "stack", BASE, 8, setting, memory, latency, None, note)


def test_a_mean_over_several_values_is_listed() -> None:
    assert listed([4, 4]) == 4
    assert listed([1, 2, 4, 8]) == "1,2,4,8"
    assert listed([1, 1, 2]) == "1,1,2"


def test_a_reading_is_one_flat_record() -> None:
    record = reading_record(reading(Ratio(22.5, 20.0, 25.0), Ratio(math.inf), "why"))
    assert record == {
        "cost_model": "published", "engine": "", "baseline": "law", "dataset": "stack",
        "base": "1.6B", "P": 8, "batch_size": "1,2", "input_length": 64, "output_length": 64,
        "memory_ratio": 22.5, "memory_ratio_low": 20.0, "memory_ratio_high": 25.0,
        "latency_ratio": None, "latency_ratio_low": None, "latency_ratio_high": None,
        "baseline_parameters": None, "baseline_description": "", "note": "why",
    }  # fmt: skip


def test_the_spread_of_the_readings_is_a_sentence(laws: dict[str, Law]) -> None:
    several = [reading(Ratio(22.5), Ratio(6.0)), reading(Ratio(3.0, 2.0, 4.0), Ratio(math.inf))]
    text = printed(claims_page(several, (), laws, 0.9))
    words = " ".join(text.split())
    assert "reads as 3 to 22.5 times in memory and 6 to 6 times in latency" in words
    assert "3.00 (2.00-4.00)" in text
    assert "intervals: 90% of bootstrap refits" in words
    assert "its largest residual is the run 4.4B, P = 1" in words
    none = claims_page([reading(Ratio(), Ratio())], (), laws, 0.9)
    assert none.summary[-1] == "No reading of the claim exists here: see the notes."


def test_every_reading_is_a_row(system: System, laws: dict[str, Law]) -> None:
    every = readings(BASE, 8, [Setting((1,)), Setting((8,))], system, laws)
    page = claims_page(every, (), laws, 0.9)
    (table,) = page.tables
    assert len(table.rows) == len(every) == 8
    assert {row[:3] for row in table.rows} == {(r.cost_model, r.method, r.dataset) for r in every}
    assert "hangs on" in printed(page)


def test_crossings_and_ridges() -> None:
    crossing = Crossing("batch_size", "latency", "operators", "t4", Crossover(6, 1, 4096), "6")
    record: dict[str, Any] = crossing_record(crossing)
    assert record == {
        "axis": "batch_size", "metric": "latency", "cost_model": "operators", "device": "t4",
        "crossover": 6, "searched_from": 1, "searched_to": 4096, "meaning": "6",
    }  # fmt: skip
    page = crossover_page([crossing], "Where streams stop paying", {"t4": 117.6}, ["a note"])
    assert page.tables[0].rows == (("t4", "operators", "latency", "batch_size", "6"),)
    assert page.tables[1].rows == (("t4", "118"),)
    assert printed(page).endswith("\n* a note\n")


def test_terms_of_a_claim_in_a_format_sum_to_what_is_added(found: list[FormatClaim]) -> None:
    for claim in found:
        record = format_claim_record(claim)
        for who in ("streams", "wider"):
            held = sum(
                record[f"{who}_{name}_bytes"]
                for name in ("weights", "learned", "cache", "activations")
            )
            assert held == pytest.approx(record[f"{who}_memory_bytes"])
            times = record[f"{who}_prefill_s"] + record[f"{who}_decode_s"]
            assert times == pytest.approx(record[f"{who}_latency_s"])
        ratio = record["wider_memory_bytes"] / record["streams_memory_bytes"]
        assert record["memory_ratio"] == pytest.approx(ratio)


def test_the_page_names_products_that_the_device_widens(
    found: list[FormatClaim], system: System
) -> None:
    page = format_claims_page(found, BASE.with_streams(8), WIDER, Setting((1,)), system)
    text = printed(page)
    names = ["bf16/bf16/bf16", "int8/bf16/fp8", "fp8/fp8/bf16"]
    assert [[row[0] for row in table.rows] for table in page.tables] == [names, names]
    assert "a100-sxm-80gb has no fp8 units: fp8 products are computed in bf16" in text
    assert text.count(" units: ") == 1
