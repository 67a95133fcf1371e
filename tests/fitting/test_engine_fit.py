"""The fit of the latency model finds what made the data, and is what the profiles hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cost_analysis.fitting import accuracy
from cost_analysis.fitting.accuracy import described
from cost_analysis.fitting.engine_fit import COEFFICIENTS, EngineFit, fit_engines, with_coefficients
from cost_analysis.fitting.measurements import Measurement
from cost_analysis.fitting.predictions import (
    class_engines,
    engine_of,
    in_own_unit,
    rows_of,
    stacked_engine,
)
from tests.helpers.measured import source


@pytest.mark.golden
def test_it_finds_the_coefficients_that_made_the_data(rows: list[Measurement]) -> None:
    """Rows of graphs engines, their values replaced by what known coefficients would measure."""
    chosen = [row for row in rows if row.engine_class == "graphs"]
    truth = {"kernel_floor": 3.5e-6, "bandwidth_efficiency": 0.9, "step_host_time": 2e-3}
    numbers = [truth.get(item.name, item.start) for item in COEFFICIENTS]
    engine = with_coefficients(class_engines()["graphs"], COEFFICIENTS, np.array(numbers))
    made = list(chosen)
    for group in rows_of(chosen):
        stacked = stacked_engine([engine] * len(group.places))
        for place, seconds in zip(group.places, group.predicted(stacked), strict=True):
            made[place] = replace(chosen[place], value=in_own_unit(chosen[place], float(seconds)))
    fit = fit_engines(made)
    assert np.abs(fit.errors(made)).max() < 0.05
    for name, value in truth.items():
        assert getattr(fit.engines["vllm-2024"], name) == pytest.approx(value, rel=0.25), name


@pytest.mark.golden
def test_every_shipped_engine_predicts_what_the_fit_recorded(
    rows: list[Measurement], recorded: dict[str, dict[str, str]]
) -> None:
    """Profiles round their coefficients to three digits."""
    fit = EngineFit({engine_of(row).name: engine_of(row) for row in rows}, {}, {})
    ratios = np.exp(fit.errors(rows))
    for row, ratio in zip(rows, ratios, strict=True):
        expected = float(recorded[row.texts["id"]]["in the sample"])
        assert ratio == pytest.approx(expected, rel=0.02)


@pytest.mark.golden
def test_a_device_without_measurements_has_the_wider_interval() -> None:
    for name in ("eager", "graphs", "native"):
        spread = class_engines()[name].spread
        assert spread is not None
        known, other = spread.interval(1.0, spread.devices[0]), spread.interval(1.0, "abacus")
        assert other[0] < known[0] < 1 < known[1] < other[1]


@pytest.mark.golden
def test_a_fit_says_what_it_rests_on(rows: list[Measurement]) -> None:
    few = [row for row in rows if source(row) in ("GPTFAST", "ITREX")]
    fit = fit_engines(few, 2)
    errors = dict.fromkeys(("in the sample", *accuracy.FOLDS), fit.errors(few))
    result = described(fit, few, errors)
    assert "on 15 published rows (GPTFAST; a100-sxm-80gb, mi250x-gcd)" in (
        result.engines["gpt-fast"].source
    )
    assert result.rows["gpt-fast"] == 15
    assert set(result.engines) == {"gpt-fast", "graphs", "itrex", "cpu"}
    assert result.engines["itrex"].spread is None  # two sources are too few for an interval


@pytest.mark.golden
def test_an_engine_has_the_spread_of_what_is_known_of_it(
    rows: list[Measurement], recorded: dict[str, dict[str, str]]
) -> None:
    logs = {
        how: np.log([float(recorded[row.texts["id"]][how]) for row in rows])
        for how in ("in the sample", *accuracy.FOLDS)
    }
    engines = class_engines() | {engine_of(row).name: engine_of(row) for row in rows}
    fit = EngineFit(engines, {}, dict.fromkeys(engines, 1))
    spreads = {n: engine.spread for n, engine in described(fit, rows, logs).engines.items()}
    known, unknown = spreads["vllm-2024"], spreads["graphs"]
    assert known is not None
    assert unknown is not None
    assert unknown.low < known.low < 1.0 < known.high < unknown.high
    assert (known.of_class, unknown.of_class) == (False, True)
    assert set(known.devices) < set(unknown.devices)
    assert known.new_device > 1.1
