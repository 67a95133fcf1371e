"""Errors on rows that a fit has not seen."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from cost_analysis import latency_folds
from cost_analysis.accuracy import represented
from cost_analysis.latency_fit import EngineFit, fit_engines
from cost_analysis.latency_folds import held_out_errors
from cost_analysis.measurements import MEMORY_METRIC, Measurement, read_measurements
from cost_analysis.predictions import class_engines
from tests.helpers.data import DATA

HELD_OUT = DATA / "held_out_times.csv"


@pytest.fixture(scope="module")
def rows() -> list[Measurement]:
    kept, refused = represented(read_measurements())
    assert not refused
    return [row for row in kept if row.metric != MEMORY_METRIC]


@pytest.fixture(scope="module")
def recorded() -> dict[str, dict[str, str]]:
    """What `fit-latency --format csv` printed: predicted / measured time of every row."""
    with HELD_OUT.open(newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def source(row: Measurement) -> str:
    return row.texts["source_id"]


@pytest.mark.golden
def test_a_fold_is_never_in_its_own_fit(
    rows: list[Measurement], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[str]] = []
    fit = EngineFit(class_engines(), {}, {})

    def spy(measurements: list[Measurement], most_evaluations: int) -> EngineFit:
        assert most_evaluations > 0
        seen.append({source(row) for row in measurements})
        return fit

    monkeypatch.setattr(latency_folds, "fit_engines", spy)
    errors = held_out_errors(rows, source)
    sources = sorted({source(row) for row in rows})
    assert np.isfinite(errors).all()
    assert [set(sources) - kept for kept in seen] == [{name} for name in sources]


@pytest.mark.golden
def test_a_single_source_is_held_out_against_the_priors(rows: list[Measurement]) -> None:
    """With no row left, the engines are where physics and single operators start them."""
    few = [row for row in rows if source(row) == "GPTFAST"]
    errors = held_out_errors(few, source, 2)
    assert np.isfinite(errors).all()
    assert np.median(np.abs(np.expm1(errors))) < 0.5


@pytest.mark.slow
@pytest.mark.golden
def test_a_recorded_fold_is_what_the_fit_gives(
    rows: list[Measurement], recorded: dict[str, dict[str, str]]
) -> None:
    kept = [row for row in rows if source(row) != "FT"]
    held = [row for row in rows if source(row) == "FT"]
    ratios = np.exp(fit_engines(kept).errors(held))
    for row, ratio in zip(held, ratios, strict=True):
        expected = float(recorded[row.texts["id"]]["held out by source"])
        assert ratio == pytest.approx(expected, rel=0.02)


WIDE = ("bf16", "fp16", "fp32")


@pytest.mark.golden
@pytest.mark.parametrize("name", ["eager", "graphs", "native"])
def test_intervals_cover_four_in_five_held_out_rows(
    recorded: dict[str, dict[str, str]], name: str
) -> None:
    spread = class_engines()[name].spread
    assert spread is not None
    own = [row for row in recorded.values() if row["engine_class"] == name]
    ratios = [1 / float(row["held out by source"]) for row in own if row["weight_dtype"] in WIDE]
    covered = np.mean([spread.low <= ratio <= spread.high for ratio in ratios])
    assert len(ratios) > 50
    assert covered == pytest.approx(0.8, abs=0.07)
