"""Curves and contours of the loss."""

from __future__ import annotations

import numpy as np
import pytest

from cost_analysis import InputError
from cost_analysis.figures.law import loss_curves, loss_surface


@pytest.mark.parametrize("dataset", ["stack", "pile"])
def test_curves_follow_the_law_through_the_runs(dataset: str) -> None:
    curves = loss_curves(dataset)
    fitted, runs = curves.fitted.law, curves.fitted.runs
    assert curves.loss.shape == (4, curves.parameters.size)
    row = 17
    share = fitted.A / curves.parameters[row] / (1 + fitted.k * np.log(8))
    expected = fitted.E + share**fitted.alpha
    assert curves.loss[3, row] == pytest.approx(expected, rel=1e-12)
    for streams, curve in zip(curves.streams, curves.loss, strict=True):
        own = runs.streams == streams
        near = np.interp(runs.parameters[own], curves.parameters, curve)
        assert near == pytest.approx(runs.loss[own], rel=0.01)


def test_surface_holds_the_curves() -> None:
    surface, curves = loss_surface("pile"), loss_curves("pile")
    assert surface.streams[0] == 1
    assert surface.streams[-1] == pytest.approx(8)
    assert surface.loss[[0, -1]] == pytest.approx(curves.loss[[0, -1]], rel=1e-12)
    with pytest.raises(InputError, match="P is 1"):
        loss_surface("pile", 1)
