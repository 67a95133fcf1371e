"""Coverage of what was left out: counted by hand, written, and that of the shipped engines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cost_analysis.common.errors import InputError
from cost_analysis.fitting.coverage import (
    LEFT_OUT,
    Coverage,
    coverage_text,
    coverages,
    read_coverages,
)
from cost_analysis.fitting.held_out import Traits, held_out
from cost_analysis.inputs.profiles import profile_names


def six_labs() -> tuple[list[Traits], list[float]]:
    """Five labs that agree within 5 %, and one whose rows are twice as slow."""
    rows = [
        Traits(f"lab {lab}", f"engine {lab % 2}", "graphs", "a100", weights="bf16")
        for lab in range(6)
        for _ in range(4)
    ]
    return rows, [0.7 if row.source == "lab 5" else 0.05 for row in rows]


def test_coverage_of_a_lab_that_is_far_off() -> None:
    rows, errors = six_labs()
    rows[0] = Traits("lab 0", "engine 0", "graphs", "h100", weights="fp16")
    labels = {"held out by source": [row.source for row in rows]}
    points = held_out(rows, {"held out by source": -np.array(errors)}, labels)
    found = {(item.left_out, item.name): item for item in coverages(rows, points)}
    assert found["source", "lab 1"].covered == 1.0
    assert found["source", "lab 5"].covered == 0.0
    assert found["source", "lab 5"].rows == 4
    assert found["source", "lab 5"].high < 2.0  # which its own rows would have widened
    assert found["device", "h100"].rows == 1
    assert ("device", "a100") not in found  # in no fold was it new
    assert (found["format", "bf16"].rows, found["format", "fp16"].rows) == (23, 1)


def test_too_few_groups_have_no_coverage() -> None:
    rows, errors = six_labs()
    rows, errors = rows[:12], errors[:12]
    labels = {"held out by source": [row.source for row in rows]}
    assert coverages(rows, held_out(rows, {"held out by source": np.array(errors)}, labels)) == []


def test_coverages_survive_writing_and_reading(tmp_path: Path) -> None:
    items = [Coverage("source", "LAB", 12, 0.5, 0.8, 1.25), Coverage("device", "t4", 1, 0.0, 1, 1)]
    file = tmp_path / "coverage.csv"
    file.write_text(coverage_text(items))
    assert read_coverages(file) == items
    file.write_text(file.read_text().replace("0.500", "half"))
    with pytest.raises(InputError, match="coverage 'half' is not a number"):
        read_coverages(file)
    file.write_text("left_out,name\n")
    with pytest.raises(InputError, match="rows"):
        read_coverages(file)


@pytest.mark.golden
def test_the_shipped_intervals_cover_four_in_five() -> None:
    """Of sources and engines, each with the same weight, as `fit-latency` found."""
    items = read_coverages()
    assert {item.left_out for item in items} == set(LEFT_OUT)
    chosen = [item for item in items if item.left_out in ("source", "engine")]
    assert len(chosen) > 20
    assert np.mean([item.covered for item in chosen]) == pytest.approx(0.8, abs=0.07)
    engines = {item.name for item in items if item.left_out == "engine"}
    assert engines <= set(profile_names("engines"))
