"""Increases that were measured, and their interval where some resamples say nothing."""

from __future__ import annotations

import numpy as np
import pytest

from cost_analysis.increases import Increases


def test_resamples_in_which_nothing_increases_are_left_out() -> None:
    streams = np.array([0.1, 0.1, 0.0, -0.1])
    wider = np.array([0.2, 0.4, -0.1, 0.0])
    found = Increases(0.1, 0.3, streams, wider, rounds=9)
    assert found.ratio == pytest.approx(3)
    assert found.interval == pytest.approx((2, 4))


def test_a_resample_in_which_only_parameters_add_has_no_upper_end() -> None:
    found = Increases(0.1, 0.3, np.array([0.1, 0.0]), np.array([0.2, 0.2]), rounds=9)
    assert found.interval == pytest.approx((2, np.inf))
