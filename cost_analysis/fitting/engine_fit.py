"""Fits the coefficients of engines to measurements, with cross-validation by group.

Every coefficient of an engine is its logarithm for all engines, plus the deviation of its class
from that, plus the deviation of the engine from its class. A prior keeps each deviation near zero
(partial pooling, Gelman and Hill, "Data Analysis Using Regression", 2006, ch. 12), so that an
engine with few rows stays near its class, and an unknown source is predicted by what engines have
in common. Priors start from physics and from single operators. The loss is robust:
soft L1 of the error of the logarithm of time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cost_analysis.fitting.coefficients import COEFFICIENTS, QUANTISED, Coefficient
from cost_analysis.fitting.measurements import Measurement
from cost_analysis.fitting.predictions import (
    Floats,
    Group,
    class_engines,
    engine_of,
    rows_of,
    stacked_engine,
)
from cost_analysis.inputs.engine import AttentionKernels, Engine
from cost_analysis.inputs.profiles import load_engine


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


TOLERANCE = 0.06
"""Error of the logarithm of time from which the loss grows slower than its square."""

Places = npt.NDArray[np.intp]

BEYOND = 0.02
"""Logarithm beyond a limit that counts as much as one deviation from a prior."""

STEP = 1e-4
"""Change of a coefficient's logarithm by which derivatives are taken."""


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
        return self.engines.get(named.name) or like(self.engines[named.engine_class], named)

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


def fit_engines(measurements: Sequence[Measurement], most_evaluations: int = 50) -> EngineFit:
    """Fit the coefficients: first those of 16-bit rows, then those of narrower weights.

    Args:
        measurements: Rows of time that the model can represent.
        most_evaluations: Evaluations after which a fit ends.
    """
    wide = [row for row in measurements if row.precision.matrix.bits >= 16]
    narrow = [row for row in measurements if row.precision.matrix.bits < 16]
    fit = Problem(rows_of(wide), COEFFICIENTS, class_engines()).solved(most_evaluations)
    if narrow:
        second = Problem(rows_of(narrow), QUANTISED, fit.engines).solved(most_evaluations)
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


def like(of_class: Engine, named: Engine) -> Engine:
    """An engine with the coefficients of its class, and its own properties that are not fitted."""
    return replace(
        of_class,
        name=named.name,
        words=named.words,
        description=named.description,
        kernels=named.kernels,
        attention=replace(of_class.attention, filling_blocks=named.attention.filling_blocks),
    )


def _with_priors(coefficients: Sequence[Coefficient]) -> list[Engine]:
    """The engines that have priors of their own."""
    names = {name for item in coefficients for name, _ in item.starts} - class_engines().keys()
    return [load_engine(name) for name in sorted(names)]


class _Layout:
    """The places of the deviations of the coefficients: all engines, each class, each engine."""

    def __init__(self, coefficients: Sequence[Coefficient], engines: Sequence[Engine]) -> None:
        self.coefficients = coefficients
        self.classes = sorted(class_engines())
        all_engines = (*engines, *_with_priors(coefficients))
        known = {engine.name: engine.engine_class for engine in all_engines}
        self.names = sorted(known.keys() - set(self.classes))
        self.class_of_name = [known[name] for name in self.names]
        self.start = np.log(
            [[dict(c.starts).get(name, c.start) for c in coefficients] for name in self.classes]
        )
        of_class = self.start[[self.classes.index(name) for name in self.class_of_name]]
        own = [[dict(c.starts).get(name, np.nan) for c in coefficients] for name in self.names]
        self.own_start = np.nan_to_num(np.log(own).reshape(of_class.shape) - of_class)
        self.low = np.log([item.low for item in coefficients])
        self.high = np.log([item.high for item in coefficients])
        self.widths = np.array(
            [[c.shared for c in coefficients]]
            + [[c.of_class for c in coefficients]] * len(self.classes)
            + [[c.of_engine for c in coefficients]] * len(self.names)
        ).ravel()

    def places(self, engines: Sequence[Engine]) -> tuple[Places, Places]:
        """The class of each engine, and its place among the names; -1 for a class itself."""
        own = [self.names.index(e.name) if e.name in self.names else -1 for e in engines]
        return np.array([self.classes.index(e.engine_class) for e in engines]), np.array(own)

    def values(self, deviations: Floats, classes: Places, own: Places) -> Floats:
        """Logarithms of the coefficients, (engines, coefficients), not yet within their limits."""
        blocks = deviations.reshape(-1, len(self.coefficients))
        named = blocks[1 + len(self.classes) :] + self.own_start
        named = np.vstack([named, np.zeros(len(self.coefficients))])
        values: Floats = self.start[classes] + blocks[0] + blocks[1 + classes] + named[own]
        return values

    def clipped(self, values: Floats) -> Floats:
        """The values within their limits."""
        return np.clip(values, self.low, self.high)

    def spread_out(self, slopes: Floats, classes: Places, own: Places) -> Floats:
        """Slopes by an engine's own coefficients as slopes by the deviations that make them."""
        blocks = np.zeros((len(slopes), 1 + len(self.classes) + len(self.names), slopes.shape[1]))
        every = np.arange(len(slopes))
        blocks[:, 0] = slopes
        blocks[every, 1 + classes] = slopes
        named = own >= 0
        blocks[every[named], 1 + len(self.classes) + own[named]] = slopes[named]
        return blocks.reshape(len(slopes), -1)


class Problem:
    """A least-squares problem: rows, coefficients, and the engines that hold all others."""

    def __init__(
        self,
        groups: Sequence[Group],
        coefficients: Sequence[Coefficient],
        engines: dict[str, Engine],
    ) -> None:
        """Pose the problem.

        Args:
            groups: The rows.
            coefficients: What is fitted.
            engines: Engines by name, their classes among them, with all that is not fitted.
        """
        self.groups = groups
        named = [engine for rows in groups for engine in rows.named]
        self.coefficients = coefficients
        self.layout = _Layout(coefficients, named)
        self.classes, self.own = self.layout.places(named)
        self.engines = engines
        self.held = [engines.get(e.name) or like(engines[e.engine_class], e) for e in named]
        self.weights = _source_weights([s for rows in groups for s in rows.sources]) / TOLERANCE
        self.counts = Counter(name for e in named for name in {e.name, e.engine_class})
        every = [self._engine(name) for name in (*self.layout.classes, *self.layout.names)]
        self.all_places = self.layout.places(every)

    def solved(self, most_evaluations: int) -> EngineFit:
        """The fit."""
        from scipy.optimize import least_squares

        if not self.groups:  # nothing but the priors
            return self._fit(np.zeros(len(self.layout.widths)), np.diag(1.0 / self.layout.widths))
        loss: Any = self._loss
        result = least_squares(
            self._residuals,
            np.zeros(len(self.layout.widths)),
            jac=self._jacobian,
            loss=loss,
            max_nfev=most_evaluations,
        )
        return self._fit(result.x, np.asarray(result.jac))

    def _errors(self, values: Floats) -> Floats:
        """ln(predicted / measured time) of each row with coefficients of its own."""
        errors, begin = [], 0
        for rows in self.groups:
            end = begin + len(rows.seconds)
            numbers = np.exp(values[begin:end]).T
            engine = with_coefficients(
                stacked_engine(self.held[begin:end]), self.coefficients, numbers
            )
            errors.append(np.log(rows.predicted(engine) / rows.seconds))
            begin = end
        return np.concatenate(errors)

    def _residuals(self, deviations: Floats) -> Floats:
        values = self.layout.values(deviations, self.classes, self.own)
        errors = self._errors(self.layout.clipped(values))
        return np.concatenate(
            [errors * self.weights, deviations / self.layout.widths, self._beyond(deviations)]
        )

    def _beyond(self, deviations: Floats) -> Floats:
        """What pulls coefficients back that a step took beyond their limits.

        Rows tell nothing of them there, so that without it they would stay.
        """
        values = self.layout.values(deviations, *self.all_places)
        beyond: Floats = ((values - self.layout.clipped(values)) / BEYOND).ravel()
        return beyond

    def _slopes_beyond(self, deviations: Floats) -> Floats:
        """Derivatives of `_beyond`."""
        layout = self.layout
        values = layout.values(deviations, *self.all_places)
        outside = (values < layout.low) | (values > layout.high)
        slopes = []
        for index in range(len(self.coefficients)):
            own = np.zeros_like(values)
            own[:, index] = outside[:, index] / BEYOND
            slopes.append(layout.spread_out(own, *self.all_places))
        # As `_beyond` has them: engine by engine, and in each coefficient by coefficient.
        together: Floats = np.stack(slopes, axis=1).reshape(values.size, -1)
        return together

    def _jacobian(self, deviations: Floats) -> Floats:
        """Derivatives: each row depends on its own coefficients only, so one step a coefficient."""
        layout = self.layout
        values = layout.values(deviations, self.classes, self.own)
        inside = (values >= layout.low) & (values <= layout.high)
        values = layout.clipped(values)
        here, slopes = self._errors(values), np.empty_like(values)
        for index in range(len(self.coefficients)):
            moved = values.copy()
            moved[:, index] -= STEP
            slopes[:, index] = (here - self._errors(moved)) / STEP
        slopes *= inside * self.weights[:, None]
        rows = layout.spread_out(slopes, self.classes, self.own)
        return np.vstack([rows, np.diag(1.0 / layout.widths), self._slopes_beyond(deviations)])

    def _loss(self, squares: Floats) -> Floats:
        """Soft L1 for the rows; the priors stay quadratic."""
        values = np.vstack([squares, np.ones_like(squares), np.zeros_like(squares)])
        rows = len(self.weights)
        grown = 1.0 + squares[:rows]
        values[:, :rows] = 2.0 * (np.sqrt(grown) - 1.0), grown**-0.5, -0.5 * grown**-1.5
        return values

    def _fit(self, deviations: Floats, jacobian: Floats) -> EngineFit:
        layout = self.layout
        names = [*layout.classes, *layout.names]
        engines = [self._engine(name) for name in names]
        classes, own = layout.places(engines)
        values = np.exp(layout.clipped(layout.values(deviations, classes, own)))
        errors = self._standard_errors(jacobian, classes, own)
        return EngineFit(
            engines={
                engine.name: with_coefficients(engine, self.coefficients, value)
                for engine, value in zip(engines, values, strict=True)
            },
            uncertainty={
                name: dict(zip((c.name for c in self.coefficients), error.tolist(), strict=True))
                for name, error in zip(names, errors, strict=True)
            },
            rows={name: self.counts[name] for name in names},
        )

    def _engine(self, name: str) -> Engine:
        """The engine whose other coefficients a fitted one keeps."""
        if name in self.engines:
            return self.engines[name]
        profile = load_engine(name)
        return like(self.engines[profile.engine_class], profile)

    def _standard_errors(self, jacobian: Floats, classes: Places, own: Places) -> Floats:
        """Standard errors of the logarithms, (engines, coefficients)."""
        covariance = np.linalg.inv(jacobian.T @ jacobian)
        count = len(self.coefficients)
        errors = np.empty((len(classes), count))
        for index in range(count):
            one = np.zeros((len(classes), count))
            one[:, index] = 1.0
            sums = self.layout.spread_out(one, classes, own)
            errors[:, index] = np.sqrt(np.einsum("ij,jk,ik->i", sums, covariance, sums))
        return errors


def _source_weights(sources: Sequence[str]) -> Floats:
    """Weights that make each source count alike; their squares have a mean of 1."""
    sizes = Counter(sources)
    weights = np.array([sizes[source] ** -0.5 for source in sources])
    # Each source adds 1 to the sum of squares.
    scaled: Floats = weights * np.sqrt(len(sources) / max(len(sizes), 1))
    return scaled
