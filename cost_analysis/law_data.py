"""Loss over N and P by the fitted law: the numbers behind the paper's Figures 2 and 3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cost_analysis.errors import InputError
from cost_analysis.scaling_law import Fit, fit
from cost_analysis.training_runs import Array, published_runs

CURVE_POINTS = 160
"""Points of a curve over N."""

SURFACE_ROWS = 81
"""Values of P between the published ones that a contour is drawn through."""

MARGIN = 1.12
"""Factor by which curves extend beyond the smallest and the largest run."""


@dataclass(frozen=True, slots=True, eq=False)
class LossSurface:
    """Predicted loss over N and P, and the runs that the law was fitted on.

    Attributes:
        dataset: "stack" or "pile".
        fitted: The law and its runs.
        parameters: Parameters without embeddings, N, (sizes,).
        streams: Parallel streams, P, (streams,).
        loss: Predicted loss, (streams, sizes).
    """

    dataset: str
    fitted: Fit
    parameters: Array
    streams: Array
    loss: Array


def loss_curves(dataset: str, streams: Sequence[int] = (1, 2, 4, 8)) -> LossSurface:
    """The fitted law over N, a curve for each P: the paper's Figure 2.

    Args:
        dataset: "stack" or "pile".
        streams: Parallel streams, P, of the curves.
    """
    return _surface(dataset, np.array(streams, np.float64))


def loss_surface(dataset: str, largest: int = 8) -> LossSurface:
    """The fitted law over N and P: the paper's Figure 3.

    Args:
        dataset: "stack" or "pile".
        largest: The largest P.

    Raises:
        InputError: The largest P is 1, which leaves no axis.
    """
    if largest < 2:
        raise InputError(f"P is {largest}; a surface over P needs P = 2 or more")
    return _surface(dataset, np.geomspace(1.0, float(largest), SURFACE_ROWS))


def _surface(dataset: str, streams: Array) -> LossSurface:
    fitted = fit(published_runs(dataset))
    sizes = fitted.runs.parameters
    parameters = np.geomspace(sizes.min() / MARGIN, sizes.max() * MARGIN, CURVE_POINTS)
    loss = np.asarray(fitted.law.loss(parameters[None], streams[:, None]))
    return LossSurface(dataset, fitted, parameters, streams, loss)
