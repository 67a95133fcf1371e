"""What is fitted of an engine, and the priors."""

from __future__ import annotations

import pytest

from cost_analysis import load_engine
from cost_analysis.fitting.coefficients import COEFFICIENTS, QUANTISED, Coefficient


@pytest.mark.parametrize("item", [*COEFFICIENTS, *QUANTISED], ids=lambda item: item.name)
def test_each_is_a_field_of_engines_with_starts_within_its_limits(item: Coefficient) -> None:
    engine = load_engine("eager")
    of = engine.attention if item.name.startswith("attention.") else engine
    assert hasattr(of, item.name.removeprefix("attention."))
    for start in (item.start, *(value for _, value in item.starts)):
        assert item.low <= start <= item.high
    assert min(item.shared, item.of_class, item.of_engine) > 0


def test_each_is_fitted_once() -> None:
    names = [item.name for item in (*COEFFICIENTS, *QUANTISED)]
    assert len(set(names)) == len(names)


def test_starts_name_engines_that_exist() -> None:
    for item in COEFFICIENTS:
        for name, _ in item.starts:
            assert load_engine(name).name == name
