"""Fits the coefficients of engines to measurements, with cross-validation by group.

Every coefficient of an engine is its logarithm for all engines, plus what its class departs from
that, plus what the engine departs from its class. Each departure is held near zero by a prior
(partial pooling, Gelman and Hill, "Data Analysis Using Regression", 2006, ch. 12), so that an
engine with few rows stays near its class, and a source that nobody has seen is predicted by what
engines have in common. The loss is robust: soft L1 of the error of the logarithm of time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cost_analysis.measurements import Measurement
from cost_analysis.predictions import (
    Floats,
    Rows,
    class_engines,
    engine_of,
    rows_of,
    stacked_engine,
)
from cost_analysis.profiles import load_engine
from cost_analysis.system import AttentionKernels, Engine

TOLERANCE = 0.06
"""Error of the logarithm of time from which the loss grows slower than its square."""

STEP = 1e-4
"""Change of a coefficient's logarithm by which derivatives are taken."""


@dataclass(frozen=True, slots=True)
class Coefficient:
    """A coefficient of engines, and what is believed of it before any row is seen.

    Attributes:
        name: Field of `Engine`, or of its attention as "attention.field".
        start: Its value for all engines.
        low: Its least value.
        high: Its largest value.
        shared: How far its logarithm may lie from the start, for all engines together.
        of_class: How far for a class.
        of_engine: How far for an engine of a class.
        starts: Its value for a class whose physics is another.
    """

    name: str
    start: float
    low: float
    high: float
    shared: float
    of_class: float
    of_engine: float
    starts: tuple[tuple[str, float], ...] = ()


COEFFICIENTS = (
    Coefficient("flops_efficiency", 0.95, 0.3, 1.0, 0.1, 0.05, 0.15),
    Coefficient("bandwidth_efficiency", 0.95, 0.4, 1.0, 0.03, 0.03, 0.2),
    Coefficient("kernel_floor", 4.5e-6, 3e-7, 3e-5, 0.1, 0.05, 0.5),
    Coefficient("elementwise_share", 0.6, 0.05, 3.0, 0.3, 0.2, 0.3),
    Coefficient("attention.flops_share", 0.7, 0.1, 1.0, 0.3, 0.15, 0.2),
    Coefficient("attention.bandwidth_share", 0.75, 0.1, 1.0, 0.2, 0.1, 0.2),
    Coefficient("attention.floor", 8e-6, 1e-7, 1e-4, 0.2, 0.1, 0.3),
    Coefficient("attention.score_bytes", 2.0, 0.01, 100.0, 1.5, 0.5, 1.0),
    Coefficient("attention.cache_copies", 0.05, 0.01, 6.0, 1.0, 1.5, 0.3, starts=(("eager", 2.0),)),
    Coefficient("link_share", 0.5, 0.05, 1.2, 0.3, 0.15, 0.3),
    Coefficient("link_latency", 6e-6, 1e-6, 2e-4, 0.5, 0.2, 0.4),
    Coefficient("layer_host_time", 1e-6, 1e-7, 2e-3, 0.5, 1.0, 0.2, starts=(("eager", 7e-4),)),
    Coefficient("step_host_time", 6e-4, 1e-6, 3e-2, 0.5, 0.3, 1.0),
)
"""The coefficients that 16-bit rows tell. The starts are measured operators (floors, shares) and
what Python costs a layer (eager); the widths say what engines share: their matrix products, mostly,
which are the vendor's, less so their overheads."""

QUANTISED = (
    Coefficient("quantised_flops_share", 0.5, 0.02, 1.5, 0.7, 0.5, 0.5),
    Coefficient("quantised_bandwidth_share", 0.8, 0.05, 1.5, 0.5, 0.3, 0.5),
)
"""The coefficients that only rows with narrower weights tell; the others stay as fitted."""


@dataclass(frozen=True, slots=True, eq=False)
class EngineFit:
    """Engines fitted to rows.

    Attributes:
        engines: The fitted engines by name, classes included.
        uncertainty: Standard error of the logarithm of each coefficient, by engine.
        rows: Rows that each engine was fitted on.
    """

    engines: dict[str, Engine]
    uncertainty: dict[str, dict[str, float]]
    rows: dict[str, int]

    def engine_of(self, row: Measurement) -> Engine:
        """The fitted engine of a row; its class where the fit has seen no row of the engine."""
        named = engine_of(row)
        return self.engines.get(named.name) or self.engines[named.engine_class]

    def errors(self, measurements: Sequence[Measurement]) -> Floats:
        """ln(predicted / measured time) of each row; above 0 is too slow."""
        return errors_of(measurements, [self.engine_of(row) for row in measurements])


def errors_of(measurements: Sequence[Measurement], engines: Sequence[Engine]) -> Floats:
    """ln(predicted / measured time) of each row by its own engine; above 0 is too slow."""
    errors = np.empty(len(measurements))
    for rows in rows_of(measurements):
        engine = stacked_engine([engines[place] for place in rows.places])
        errors[rows.places] = np.log(rows.predicted(engine) / rows.seconds)
    return errors


def fit_engines(measurements: Sequence[Measurement], most_evaluations: int = 25) -> EngineFit:
    """Fit the coefficients: first those of 16-bit rows, then those of narrower weights.

    Args:
        measurements: Rows of time that the model can represent.
        most_evaluations: Evaluations after which a fit ends.
    """
    wide = [row for row in measurements if row.precision.matrix.bits >= 16]
    narrow = [row for row in measurements if row.precision.matrix.bits < 16]
    fit = _Problem(wide, COEFFICIENTS, class_engines()).solved(most_evaluations)
    if narrow:
        second = _Problem(narrow, QUANTISED, fit.engines).solved(most_evaluations)
        fit = _merged(fit, second)
    return fit


def _merged(first: EngineFit, second: EngineFit) -> EngineFit:
    names = first.engines.keys() | second.engines.keys()
    return EngineFit(
        engines={**first.engines, **second.engines},
        uncertainty={
            name: first.uncertainty.get(name, {}) | second.uncertainty.get(name, {})
            for name in names
        },
        rows={name: first.rows.get(name, 0) + second.rows.get(name, 0) for name in names},
    )


class _Problem:
    """A least-squares problem: rows, coefficients, and the engines that hold all others."""

    def __init__(
        self,
        measurements: Sequence[Measurement],
        coefficients: Sequence[Coefficient],
        engines: dict[str, Engine],
    ) -> None:
        self.coefficients = coefficients
        self.groups = rows_of(measurements)
        ordered = [row for rows in self.groups for row in rows.measurements]
        named = [engine_of(row) for row in ordered]
        self.classes = sorted(class_engines())
        self.names = sorted({engine.name for engine in named} - set(self.classes))
        self.of_class = np.array([self.classes.index(e.engine_class) for e in named])
        self.of_engine = np.array(
            [self.names.index(e.name) if e.name in self.names else -1 for e in named]
        )
        self.class_of_name = [
            next(e.engine_class for e in named if e.name == name) for name in self.names
        ]
        self.fixed = engines
        self.weights = _source_weights(ordered)
        self.low, self.high = (
            np.log([getattr(item, end) for item in coefficients]) for end in ("low", "high")
        )
        self.start = np.log(
            [[dict(c.starts).get(name, c.start) for c in coefficients] for name in self.classes]
        )
        self.widths = np.concatenate(
            [[c.shared for c in coefficients]]
            + [[c.of_class for c in coefficients]] * len(self.classes)
            + [[c.of_engine for c in coefficients]] * len(self.names)
        )
        # Column block of the engine's own departure; rows of a class itself have none.
        self.rows_fixed = [self._fixed_engine(engine) for engine in named]

    def _fixed_engine(self, engine: Engine) -> Engine:
        return self.fixed.get(engine.name) or self.fixed[engine.engine_class]

    def solved(self, most_evaluations: int) -> EngineFit:
        """The fit."""
        from scipy.optimize import least_squares

        count = len(self.coefficients) * (1 + len(self.classes) + len(self.names))
        loss: Any = self._loss
        result = least_squares(
            self._residuals,
            np.zeros(count),
            jac=self._jacobian,
            loss=loss,
            max_nfev=most_evaluations,
        )
        return self._fit(result.x, np.asarray(result.jac))

    def _values(self, departures: Floats, classes: Any, engines: Any) -> Floats:
        """Logarithms of the coefficients, (rows, coefficients), not yet within their limits."""
        blocks = departures.reshape(-1, len(self.coefficients))
        own = np.vstack([blocks[1 + len(self.classes) :], np.zeros(len(self.coefficients))])
        values: Floats = self.start[classes] + blocks[0] + blocks[1 + classes] + own[engines]
        return values

    def _errors(self, values: Floats) -> Floats:
        errors, begin = [], 0
        for rows in self.groups:
            end = begin + len(rows.measurements)
            errors.append(self._group_errors(rows, values[begin:end], begin))
            begin = end
        return np.concatenate(errors)

    def _group_errors(self, rows: Rows, values: Floats, begin: int) -> Floats:
        held = stacked_engine(self.rows_fixed[begin : begin + len(rows.measurements)])
        engine = with_coefficients(held, self.coefficients, np.exp(values).T)
        errors: Floats = np.log(rows.predicted(engine) / rows.seconds)
        return errors

    def _residuals(self, departures: Floats) -> Floats:
        values = self._values(departures, self.of_class, self.of_engine)
        errors = self._errors(np.clip(values, self.low, self.high))
        return np.concatenate([errors * self.weights / TOLERANCE, departures / self.widths])

    def _jacobian(self, departures: Floats) -> Floats:
        """Derivatives: each row depends on its own coefficients only, so one step a coefficient."""
        values = self._values(departures, self.of_class, self.of_engine)
        inside = (values >= self.low) & (values <= self.high)
        values = np.clip(values, self.low, self.high)
        here, count = self._errors(values), len(self.coefficients)
        slopes = np.empty_like(values)
        for index in range(count):
            moved = values.copy()
            moved[:, index] -= STEP
            slopes[:, index] = (here - self._errors(moved)) / STEP
        slopes *= inside * (self.weights / TOLERANCE)[:, None]
        blocks = np.zeros((len(slopes), 1 + len(self.classes) + len(self.names), count))
        every = np.arange(len(slopes))
        blocks[:, 0] = slopes
        blocks[every, 1 + self.of_class] = slopes
        own = self.of_engine >= 0
        blocks[every[own], 1 + len(self.classes) + self.of_engine[own]] = slopes[own]
        return np.vstack([blocks.reshape(len(slopes), -1), np.diag(1.0 / self.widths)])

    def _loss(self, squares: Floats) -> Floats:
        """Soft L1 for the rows; the priors stay quadratic."""
        values = np.vstack([squares, np.ones_like(squares), np.zeros_like(squares)])
        rows = len(self.weights)
        grown = 1.0 + squares[:rows]
        values[:, :rows] = 2.0 * (np.sqrt(grown) - 1.0), grown**-0.5, -0.5 * grown**-1.5
        return values

    def _fit(self, departures: Floats, jacobian: Floats) -> EngineFit:
        classes = np.array(
            [*range(len(self.classes)), *map(self.classes.index, self.class_of_name)]
        )
        engines = np.array([*[-1] * len(self.classes), *range(len(self.names))])
        names = [*self.classes, *self.names]
        values = np.clip(self._values(departures, classes, engines), self.low, self.high)
        errors = self._standard_errors(jacobian, classes, engines)
        counts = Counter(engines_rows(self))
        return EngineFit(
            engines={
                name: with_coefficients(self._held(name), self.coefficients, np.exp(value))
                for name, value in zip(names, values, strict=True)
            },
            uncertainty={
                name: {c.name: float(e) for c, e in zip(self.coefficients, error, strict=True)}
                for name, error in zip(names, errors, strict=True)
            },
            rows={name: counts[name] for name in names},
        )

    def _held(self, name: str) -> Engine:
        if name in self.fixed:
            return self.fixed[name]
        profile = load_engine(name)
        fixed = self.fixed[profile.engine_class]
        return replace(fixed, name=name, words=profile.words, description=profile.description)

    def _standard_errors(self, jacobian: Floats, classes: Any, engines: Any) -> Floats:
        covariance = np.linalg.inv(jacobian.T @ jacobian)
        count = len(self.coefficients)
        errors = np.empty((len(classes), count))
        for place, (of_class, own) in enumerate(zip(classes, engines, strict=True)):
            blocks = [0, 1 + of_class] + ([1 + len(self.classes) + own] if own >= 0 else [])
            for index in range(count):
                columns = [block * count + index for block in blocks]
                errors[place, index] = np.sqrt(covariance[np.ix_(columns, columns)].sum())
        return errors


def engines_rows(problem: _Problem) -> list[str]:
    """The engine of each row, and its class, so that counting them counts both."""
    own = [problem.names[place] for place in problem.of_engine if place >= 0]
    return [*own, *(problem.classes[place] for place in problem.of_class)]


def _source_weights(rows: Sequence[Measurement]) -> Floats:
    """Weights that make each source of a class count alike; their squares have a mean of 1."""
    sources = [(row.texts["source_id"], row.engine_class) for row in rows]
    sizes = Counter(sources)
    weights = np.array([sizes[source] ** -0.5 for source in sources])
    scaled: Floats = weights / np.sqrt(np.mean(weights**2))
    return scaled


def with_coefficients(
    engine: Engine, coefficients: Sequence[Coefficient], values: npt.NDArray[Any]
) -> Engine:
    """An engine with other coefficients: a number, or an array over rows, for each."""
    plain: dict[str, Any] = {}
    kernels: dict[str, Any] = {}
    for item, value in zip(coefficients, values, strict=True):
        number = value if np.ndim(value) else float(value)
        if item.name.startswith("attention."):
            kernels[item.name.removeprefix("attention.")] = number
        else:
            plain[item.name] = number
    attention: AttentionKernels = replace(engine.attention, **kernels)
    return replace(engine, attention=attention, device_shares=True, soft_roofs=True, **plain)
