"""Curves of routed experts from timings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cost_analysis import InputError
from cost_analysis.distilling.expert_curves import (
    BUCKETS,
    clean_timings,
    errors_of,
    fit_expert_curve,
    folds_of,
    held_out_errors,
    rounded,
)
from tests.helpers.kernels import H100_BLOCKS, expert_timings

CLEAN = clean_timings(expert_timings(), H100_BLOCKS)
FITTED = fit_expert_curve(CLEAN.timings, H100_BLOCKS)


def test_a_fit_of_measured_experts_holds_for_others() -> None:
    """The whole table has 12,933 rows and a median of 4 % on shapes left out; a sample less."""
    found = held_out_errors(CLEAN.timings, H100_BLOCKS)
    assert found.all.rows > 30
    assert found.all.median < 0.09
    assert found.all.ninety < 0.25
    assert found.eight is not None
    assert found.eight.median < 0.10
    assert len(found.buckets) == len(BUCKETS)


def test_four_digits_are_enough() -> None:
    shape = CLEAN.timings.shape()
    ratios = np.asarray(rounded(FITTED).seconds(shape)) / np.asarray(FITTED.seconds(shape))
    assert np.abs(ratios - 1.0).max() < 2e-3


def test_a_fit_is_the_same_each_time() -> None:
    assert fit_expert_curve(CLEAN.timings, H100_BLOCKS) == FITTED


def test_a_curve_is_found_again() -> None:
    """Timings made by a curve give back its times, at sizes that it was not fitted to as well."""
    shape = CLEAN.timings.shape()
    made = replace(CLEAN.timings, seconds=np.asarray(FITTED.seconds(shape, warm=True)))
    again = errors_of(fit_expert_curve(made, H100_BLOCKS), made)
    assert again.all.median < 0.01
    assert again.all.ninety < 0.03


def test_no_roof_is_broken() -> None:
    assert FITTED.bandwidth <= H100_BLOCKS.bandwidth * (1.0 + 1e-9)
    assert FITTED.rate <= H100_BLOCKS.peak * (1.0 + 1e-9)


def test_what_says_nothing_is_dropped_and_counted() -> None:
    timings = expert_timings()
    assert (CLEAN.unaligned, CLEAN.beyond_roof, CLEAN.slower) == (0, 0, 0)
    spoilt = replace(timings, seconds=timings.seconds.copy(), inner=timings.inner.copy())
    largest = int(spoilt.seconds.argmax())
    spoilt.seconds[largest] *= 0.01
    few = np.flatnonzero((timings.tokens == 1.0) & (np.arange(len(timings.tokens)) != largest))[0]
    spoilt.seconds[few] = 1.0
    spoilt.inner[-1] = 116.0
    found = clean_timings(spoilt, H100_BLOCKS)
    assert (found.unaligned, found.beyond_roof, found.slower) == (1, 1, 1)


def test_a_table_of_a_host_is_refused() -> None:
    timings = expert_timings()
    slow = replace(timings, seconds=timings.seconds + 200e-6)
    with pytest.raises(InputError, match="a host that launches kernels"):
        clean_timings(slow, H100_BLOCKS)


def test_too_few_timings_are_refused() -> None:
    few = expert_timings().part(np.arange(20))
    with pytest.raises(InputError, match="20 timings of experts are of use; a curve needs 100"):
        clean_timings(few, H100_BLOCKS)
    with pytest.raises(InputError, match="no timings of experts to compare"):
        errors_of(FITTED, few.part(np.zeros(20, dtype=bool)))


def test_a_shape_is_in_one_part_with_all_its_tokens() -> None:
    timings = expert_timings()
    parts = folds_of(timings)
    keys = np.stack([timings.hidden, timings.inner, timings.experts, timings.held], axis=1)
    for key in np.unique(keys, axis=0):
        assert len(set(parts[(keys == key).all(axis=1)].tolist())) == 1
    assert set(parts.tolist()) == {0, 1, 2, 3, 4}
