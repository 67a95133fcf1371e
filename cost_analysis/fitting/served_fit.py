"""Fits the serving engines of today to measured runs, with cross-validation by model and device.

Measured kernels tell most of a step. What they don't tell is fitted: what every small kernel
takes, the rate of norms and activations, and the host for a step and for each of its sequences.
Engines share these in part, as `engine_fit` describes; all else an engine has of its class, for
devices and kernels that were not measured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from cost_analysis.common.errors import InputError
from cost_analysis.fitting.coefficients import Coefficient
from cost_analysis.fitting.engine_fit import EngineFit, Problem, like
from cost_analysis.fitting.held_out import HeldOut, Traits, held_out
from cost_analysis.fitting.intervals import calibrated
from cost_analysis.fitting.predictions import Floats, class_engines, stacked_engine
from cost_analysis.fitting.served_rows import ServedRows, served_rows, spec_of
from cost_analysis.fitting.serving_runs import SERVED_ENGINES, ServedRun
from cost_analysis.inputs.dtypes import dtype_named
from cost_analysis.inputs.engine import Engine
from cost_analysis.inputs.layers import Experts
from cost_analysis.inputs.profiles import load_engine

SERVED = (
    Coefficient("kernel_floor", 2.5e-6, 1e-7, 3e-5, 0.7, 0.05, 0.7),
    Coefficient("elementwise_share", 0.5, 0.05, 3.0, 0.3, 0.05, 0.3),
    Coefficient("step_host_time", 5e-4, 1e-6, 3e-2, 0.5, 0.05, 0.3),
    Coefficient("sequence_host_time", 8e-6, 1e-7, 2e-4, 0.7, 0.05, 0.5),
)
"""What measured kernels don't tell. A small kernel of a CUDA graph takes 2 to 3 us (as in
`engine_fit`), and norms reach about half of the rate of a large read."""

KERNEL_GAP = 5e-7
"""Time between two kernels of a CUDA graph [s] (NVIDIA, "Getting Started with CUDA Graphs", 2019):
whole runs don't tell it from the floor of small kernels."""

CLASS = "graphs"
"""The class of all serving engines."""

FOLDS: dict[str, Callable[[ServedRun], str]] = {
    "held out by model": lambda run: run.profile,
    "held out by device": lambda run: run.hardware,
}
"""Properties by which runs are left out together."""

IN_SAMPLE = "in the sample"


class ServedFit:
    """Fits of the serving engines to runs that are read once.

    Attributes:
        runs: Runs that the model can represent.
        groups: The same, ready for array calls.
    """

    def __init__(self, runs: Sequence[ServedRun], of_class: Engine | None = None) -> None:
        """Evaluate the cost model for the runs.

        Args:
            runs: Runs that can be represented (`represented_runs`).
            of_class: The fitted class of serving engines; the shipped one if None.
        """
        self.runs = tuple(runs)
        self._engines = {**class_engines(), **prototypes(of_class or class_engines()[CLASS])}
        self.groups = served_rows(self.runs, lambda run: self._engines[run.engine])

    def fitted(self, most_evaluations: int = 50) -> EngineFit:
        """The fit to all runs."""
        return self._fit(self.groups, most_evaluations)

    def errors(self, fit: EngineFit) -> dict[str, Floats]:
        """ln(predicted / measured) of each run: in the sample, and left out by each of `FOLDS`."""
        held = {how: self.held_out(group) for how, group in FOLDS.items()}
        return {IN_SAMPLE: self._errors(self.groups, fit), **held}

    def held_out(self, group: Callable[[ServedRun], str]) -> Floats:
        """ln(predicted / measured) of each run by a fit that has seen no run of its group."""
        names = [{group(run) for run in rows.runs} for rows in self.groups]
        errors = np.empty(len(self.runs))
        for name in sorted(set().union(*names)):
            own = [rows for rows, has in zip(self.groups, names, strict=True) if name in has]
            seen = [rows for rows, has in zip(self.groups, names, strict=True) if name not in has]
            places = np.concatenate([rows.places for rows in own])
            errors[places] = self._errors(own, self._fit(seen))[places]
        return errors

    def _fit(self, groups: Sequence[ServedRows], most_evaluations: int = 50) -> EngineFit:
        fit = Problem(groups, SERVED, self._engines).solved(most_evaluations)
        served = set(SERVED_ENGINES)
        return EngineFit(
            engines={
                name: fit.engines.get(name) or self._unseen(fit, name) for name in sorted(served)
            },
            uncertainty={
                name: fit.uncertainty.get(name, fit.uncertainty[CLASS]) for name in served
            },
            rows={name: fit.rows.get(name, 0) for name in served},
        )

    def _unseen(self, fit: EngineFit, name: str) -> Engine:
        """An engine of which a fit has seen no run: what all have in common."""
        shared, own = fit.engines[CLASS], self._engines[name]
        return replace(own, **{item.name: getattr(shared, item.name) for item in SERVED})

    def _errors(self, groups: Sequence[ServedRows], fit: EngineFit) -> Floats:
        errors = np.full(len(self.runs), np.nan)
        for rows in groups:
            engine = stacked_engine([fit.engines[engine.name] for engine in rows.named])
            errors[rows.places] = np.log(rows.predicted(engine) / rows.seconds)
        return errors


def prototypes(of_class: Engine) -> dict[str, Engine]:
    """The serving engines with the coefficients of their class, before anything is fitted."""
    return {
        name: replace(
            like(of_class, load_engine(name)),
            layer_host_time=0.0,
            kernel_gap=KERNEL_GAP,
            kernel_factor=1.0,
            spread=None,
        )
        for name in sorted(SERVED_ENGINES)
    }


def served_traits(run: ServedRun) -> Traits:
    """What may be new about a run: its model stands for its source, since one lab ran most."""
    experts = any(isinstance(group.mlp, Experts) for group in spec_of(run).groups)
    return Traits(
        source=run.profile,
        engine=run.engine,
        engine_class=CLASS,
        device=run.hardware,
        weights=run.experts,
        narrow=dtype_named(run.experts).bits < 16,
        experts=experts,
    )


def served_points(runs: Sequence[ServedRun], errors: dict[str, Floats]) -> HeldOut:
    """The errors of each of `FOLDS`, with what was new about each run."""
    labels = {how: [group(run) for run in runs] for how, group in FOLDS.items()}
    return held_out([served_traits(run) for run in runs], errors, labels)


def described_served(
    fit: EngineFit, runs: Sequence[ServedRun], errors: dict[str, Floats]
) -> EngineFit:
    """The fit with the source of each engine in words, and its spread.

    Where runs are of too few models and engines for intervals, there are no spreads.
    """
    try:
        calibration = calibrated(served_points(runs, errors))
    except InputError:
        calibration = None

    def described(name: str, engine: Engine) -> Engine:
        devices = sorted({run.hardware for run in runs if run.engine == name})
        spread = calibration.spread(name, devices) if calibration else None
        return replace(engine, source=_source(name, runs, errors), spread=spread)

    engines = {
        name: described(name, engine) for name, engine in fit.engines.items() if fit.rows[name]
    }
    return replace(fit, engines=engines)


def _source(name: str, runs: Sequence[ServedRun], errors: dict[str, Floats]) -> str:
    own = np.array([run.engine == name for run in runs])
    models = {run.profile for run in runs if run.engine == name}
    devices = sorted({run.hardware for run in runs if run.engine == name})
    seen, held = (
        np.median(np.abs(np.expm1(errors[how][own]))) for how in (IN_SAMPLE, "held out by model")
    )
    return (
        f"parscale-cost fit-latency --served on {own.sum()} runs of {len(models)} models "
        f"({', '.join(devices)}): median error {seen:.1%} on them, {held:.1%} by a fit that has "
        "not seen their model"
    )
