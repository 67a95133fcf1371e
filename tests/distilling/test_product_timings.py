"""Tables of products: what is cleaned away, and which shapes are left out."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from cost_analysis.distilling.product_timings import (
    FOLDS,
    ProductFacts,
    ProductTimings,
    clean_timings,
    fold_of,
)

FACTS = ProductFacts(132.0, 50 * 2.0**20, 3.35e12, 989e12, 2.0, 2.0)
ROWS = (1.0, 8.0, 64.0, 1024.0)
WIDTHS = (64.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0, 65536.0)


def timings(*rows: tuple[float, float, float, float]) -> ProductTimings:
    """Of rows, inputs, outputs and seconds."""
    return ProductTimings(*np.array(rows).T)


def grid() -> ProductTimings:
    """A grid of shapes, each 3 µs longer than its slower roof."""
    rows, inputs, outputs = np.array(list(product(ROWS, WIDTHS, WIDTHS))).T
    roofs = np.maximum(2 * rows / FACTS.peak, 2 / FACTS.bandwidth) * inputs * outputs
    return ProductTimings(rows, inputs, outputs, 3e-6 + roofs)


def test_repeats_become_their_median() -> None:
    times = (5e-6, 9e-6, 6e-6)
    three = timings(*((1, 512, 512, time) for time in times), (2, 512, 512, 7e-6))
    clean = clean_timings(three, FACTS)
    assert clean.repeated == 2
    assert clean.timings.seconds.tolist() == [6e-6, 7e-6]
    two = timings((1, 512, 512, 5e-6), (1, 512, 512, 9e-6))
    assert clean_timings(two, FACTS).timings.seconds.tolist() == pytest.approx([7e-6])


def test_what_breaks_a_roof_goes() -> None:
    """8192³ takes 1.11 ms at peak; 134 MB less L2 take 24 µs from memory."""
    table = timings(
        (8192, 8192, 8192, 1.10e-3),
        (8192, 8192, 8192 + 64, 1.13e-3),
        (1, 8192, 8192, 23e-6),
        (2, 8192, 8192, 26e-6),
    )
    clean = clean_timings(table, FACTS)
    assert clean.beyond_roofs == 2
    assert sorted(clean.timings.seconds.tolist()) == [26e-6, 1.13e-3]


def test_times_of_the_host_go() -> None:
    """A floor of 60 µs under products that take 3: only what is far longer is of the kernel."""
    table = grid()
    slow = replace(table, seconds=np.maximum(table.seconds, 60e-6))
    clean = clean_timings(slow, FACTS)
    assert clean.host_bound == (slow.seconds < 90e-6).sum() > 100
    assert clean.timings.seconds.min() >= 90e-6
    assert clean.is_of_host == (clean.host_bound > len(clean.timings.seconds))
    assert clean_timings(table, FACTS).host_bound == 0
    assert not clean_timings(table, FACTS).is_of_host


def test_a_table_may_be_of_the_host_alone() -> None:
    table = grid()
    slow = replace(table, seconds=np.maximum(table.seconds, 300e-6))
    assert clean_timings(slow, FACTS).is_of_host


def test_parts_are_whole_shapes_and_stay_the_same() -> None:
    """The numbers are fixed: what was left out before must not be fitted on later."""
    inputs = np.array([4096.0, 128.0, 8192.0, 1024.0, 65536.0, 2048.0])
    outputs = np.array([4096.0, 512.0, 1024.0, 6144.0, 4096.0, 2048.0])
    assert fold_of(inputs, outputs).tolist() == [2, 0, 4, 2, 3, 0]
    table = grid()
    folds = fold_of(table.inputs, table.outputs)
    assert set(folds.tolist()) == set(range(FOLDS))
    of_shape = dict(zip(zip(table.inputs, table.outputs, strict=True), folds, strict=True))
    assert [of_shape[shape] for shape in zip(table.inputs, table.outputs, strict=True)] == (
        folds.tolist()
    )
