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


@dataclass(frozen=True, slots=True)
class Coefficient:
    """A coefficient of engines, and its prior.

    Attributes:
        name: Field of `Engine`, or of its attention as "attention.field".
        start: Its value for all engines.
        low: Its least value.
        high: Its largest value.
        shared: How far its logarithm may lie from the start, for all engines together.
        of_class: How far for a class.
        of_engine: How far for an engine of a class.
        starts: Its value for a class, or an engine, whose physics is another.
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
    Coefficient("bandwidth_efficiency", 0.93, 0.4, 1.0, 0.03, 0.03, 0.2),
    Coefficient("kernel_floor", 4.5e-6, 3e-7, 3e-5, 0.1, 0.05, 0.5, starts=(("graphs", 2.5e-6),)),
    Coefficient(
        "elementwise_share",
        0.6,
        0.05,
        3.0,
        0.3,
        0.2,
        0.3,
        starts=(("eager", 0.3), ("vllm-2023", 0.6)),
    ),
    Coefficient("attention.flops_share", 0.7, 0.1, 1.0, 0.3, 0.15, 0.2),
    Coefficient("attention.bandwidth_share", 0.75, 0.1, 1.0, 0.2, 0.1, 0.2),
    Coefficient("attention.floor", 8e-6, 1e-7, 1e-4, 0.2, 0.1, 0.3),
    Coefficient("attention.score_bytes", 2.0, 0.01, 100.0, 1.5, 0.5, 1.0),
    Coefficient(
        "attention.cache_copies",
        0.05,
        0.01,
        6.0,
        1.0,
        1.5,
        0.3,
        starts=(("eager", 2.0), ("vllm-2023", 0.05)),
    ),
    Coefficient("link_share", 0.7, 0.05, 1.2, 0.3, 0.15, 0.3),
    Coefficient("link_latency", 3e-6, 1e-6, 2e-4, 0.5, 0.2, 0.4),
    Coefficient(
        "layer_host_time",
        1e-6,
        1e-7,
        2e-3,
        0.5,
        1.0,
        0.2,
        starts=(("eager", 7e-4), ("vllm-2023", 3.5e-4)),
    ),
    Coefficient(
        "step_host_time",
        6e-4,
        1e-6,
        3e-2,
        0.5,
        0.3,
        1.0,
        starts=(("graphs", 1e-4), ("vllm-2024", 1e-3)),
    ),
    Coefficient(
        "sequence_host_time",
        5e-6,
        1e-7,
        2e-4,
        0.5,
        0.5,
        1.0,
        starts=(("vllm-2024", 4.5e-5),),
    ),
    Coefficient("kernel_factor", 1.0, 0.5, 2.0, 0.03, 0.03, 0.08),
    Coefficient("kernel_gap", 5e-7, 1e-8, 1e-5, 0.5, 0.3, 0.5),
)
"""The coefficients that 16-bit rows determine. The starts are measured operators (floors, shares)
and what Python costs a layer (eager); the widths state what engines share: mostly their matrix
products, which are the vendor's, less so their overheads. In a CUDA graph the light kernels of
vidur's A100 (`add`, `emb` at one token) take 2 to 3 us, and NVIDIA states 0.5 us between kernels
("Getting Started with CUDA Graphs", 2019); a loop in one process has little left to do for a step,
while vLLM's scheduler leaves the device idle for milliseconds (vllm-project/vllm issue 6854: 4 to
13 ms with many requests). An all-reduce starts in 3.6 us and reaches 0.7 of the link (figures of
NCCL). Op by op, a norm casts to float32
and passes over its values six times, and rotary embeddings four times: of 94,000 values that a
layer of Llama-2-7B moves for a token when fused, 301,000 (eager). A token's sampling took vLLM of
2024 about 45 us a sequence. The first vLLM launched op by op as well, but a dozen fused kernels a
layer where transformers launches thirty, and did not copy its cache."""

QUANTISED = (
    Coefficient("quantised_flops_share", 0.5, 0.02, 1.5, 0.7, 0.5, 0.5),
    Coefficient("quantised_bandwidth_share", 0.8, 0.05, 1.5, 0.5, 0.3, 0.5),
)
"""The coefficients that only rows with narrower weights determine; the others stay as fitted."""


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
        return np.concatenate([errors * self.weights, deviations / self.layout.widths])

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
        return np.vstack([rows, np.diag(1.0 / layout.widths)])

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
