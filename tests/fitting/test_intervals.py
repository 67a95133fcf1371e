"""Intervals over groups: by hand, on simulated labs, and on sources that were left out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cost_analysis.common.errors import InputError
from cost_analysis.fitting import intervals
from cost_analysis.fitting.accuracy import FOLDS, held_out_points
from cost_analysis.fitting.coverage import read_coverages
from cost_analysis.fitting.held_out import NEW, HeldOut
from cost_analysis.fitting.intervals import calibrated, conformal_ends, left_out, quantile
from cost_analysis.fitting.measurements import Measurement
from cost_analysis.fitting.predictions import Floats


def points_of(groups: list[Floats], engines: list[str] | None = None) -> HeldOut:
    """Errors of groups that are sources left out, of known engines and devices."""
    sizes = [len(group) for group in groups]
    names = engines or ["engine"] * len(groups)
    new = np.zeros((sum(sizes), len(NEW)), dtype=np.bool_)
    new[:, NEW.index("source")] = True
    return HeldOut(
        errors=np.concatenate(groups),
        groups=np.repeat([f"lab {place:03}" for place in range(len(groups))], sizes),
        engines=np.repeat(names, sizes),
        new=new,
        folds=np.repeat("held out by source", sum(sizes)),
        places=np.arange(sum(sizes)),
    )


def labs(
    random: np.random.Generator, count: int, between: float, within: float = 0.05
) -> list[Floats]:
    """Errors of labs: each has an error of its own, and some have many more rows than others."""
    sizes = np.round(np.exp(random.uniform(1.0, 6.0, count))).astype(int)
    return [
        random.normal(0.0, between) + random.normal(0.0, within, size) for size in sizes.tolist()
    ]


def flags(*names: str) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    return np.array([[name in names for name in NEW]])


def test_a_quantile_of_masses_by_hand() -> None:
    values, masses = np.array([3.0, 1.0, 2.0]), np.array([0.25, 0.5, 0.25])
    assert quantile(values, masses, 0.5) == 1.0
    assert quantile(values, masses, 0.51) == 2.0
    assert quantile(values, masses, 1.0) == 3.0
    assert quantile(values, masses * 0.7, 0.8) == np.inf


def test_the_group_to_come_is_at_infinity() -> None:
    """Of four groups the largest score counts, of nine the second largest of each ten."""
    scores = np.array([0.1, 0.2, 0.3, 0.4])
    low, high = conformal_ends(np.concatenate([scores, -scores]), np.full(8, 0.125), 4)
    assert (low, high) == pytest.approx((-0.4, 0.4))
    nine = np.arange(1.0, 10.0)
    low, high = conformal_ends(np.concatenate([nine, -nine]), np.full(18, 1 / 18), 9)
    assert (low, high) == pytest.approx((-8.0, 8.0))


def test_ends_follow_the_longer_tail() -> None:
    scores = np.concatenate([np.linspace(0.0, 3.0, 50), np.linspace(-0.5, 0.0, 50)])
    low, high = conformal_ends(scores, np.full(100, 0.01), 20)
    assert -low < high / 1.5


@pytest.mark.parametrize("between", [0.02, 0.1, 0.3])
def test_intervals_hold_for_labs_that_are_still_to_come(between: float) -> None:
    """Whether labs differ less than rows of one lab, as much, or far more; old intervals do not."""
    random = np.random.default_rng(7)
    ours, pooled = [], []
    for _ in range(100):
        seen, unseen = labs(random, 12, between), labs(random, 6, between)
        found = calibrated(points_of(seen))
        low, high = (end[0] for end in found.ends(["engine"], flags("source")))
        ends = np.quantile(np.concatenate(seen), (0.1, 0.9))
        ours.append(np.mean([np.mean((lab >= low) & (lab <= high)) for lab in unseen]))
        pooled.append(np.mean([np.mean((lab >= ends[0]) & (lab <= ends[1])) for lab in unseen]))
    assert 0.78 <= np.mean(ours) <= 0.9
    if between > 0.2:
        assert np.mean(pooled) < 0.7


def test_intervals_widen_as_labs_differ() -> None:
    widths = []
    for between in (0.02, 0.1, 0.3):
        found = calibrated(points_of(labs(np.random.default_rng(3), 12, between)))
        low, high = found.ends(["engine"], flags("source"))
        widths.append(float(high[0] - low[0]))
    assert all(narrow < 0.7 * wide for narrow, wide in itertools.pairwise(widths))


def test_an_engine_whose_labs_agree_is_narrower() -> None:
    random = np.random.default_rng(5)
    close, apart = labs(random, 4, 0.02, 0.01), labs(random, 4, 0.3, 0.05)
    found = calibrated(points_of(close + apart, ["close"] * 4 + ["apart"] * 4))
    spreads = {name: found.spread(name, ["a100"]) for name in ("close", "unknown", "apart")}
    highs = [spread.high for spread in spreads.values()]
    assert highs == sorted(highs)
    assert spreads["close"].devices == ("a100",)


def test_what_is_new_widens_by_what_it_did_where_it_was_left_out() -> None:
    random = np.random.default_rng(11)
    points = points_of(labs(random, 30, 0.05, 0.02) + labs(random, 30, 0.2, 0.02))
    points.new[np.isin(points.groups, np.unique(points.groups)[30:]), NEW.index("device")] = True
    found = calibrated(points).spread("engine", ())
    assert 2.0 < found.new_device < 4.5
    assert found.narrow == found.experts == pytest.approx(1.3)  # nothing but the prior
    of_class = calibrated(points).spread("none", (), of_class=True)
    assert of_class.of_class
    assert of_class.low < found.low < 1 < found.high < of_class.high


def test_what_is_new_never_narrows() -> None:
    random = np.random.default_rng(13)
    points = points_of(labs(random, 10, 0.3, 0.05) + labs(random, 10, 0.01, 0.01))
    points.new[np.isin(points.groups, np.unique(points.groups)[10:]), NEW.index("narrow")] = True
    assert calibrated(points).spread("engine", ()).narrow == 1.0


def test_too_few_groups_have_no_interval() -> None:
    random = np.random.default_rng(1)
    with pytest.raises(InputError, match="needs 4 groups of rows, not 3"):
        calibrated(points_of(labs(random, 3, 0.1)))
    found = calibrated(points_of(labs(random, 4, 0.1)))
    assert np.isfinite([found.below, found.above]).all()


@settings(max_examples=40)
@given(
    st.lists(
        st.lists(st.floats(-2, 2), min_size=1, max_size=5).map(np.array), min_size=4, max_size=8
    ),
    st.permutations(range(4)),
)
def test_any_errors_have_ends_about_zero(groups: list[Floats], order: list[int]) -> None:
    """Whatever the errors, and in whatever order the groups stand."""
    found = calibrated(points_of(groups))
    assert found.below < 0 < found.above
    moved = [groups[place] for place in order] + groups[4:]
    again = calibrated(points_of(moved))
    assert (again.below, again.above) == pytest.approx((found.below, found.above), rel=1e-6)


@pytest.fixture(scope="module")
def points(rows: list[Measurement], recorded: dict[str, dict[str, str]]) -> HeldOut:
    """The errors that `fit-latency` recorded."""
    ids = [row.texts["id"] for row in rows]
    logs = {how: np.log([float(recorded[name][how]) for name in ids]) for how in FOLDS}
    return held_out_points(rows, logs)


def covered(points: HeldOut, low: Floats, high: Floats) -> float:
    """Share of the rows inside, each group with the same weight."""
    inside = (points.errors >= low) & (points.errors <= high)
    return float(np.mean([inside[points.groups == name].mean() for name in set(points.groups)]))


@pytest.mark.golden
@pytest.mark.parametrize(
    ("how", "most"),
    # Devices of the cited rows are few and alike: their intervals hold more than they say.
    [("held out by source", 0.87), ("held out by device", 0.95)],
)
def test_intervals_cover_four_in_five_rows_of_groups_left_out(
    points: HeldOut, how: str, most: float
) -> None:
    """Neither the fit nor its intervals have seen the row's source."""
    sources = np.array([name.split(" / ")[0] for name in points.groups.tolist()])
    low, high = left_out(points, sources)
    chosen = (points.folds == how) & points.new[:, NEW.index("source")]
    assert len(np.unique(points.groups[chosen])) >= 8
    assert 0.73 <= covered(points[chosen], low[chosen], high[chosen]) <= most


@pytest.mark.golden
def test_shipped_intervals_hold_four_in_five_rows_of_sources_left_out() -> None:
    """Of all rows that the engines were fitted to, by `fit-latency`."""
    found = [each for each in read_coverages() if each.left_out == "source"]
    assert len(found) == 13
    assert np.mean([each.covered for each in found]) == pytest.approx(0.8, abs=0.07)


@pytest.mark.golden
def test_ends_of_a_source_do_not_know_its_errors(
    points: HeldOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[str]] = []
    whole = calibrated(points)

    def spy(kept: HeldOut) -> intervals.Calibration:
        seen.append(set(kept.groups))
        return whole

    monkeypatch.setattr(intervals, "calibrated", spy)
    left_out(points, points.groups)
    every = set(points.groups)
    assert sorted(map(sorted, seen)) == sorted(sorted(every - {name}) for name in every)
