"""The scaling law against the published figures, and against scipy on the published objective."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from conftest import DATA
from scipy.optimize import minimize

from cost_analysis import InputError
from cost_analysis.law_intervals import LawSamples, bootstrap, leave_one_size_out
from cost_analysis.profiles import profiles_folder
from cost_analysis.scaling_law import Fit, ScalingLaw, fit, fit_warnings, residuals
from cost_analysis.training_runs import Runs, published_runs

FITS = {name: fit(published_runs(name)) for name in ("stack", "pile")}
SAMPLES = {name: bootstrap(fitted) for name, fitted in FITS.items()}
PUBLISHED = {
    "stack": (0.6912, 1.131e7, 0.1894, 0.3935, 0.9978),
    "pile": (1.2888, 1.97e8, 0.1963, 0.3345, 0.9987),
}
MINIMUM = {
    "stack": (0.691207, 1.130707e7, 0.1893583, 0.3934568),
    "pile": (1.288588, 1.975166e8, 0.1962815, 0.3344424),
}
"""Where the objective is lowest, from Nelder-Mead restarted until it stands still."""


def parameters(law: ScalingLaw) -> tuple[float, ...]:
    return (law.E, law.A, law.alpha, law.k)


def published_objective(law: Any, runs: Runs) -> float:
    """The objective in the plainest terms, to check the fit's own against."""
    floor, scale, alpha, k = law
    size = runs.parameters * (1 + k * np.log(runs.streams))
    error = np.abs(np.log(floor + (scale / size) ** alpha) - np.log(runs.loss))
    huber = np.where(error <= 0.001, error**2 / 2, 0.001 * (error - 0.0005))
    return float(huber.sum())


def test_the_package_ships_the_published_runs() -> None:
    shipped = (profiles_folder() / "training_runs.csv").read_bytes()
    assert shipped == (DATA / "training_runs.csv").read_bytes()
    assert len(published_runs("stack")) == 24


def test_stack_to_the_printed_digits() -> None:
    floor, scale, alpha, k, r_squared = PUBLISHED["stack"]
    found = parameters(FITS["stack"].law)
    assert [round(found[index], 4) for index in (0, 2, 3)] == [floor, alpha, k]
    assert found[1] == pytest.approx(scale, rel=5e-3)
    assert round(FITS["stack"].r_squared, 4) == r_squared


def test_pile_to_what_the_published_script_resolves() -> None:
    """The script stops at steps below 2e-9, where E still wanders by some 3e-4.

    Its printed Pile figures lie off the minimum by that: 1.2888 against 1.2886.
    """
    *printed, r_squared = PUBLISHED["pile"]
    near = (3e-4, 5e-3 * printed[1], 5e-5, 1e-4)
    for found, value, tolerance in zip(parameters(FITS["pile"].law), printed, near, strict=True):
        assert found == pytest.approx(value, abs=tolerance)
    assert round(FITS["pile"].r_squared, 4) == r_squared


@pytest.mark.parametrize("dataset", FITS)
def test_lower_than_the_published_figures(dataset: str) -> None:
    runs, fitted = published_runs(dataset), FITS[dataset]
    assert fitted.objective == pytest.approx(
        published_objective(parameters(fitted.law), runs), rel=1e-9
    )
    assert fitted.objective < published_objective(PUBLISHED[dataset][:4], runs)
    assert parameters(fitted.law) == pytest.approx(MINIMUM[dataset], rel=2e-6)


@pytest.mark.parametrize("dataset", FITS)
def test_scipy_finds_nothing_lower(dataset: str) -> None:
    runs, fitted = published_runs(dataset), FITS[dataset]

    def scaled(logs: npt.NDArray[np.float64]) -> float:
        return published_objective(np.exp(logs), runs) * 1e6

    random = np.random.default_rng(0)
    low, high = np.log([[0.1, 1e5, 0.05, 0.05], [1.0, 1e10, 1.0, 2.0]])
    found = []
    with np.errstate(all="ignore"):
        for _ in range(6):
            begin = random.uniform(low, high)
            rough = minimize(scaled, begin, method="L-BFGS-B")
            fine = minimize(scaled, rough.x, method="Nelder-Mead", tol=1e-9)
            found.append(fine.fun)
    assert fitted.objective * 1e6 <= min(found) * (1 + 1e-9)
    assert min(found) == pytest.approx(fitted.objective * 1e6, rel=1e-4)


def test_cold_and_without_scipy() -> None:
    """Both fits from process start, on one thread: issue 3 allows 2 s of CPU."""
    program = (
        "import sys; from cost_analysis.scaling_law import fit\n"
        "from cost_analysis.law_intervals import bootstrap\n"
        "from cost_analysis.training_runs import published_runs\n"
        "fits = [fit(published_runs(name)) for name in ('stack', 'pile')]\n"
        "assert not {'scipy', 'pandas', 'torch', 'matplotlib'} & set(sys.modules)\n"
    )
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    root = str(Path(__file__).parents[2])
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", program], check=True, env=os.environ | threads, cwd=root)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2.0


@pytest.mark.parametrize(("dataset", "error"), [("stack", -0.00618), ("pile", -0.01157)])
def test_the_largest_residual_is_the_paper_s_upper_neighbour(dataset: str, error: float) -> None:
    ranked = residuals(FITS[dataset].law, FITS[dataset].runs)
    assert (ranked[0].size, ranked[0].streams) == ("4.4B", 1)
    assert ranked[0].error == pytest.approx(error, abs=1e-5)
    assert len(ranked) == 24
    sizes = [abs(each.error) for each in ranked]
    assert sizes == sorted(sizes, reverse=True)


def test_equal_loss() -> None:
    law = FITS["stack"].law
    size = law.equal_loss_size(1_595_669_000, 8)
    assert size == pytest.approx(2.90e9, rel=1e-3)
    assert law.loss(size, 1) == pytest.approx(law.loss(1_595_669_000, 8), rel=1e-14)
    assert law.equal_loss_parameters(law.loss(size, 1)) == pytest.approx(size, rel=1e-12)
    assert law.multiplier(1) == 1.0
    with pytest.raises(InputError, match=r"no model of any size reaches a loss of 0.69: .* 0.691"):
        law.equal_loss_parameters(0.69)
    sizes = law.equal_loss_parameters(np.array([0.69, 1.0]))
    assert np.isnan(sizes[0])
    assert sizes[1] == law.equal_loss_parameters(1.0)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"A": 0.0}, "A of a scaling law must be a positive number"),
        ({"E": -0.1}, "E of a scaling law must be 0 or a positive number"),
        ({"alpha": np.nan}, "alpha of a scaling law"),
        ({"k": np.array([0.3, np.inf])}, "k of a scaling law"),
    ],
)
def test_laws_that_are_none(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        ScalingLaw(**({"E": 0.7, "A": 1e7, "alpha": 0.2, "k": 0.4} | fields))


def test_a_law_is_asked_about_models_only() -> None:
    with pytest.raises(InputError, match="P is 0; it must be at least 1"):
        FITS["stack"].law.multiplier(0)
    with pytest.raises(InputError, match="N is -1; it must be a positive number"):
        FITS["stack"].law.loss(-1, 2)


# Intervals

NINETY = {
    "stack": {"E": (0.54, 0.80), "alpha": (0.14, 0.27), "k": (0.35, 0.45)},
    "pile": {"E": (1.21, 1.39), "alpha": (0.17, 0.23), "k": (0.31, 0.37)},
}
"""Looked at once, and stated to two digits; the seed's noise is below the tolerance."""


@pytest.mark.parametrize("dataset", FITS)
def test_bootstrap_intervals(dataset: str) -> None:
    law, samples = FITS[dataset].law, SAMPLES[dataset]
    for name in ("E", "A", "alpha", "k"):
        low, high = samples.interval(attrgetter(name))
        assert low < getattr(law, name) < high
        if name in NINETY[dataset]:
            assert (low, high) == pytest.approx(NINETY[dataset][name], abs=0.02)
    low, high = samples.interval(lambda law: law.multiplier(8))
    assert low < law.multiplier(8) < high
    low, high = samples.interval(lambda law: law.loss(1.6e9, np.array([[1], [8]])))
    predicted = law.loss(1.6e9, np.array([1, 8]))
    assert np.all((low < predicted) & (predicted < high))
    low, high = samples.interval(lambda law: law.equal_loss_size(1.6e9, 8))
    assert low < law.equal_loss_size(1.6e9, 8) < high


def test_bootstrap_is_deterministic() -> None:
    other = bootstrap(FITS["stack"], seed=1)
    random = np.random.default_rng(0)
    for _ in range(4):  # arrays lie elsewhere each time
        keep = [bytearray(size) for size in random.integers(1, 100_000, 200)]
        del keep[::2]
        again = bootstrap(FITS["stack"])
        for name in ("E", "A", "alpha", "k"):
            first = getattr(SAMPLES["stack"].law, name)
            np.testing.assert_array_equal(first, getattr(again.law, name))
            assert not np.allclose(first, getattr(other.law, name), rtol=1e-5)


def test_every_refit_of_the_published_runs_is_the_best_there_is() -> None:
    """Resample by resample, the warm start ends where all starts of a full fit would."""
    few = bootstrap(FITS["stack"], samples=8)
    random = np.random.default_rng(0)
    weights = random.multinomial(24, np.full(24, 1 / 24), 8)
    runs = published_runs("stack")
    for sample, counts in enumerate(weights):
        rows = np.repeat(np.arange(24), counts)
        columns = (runs.parameters[rows], runs.streams[rows], runs.loss[rows])
        alone = fit(Runs(*columns, tuple(runs.sizes[row] for row in rows)))
        refit = [getattr(few.law, name)[sample] for name in ("E", "A", "alpha", "k")]
        assert refit == pytest.approx(parameters(alone.law), rel=1e-4)


@pytest.mark.parametrize("dataset", FITS)
def test_leaving_out_one_size(dataset: str) -> None:
    runs = published_runs(dataset)
    left = leave_one_size_out(FITS[dataset])
    assert left.law.k.shape == (6,)
    kept = np.array(runs.sizes) != "4.4B"
    without = fit(Runs(runs.parameters[kept], runs.streams[kept], runs.loss[kept]))
    refit = [getattr(left.law, name)[-1] for name in ("E", "A", "alpha", "k")]
    assert refit == pytest.approx(parameters(without.law), rel=1e-5)
    low, high = left.interval(lambda law: law.multiplier(8), level=1.0)
    assert 1.6 < low < high < 1.9


def test_an_interval_of_anything() -> None:
    laws = ScalingLaw(np.arange(1.0, 11.0) / 10, 1e7, 0.2, 0.4)
    samples = LawSamples(laws)
    assert samples.interval(lambda law: law.E, 1.0) == (0.1, 1.0)
    assert samples.interval(lambda law: law.E, 0.5) == (0.3, 0.8)
    targets = np.array([[0.75], [2.0]])
    low, high = samples.interval(lambda law: law.equal_loss_parameters(targets))
    assert np.isinf(high).tolist() == [True, False]
    assert np.all(np.isfinite(low))
    for level in (0.0, 1.1, np.nan):
        with pytest.raises(InputError, match="the level of an interval"):
            samples.interval(lambda law: law.E, level)


def test_intervals_of_runs_that_hardly_suffice() -> None:
    size = np.array([1e8, 4e8, 1.6e9, 1e8, 4e8, 1.6e9])
    streams = np.array([1, 1, 1, 4, 4, 4])
    loss = ScalingLaw(1.0, 1e8, 0.3, 0.4).loss(size, streams) * [1, 1.001, 1, 1, 0.999, 1]
    fitted = fit(Runs(size, streams, loss))
    assert len(bootstrap(fitted, samples=50).law.k) == 50
    with pytest.raises(InputError, match="without the size 100M too few runs are left"):
        leave_one_size_out(fitted)
    with pytest.raises(InputError, match="at least 2 samples, not 1"):
        bootstrap(fitted, samples=1)


def test_parameters_that_the_runs_do_not_bound() -> None:
    size = np.tile([1e8, 2e8, 4e8, 8e8], 2)
    streams = np.repeat([1, 4], 4)
    falling = (1e9 / size) ** 0.1
    assert fit_warnings(fit(Runs(size, streams, falling / streams**0.1))) == [
        "E is 0: the runs show no floor of the loss"
    ]
    useless = fit(Runs(size, streams, (1 + falling) * np.where(streams > 1, 1.01, 1.0)))
    assert "k is 0: the runs show no gain from streams" in fit_warnings(useless)
    many = fit(Runs(size, streams * 2, ScalingLaw(1, 1e14, 0.2, 1e7).loss(size, streams * 2)))
    assert fit_warnings(many) == [
        "k is above 100: the runs determine little more than the ratio of A and k"
    ]
    assert not fit_warnings(FITS["stack"])


def test_a_fit_is_a_value() -> None:
    fitted: Fit = FITS["stack"]
    assert "coordinates" not in repr(fitted)
    assert not fitted.runs.loss.flags.writeable
