"""Interpolation reproduces what was measured, and what is linear in logarithms."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_analysis.common.arrays import Array
from cost_analysis.kernels.interpolation import Curves, make_curves

WIDTHS = (32.0, 64.0, 128.0, 512.0, 2048.0)
STEPS = (1.0, 2.0, 16.0, 17.0, 300.0)
SHAPES = np.array(list(product(WIDTHS, WIDTHS, STEPS)))


def power_law(shapes: Array) -> Array:
    """A ratio that is linear in the logarithms of the sizes."""
    result: Array = 1.3 * shapes[:, 0] ** 0.2 * shapes[:, 1] ** -0.1 * shapes[:, 2] ** 0.05
    return result


def curves(shapes: Array = SHAPES, ratios: Array | None = None) -> Curves:
    values = power_law(shapes) if ratios is None else ratios
    return make_curves(shapes[:, :2], shapes[:, 2:], values)


@pytest.fixture(scope="module")
def smooth() -> Curves:
    return curves()


def test_measured_shapes_have_their_own_ratio() -> None:
    ratios = np.random.default_rng(1).uniform(0.5, 2.0, len(SHAPES))
    found = curves(ratios=ratios).at(SHAPES[:, :2], SHAPES[:, 2:])
    np.testing.assert_allclose(np.exp(found.logs), ratios, rtol=1e-12)
    assert found.is_exact.all()
    assert (found.beyond == 1.0).all()


@pytest.mark.property
@given(st.tuples(st.floats(32, 2048), st.floats(32, 2048), st.floats(1, 300)))
def test_a_power_law_is_met_between_grid_points(
    smooth: Curves, sizes: tuple[float, float, float]
) -> None:
    shape = np.array([sizes])
    found = smooth.at(shape[:, :2], shape[:, 2:])
    assert np.exp(found.logs[0]) == pytest.approx(power_law(shape)[0], rel=0.12)
    assert found.beyond[0] == 1.0


def test_axes_are_linear_in_logarithms(smooth: Curves) -> None:
    shape = np.array([[64.0, 512.0, 4.0], [64.0, 512.0, 100.0]])
    found = smooth.at(shape[:, :2], shape[:, 2:])
    np.testing.assert_allclose(np.exp(found.logs), power_law(shape), rtol=1e-12)
    assert not found.is_exact.any()


def test_members_left_out_are_met_by_their_neighbours() -> None:
    left_out = (SHAPES[:, 0] == 128) & (SHAPES[:, 1] == 64)
    kept = curves(SHAPES[~left_out])
    found = kept.at(SHAPES[left_out, :2], SHAPES[left_out, 2:])
    np.testing.assert_allclose(np.exp(found.logs), power_law(SHAPES[left_out]), rtol=0.01)
    assert not found.is_exact.any()
    assert (found.beyond == 1.0).all()


def test_holes_are_filled_along_their_curve() -> None:
    hole = (SHAPES[:, 0] == 128) & (SHAPES[:, 1] == 64) & (SHAPES[:, 2] == 16)
    end = (SHAPES[:, 0] == 32) & (SHAPES[:, 1] == 32) & (SHAPES[:, 2] > 16)
    kept = curves(SHAPES[~hole & ~end])
    found = kept.at(SHAPES[hole, :2], SHAPES[hole, 2:])
    np.testing.assert_allclose(np.exp(found.logs), power_law(SHAPES[hole]), rtol=1e-12)
    assert not found.is_exact.any()
    assert found.beyond[0] == 1.0
    outside = kept.at(SHAPES[end, :2], SHAPES[end, 2:])
    last = float(power_law(np.array([[32.0, 32.0, 16.0]]))[0])
    np.testing.assert_allclose(np.exp(outside.logs), last, rtol=1e-12)
    np.testing.assert_allclose(outside.beyond, [17 / 16, 300 / 16])


@pytest.mark.parametrize(
    ("shape", "edge", "factor"),
    [
        ((64.0, 64.0, 1200.0), (64.0, 64.0, 300.0), 4.0),
        ((64.0, 64.0, 0.25), (64.0, 64.0, 1.0), 4.0),
        ((16.0, 64.0, 2.0), (32.0, 64.0, 2.0), 2.0),
        ((6144.0, 16.0, 600.0), (2048.0, 32.0, 300.0), 3.0),
    ],
)
def test_beyond_the_grid_the_ratio_is_that_of_its_edge(
    smooth: Curves, shape: tuple[float, ...], edge: tuple[float, ...], factor: float
) -> None:
    found = smooth.at(np.array([shape[:2]]), np.array([shape[2:]]))
    assert np.exp(found.logs[0]) == pytest.approx(power_law(np.array([edge]))[0], rel=1e-9)
    assert found.beyond[0] == pytest.approx(factor)
    assert not found.is_exact[0]


def test_a_member_far_from_all_others_is_extrapolated() -> None:
    corners = np.array([[32.0, 32.0, 1.0], [32.0, 4096.0, 1.0], [4096.0, 32.0, 1.0]])
    found = curves(corners).at(np.array([[512.0, 512.0]]), np.array([[1.0]]))
    assert found.beyond[0] > 2.0
    assert power_law(corners).min() <= np.exp(found.logs[0]) <= power_law(corners).max()


def test_two_axes() -> None:
    shapes = np.array(list(product((8.0, 16.0), (1.0, 4.0), (64.0, 1024.0))))
    ratios = shapes[:, 1] ** 0.3 * shapes[:, 2] ** -0.2
    found = make_curves(shapes[:, :1], shapes[:, 1:], ratios).at(
        np.array([[8.0], [8.0]]), np.array([[2.0, 256.0], [4.0, 1024.0]])
    )
    np.testing.assert_allclose(
        np.exp(found.logs), [2**0.3 * 256**-0.2, 4**0.3 * 1024**-0.2], rtol=1e-12
    )
    assert found.is_exact.tolist() == [False, True]


def test_one_member_and_one_point_are_enough() -> None:
    one = make_curves(np.array([[8.0]]), np.array([[4.0]]), np.array([1.5]))
    found = one.at(np.array([[8.0], [16.0]]), np.array([[4.0], [2.0]]))
    np.testing.assert_allclose(np.exp(found.logs), 1.5)
    assert found.beyond.tolist() == pytest.approx([1.0, 2.0])


def test_many_shapes_are_the_same_as_one_by_one() -> None:
    ratios = np.random.default_rng(2).uniform(0.5, 2.0, len(SHAPES))
    rough = curves(ratios=ratios)
    shapes = np.exp(np.random.default_rng(3).uniform(0, 8, (120_000, 3)))
    together = rough.at(shapes[:, :2], shapes[:, 2:])
    assert together.logs.shape == (120_000,)
    for place in range(0, len(shapes), 1_111):
        alone = rough.at(shapes[place : place + 1, :2], shapes[place : place + 1, 2:])
        assert alone.logs[0] == together.logs[place]
        assert alone.beyond[0] == together.beyond[place]
