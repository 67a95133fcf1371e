"""Random scaling laws, and runs that may have been trained by them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from cost_analysis.common.arrays import single
from cost_analysis.law.runs import Runs
from cost_analysis.law.scaling_law import ScalingLaw

Array = npt.NDArray[np.float64]


def powers(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(np.log(low), np.log(high)).map(lambda value: float(np.exp(value)))


@st.composite
def laws(draw: st.DrawFn) -> ScalingLaw:
    """A law whose power is from a thirtieth to ten times its floor at 1e9 parameters."""
    floor, alpha, k = draw(powers(0.01, 10)), draw(powers(0.05, 2)), draw(powers(0.02, 5))
    return ScalingLaw(floor, 1e9 * (floor * draw(powers(0.03, 10))) ** (1 / alpha), alpha, k)


@st.composite
def designs(draw: st.DrawFn) -> tuple[Array, Array]:
    """N and P of runs: three to seven sizes, each at two to five values of P."""
    sizes = draw(st.integers(3, 7))
    smallest, span = draw(powers(1e8, 2e9)), draw(powers(4, 300))
    size = smallest * np.geomspace(1, span, sizes)
    streams = 2.0 ** np.arange(draw(st.integers(2, 5)))
    return np.repeat(size, len(streams)), np.tile(streams, sizes)


@st.composite
def noisy_runs(draw: st.DrawFn) -> Runs:
    law, (size, streams) = draw(laws()), draw(designs())
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    noise = draw(powers(1e-4, 0.02)) * random.standard_t(3, len(size)).clip(-8, 8)
    loss = np.asarray(law.loss(size, streams)) * np.exp(noise)
    # A design and a law may leave nothing to see: then noise, not the law, ranks the sizes.
    loss *= (size / size.min()) ** -0.02
    return Runs(size, streams, loss)


def fields(law: ScalingLaw) -> list[float]:
    """E, A, alpha and k of a single law."""
    return [single(value) for value in (law.E, law.A, law.alpha, law.k)]
