"""Rates of a measured phase, and when a case of the parity check passes."""

from __future__ import annotations

import pytest

from cost_analysis.measure.results import TOLERANCE, Outcome, Phase


def test_rates_are_over_the_median_time() -> None:
    phase = Phase("prefill", 2.0, 1.0, 4.0, None, flops=6e12, bytes=1e9)
    assert (phase.flops_rate, phase.bytes_rate) == (3e12, 5e8)


@pytest.mark.parametrize(
    ("prefill", "decode", "same", "passes"),
    [
        (0.0, 0.0, None, True),
        (TOLERANCE, TOLERANCE, True, True),
        (1.01 * TOLERANCE, 0.0, None, False),
        (0.0, 1.01 * TOLERANCE, True, False),
        (0.0, 0.0, False, False),
    ],
)
def test_a_case_passes_within_the_tolerance_with_the_same_tokens(
    prefill: float, decode: float, same: bool | None, passes: bool
) -> None:
    outcome = Outcome("m", "greedy", "eager", "static", prefill, decode, same)
    assert outcome.passed == passes
