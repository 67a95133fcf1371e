"""The scaling law against published figures, against scipy, and on runs of any law."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from cost_analysis import InputError
from cost_analysis.inputs.profiles import profiles_folder
from cost_analysis.law.runs import Runs, published_runs
from cost_analysis.law.scaling_law import Fit, ScalingLaw, fit, fit_warnings, residuals
from tests.helpers.data import DATA, ROOT
from tests.helpers.law_strategies import Array, designs, fields, laws, noisy_runs, powers

FITS = {name: fit(published_runs(name)) for name in ("stack", "pile")}
PUBLISHED = {
    "stack": (0.6912, 1.131e7, 0.1894, 0.3935, 0.9978),
    "pile": (1.2888, 1.97e8, 0.1963, 0.3345, 0.9987),
}
MINIMUM = {
    "stack": (0.691207, 1.130707e7, 0.1893583, 0.3934568),
    "pile": (1.288588, 1.975166e8, 0.1962815, 0.3344424),
}
"""Where the objective is lowest, from Nelder-Mead restarted until it stands still."""


def published_objective(law: Any, runs: Runs) -> float:
    """The objective in the plainest terms, to check the fit's own against."""
    floor, scale, alpha, k = law
    size = runs.parameters * (1 + k * np.log(runs.streams))
    error = np.abs(np.log(floor + (scale / size) ** alpha) - np.log(runs.loss))
    huber = np.where(error <= 0.001, error**2 / 2, 0.001 * (error - 0.0005))
    return float(huber.sum())


@pytest.mark.golden
def test_the_package_ships_the_published_runs() -> None:
    shipped = (profiles_folder() / "training_runs.csv").read_bytes()
    assert shipped == (DATA / "training_runs.csv").read_bytes()
    assert len(published_runs("stack")) == 24


@pytest.mark.golden
def test_stack_to_the_printed_digits() -> None:
    floor, scale, alpha, k, r_squared = PUBLISHED["stack"]
    found = fields(FITS["stack"].law)
    assert [round(found[index], 4) for index in (0, 2, 3)] == [floor, alpha, k]
    assert found[1] == pytest.approx(scale, rel=5e-3)
    assert round(FITS["stack"].r_squared, 4) == r_squared


@pytest.mark.golden
def test_pile_to_what_the_published_script_resolves() -> None:
    """The script stops at steps below 2e-9, where E still wanders by some 3e-4.

    Its printed Pile figures lie off the minimum by that: 1.2888 against 1.2886.
    """
    *printed, r_squared = PUBLISHED["pile"]
    near = (3e-4, 5e-3 * printed[1], 5e-5, 1e-4)
    for found, value, tolerance in zip(fields(FITS["pile"].law), printed, near, strict=True):
        assert found == pytest.approx(value, abs=tolerance)
    assert round(FITS["pile"].r_squared, 4) == r_squared


@pytest.mark.golden
@pytest.mark.parametrize("dataset", FITS)
def test_lower_than_the_published_figures(dataset: str) -> None:
    runs, fitted = published_runs(dataset), FITS[dataset]
    assert fitted.objective == pytest.approx(
        published_objective(fields(fitted.law), runs), rel=1e-9
    )
    assert fitted.objective < published_objective(PUBLISHED[dataset][:4], runs)
    assert fields(fitted.law) == pytest.approx(MINIMUM[dataset], rel=2e-6)


@pytest.mark.golden
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


@pytest.mark.golden
def test_cold_and_without_scipy() -> None:
    """Both fits from process start, on one thread: issue 3 allows 2 s of CPU."""
    program = (
        "import sys; from cost_analysis.law.scaling_law import fit\n"
        "from cost_analysis.law.scaling_law import bootstrap\n"
        "from cost_analysis.law.runs import published_runs\n"
        "fits = [fit(published_runs(name)) for name in ('stack', 'pile')]\n"
        "assert not {'scipy', 'pandas', 'torch', 'matplotlib'} & set(sys.modules)\n"
    )
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    root = str(ROOT)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", program], check=True, env=os.environ | threads, cwd=root)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2.0


@pytest.mark.golden
@pytest.mark.parametrize(("dataset", "error"), [("stack", -0.00618), ("pile", -0.01157)])
def test_the_largest_residual_is_the_paper_s_upper_neighbour(dataset: str, error: float) -> None:
    ranked = residuals(FITS[dataset].law, FITS[dataset].runs)
    assert (ranked[0].size, ranked[0].streams) == ("4.4B", 1)
    assert ranked[0].error == pytest.approx(error, abs=1e-5)
    assert len(ranked) == 24
    sizes = [abs(each.error) for each in ranked]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.golden
def test_equal_loss() -> None:
    law = FITS["stack"].law
    size = law.equal_loss_size(1_595_669_000, 8)
    assert size == pytest.approx(2.90e9, rel=1e-3)
    assert law.loss(size, 1) == pytest.approx(law.loss(1_595_669_000, 8), rel=1e-14)
    assert law.equal_loss_parameters(law.loss(size, 1)) == pytest.approx(size, rel=1e-12)
    assert law.multiplier(1) == 1.0
    with pytest.raises(InputError, match=r"no model of any size reaches a loss of 0.69: .* 0.691"):
        law.equal_loss_parameters(0.69)
    sizes = np.asarray(law.equal_loss_parameters(np.array([0.69, 1.0])))
    assert np.isnan(sizes[0])
    assert sizes[1] == law.equal_loss_parameters(1.0)


@pytest.mark.golden
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


@pytest.mark.golden
def test_a_law_is_asked_about_models_only() -> None:
    with pytest.raises(InputError, match="P is 0; it must be at least 1"):
        FITS["stack"].law.multiplier(0)
    with pytest.raises(InputError, match="N is -1; it must be a positive number"):
        FITS["stack"].law.loss(-1, 2)


@pytest.mark.golden
def test_parameters_that_the_runs_do_not_bound() -> None:
    size = np.tile([1e8, 2e8, 4e8, 8e8], 2)
    streams = np.repeat([1, 4], 4)
    falling = (1e9 / size) ** 0.1
    assert fit_warnings(fit(Runs(size, streams, falling / streams**0.1))) == [
        "E is 0: the runs show no floor of the loss"
    ]
    useless = fit(Runs(size, streams, (1 + falling) * np.where(streams > 1, 1.01, 1.0)))
    assert "k is 0: the runs show no gain from streams" in fit_warnings(useless)
    ratio_only = np.asarray(ScalingLaw(1, 1e14, 0.2, 1e7).loss(size, streams * 2))
    many = fit(Runs(size, streams * 2, ratio_only))
    assert fit_warnings(many) == [
        "k is above 100: the runs determine little more than the ratio of A and k"
    ]
    assert not fit_warnings(FITS["stack"])


@pytest.mark.golden
def test_a_fit_is_a_value() -> None:
    fitted: Fit = FITS["stack"]
    assert "coordinates" not in repr(fitted)
    assert not fitted.runs.loss.flags.writeable


@pytest.mark.property
@settings(max_examples=30)
@given(laws(), designs())
def test_a_law_is_recovered_from_its_own_losses(law: ScalingLaw, design: Any) -> None:
    size, streams = design
    found = fit(Runs(size, streams, np.asarray(law.loss(size, streams))))
    assert fields(found.law) == pytest.approx(fields(law), rel=1e-4)
    assert found.r_squared > 1 - 1e-9


def huber(logs: Array, runs: Runs) -> float:
    """The published objective in other coordinates, times 1e6 for scipy's tolerances."""
    floor, scale, alpha, k = np.exp(logs)
    size = runs.parameters / 1e9 * (1 + k * np.log(runs.streams))
    error = np.abs(np.log(floor + scale * size**-alpha) - np.log(runs.loss))
    return float(np.where(error <= 1e-3, error**2 / 2, 1e-3 * (error - 5e-4)).sum() * 1e6)


@pytest.mark.slow
@pytest.mark.property
@settings(max_examples=8)
@given(noisy_runs(), st.integers(0, 2**32 - 1))
def test_scipy_from_random_starts_finds_nothing_lower(runs: Runs, seed: int) -> None:
    random = np.random.default_rng(seed)
    height = np.log(runs.loss.min())
    low = [height - 3, height - 3, np.log(0.03), np.log(0.02)]
    high = [height, height + 1, np.log(3), np.log(5)]
    with np.errstate(all="ignore"):
        found = [
            minimize(huber, random.uniform(low, high), (runs,), method="L-BFGS-B").fun
            for _ in range(8)
        ]
    assert fit(runs).objective * 1e6 <= min(found) * (1 + 1e-6) + 1e-9


@pytest.mark.property
@settings(max_examples=12)
@given(noisy_runs(), powers(1e-6, 1e6), powers(0.01, 100), st.randoms(use_true_random=False))
def test_units_and_order_do_not_matter(
    runs: Runs, unit: float, height: float, shuffle: Any
) -> None:
    order = list(range(len(runs)))
    shuffle.shuffle(order)
    one = fit(runs)
    other = fit(Runs(runs.parameters[order] * unit, runs.streams[order], runs.loss[order] * height))
    assert other.objective == pytest.approx(one.objective, rel=1e-6, abs=1e-15)
    assert other.r_squared == pytest.approx(one.r_squared, abs=1e-4)


@pytest.mark.property
@given(laws(), powers(1e6, 1e12), st.integers(1, 64))
def test_equal_loss_is_the_inverse(law: ScalingLaw, size: float, streams: int) -> None:
    loss = law.loss(size, streams)
    equal = law.equal_loss_size(size, streams)
    assert equal >= size
    assert law.loss(equal, 1) == pytest.approx(loss, rel=1e-12)
    if loss - law.E > 1e-6 * loss:
        assert law.equal_loss_parameters(loss) == pytest.approx(equal, rel=1e-6)
    assert law.loss(size * 2, streams) <= loss
    assert law.loss(size, streams + 1) <= loss


@pytest.mark.property
@given(laws(), st.lists(st.tuples(powers(1e6, 1e12), st.integers(1, 64)), min_size=1, max_size=20))
def test_arrays_agree_with_single_values(law: ScalingLaw, models: list[tuple[float, int]]) -> None:
    size, streams = (np.array(column, float) for column in zip(*models, strict=True))
    together, sizes = (np.asarray(of(size, streams)) for of in (law.loss, law.equal_loss_size))
    reached = np.asarray(law.equal_loss_parameters(together))
    for row, (one_size, one_streams) in enumerate(models):
        assert law.loss(one_size, one_streams) == together[row]
        assert law.equal_loss_size(one_size, one_streams) == sizes[row]
        if together[row] > law.E:
            assert law.equal_loss_parameters(together[row]) == reached[row]
    many = ScalingLaw(*(np.full(3, value) for value in fields(law)))
    assert np.all(many.loss(size[:, None], streams[:, None]) == together[:, None])
