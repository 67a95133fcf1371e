"""Timings of attention kernels: one for each shape, none that breaks a roof, and stable parts."""

from __future__ import annotations

import numpy as np
import pytest

from cost_analysis import InputError
from cost_analysis.distilling.attention_timings import (
    FOLDS,
    MOST_ROWS,
    folds_of,
    pairs_of,
    sample_of,
    timings_of,
)
from cost_analysis.kernels.shapes import Attention, LatentAttention


def shape(sequences: list[float], context: list[float]) -> Attention:
    sizes = (np.array(sequences), 1.0, np.array(context), 16.0, 2.0, 128.0, 0.0)
    return Attention(*sizes, cache="bf16", decodes=True)


def test_a_shape_that_was_timed_often_counts_once_with_its_median() -> None:
    timings = timings_of(shape([8, 1, 8, 8], [9, 9, 9, 9]), np.array([3.0, 1.0, 2.0, 7.0]))
    assert np.array_equal(timings.shape.sequences, [1, 8])
    assert timings.seconds.tolist() == [1.0, 3.0]
    assert (timings.shape.cache, timings.shape.decodes, timings.dropped) == ("bf16", True, 0)


def test_large_reads_beyond_the_bandwidth_are_dropped_and_counted() -> None:
    """1024 bytes a position: a million take 1.07 GB, at 2 TB/s half a millisecond."""
    long = shape([1, 1, 1], [1 << 20, 1 << 20, 1 << 14])
    seconds = np.array([4e-4, 4e-4, 1e-6])
    timings = timings_of(long._replace(kv_heads=np.array([1.0, 2.0, 2.0])), seconds, 2e12)
    assert timings.dropped == 1
    # Half the cache is slow enough; 17 MB may lie in L2, however fast they are.
    assert sorted(timings.seconds.tolist()) == [1e-6, 4e-4]
    bounded = long._replace(window=128.0)
    assert timings_of(bounded, seconds, 2e12).dropped == 0


@pytest.mark.parametrize("seconds", [[], [0.0], [np.nan], [-1.0]])
def test_what_is_no_timing(seconds: list[float]) -> None:
    with pytest.raises(InputError, match="positive numbers, at least one"):
        timings_of(shape([1.0] * len(seconds), [9.0] * len(seconds)), np.array(seconds))


def test_parts_hold_all_numbers_of_sequences_and_never_move() -> None:
    context = np.arange(1.0, 2001.0)
    folds = folds_of(shape([1.0], list(context)))
    assert folds[:8].tolist() == folds_of(shape([8.0], list(context[:8]))).tolist()
    assert np.bincount(folds, minlength=FOLDS).min() > 300
    assert folds[:10].tolist() == [1, 3, 1, 0, 2, 1, 3, 1, 4, 3]
    latent = LatentAttention(np.array([1.0, 8.0]), 1.0, 9.0, 16.0, 576.0, "fp8", True)
    assert len(set(folds_of(latent).tolist())) == 1


def test_pairs_are_of_one_sequence_and_eight() -> None:
    ones, eights = pairs_of(shape([1, 8, 1, 64, 8], [9, 9, 5, 9, 4]))
    assert (ones.tolist(), eights.tolist()) == ([0], [1])


def test_a_large_table_is_thinned_by_whole_families() -> None:
    context = np.repeat(np.arange(1.0, 10_001.0), 2)
    sequences = np.tile([1.0, 8.0], 10_000)
    timings = timings_of(shape(list(sequences), list(context)), np.ones(20_000))
    few = timings.part(sample_of(timings))
    assert 0.9 < few.seconds.size / MOST_ROWS < 1.1
    assert len(pairs_of(few.shape)[0]) == few.seconds.size / 2
    assert sample_of(few).mean() > 0.9
