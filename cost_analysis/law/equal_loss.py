"""The parameter-scaled model of equal loss that a streamed model is compared with.

Three ways to choose it: the measured losses of the published runs (the paper's way), the scaling
law, or a model that the user names. The first two lie between members of the published family, so
their cost is a weighted mean of the costs of models that exist; `widened` gives a model that one
could build instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from cost_analysis.common.arrays import Number, single
from cost_analysis.common.errors import InputError
from cost_analysis.common.units import format_count
from cost_analysis.inputs.models import load_model
from cost_analysis.inputs.spec import ModelSpec
from cost_analysis.law.family import describe, family, in_family, size_of, spec_title, widened
from cost_analysis.law.runs import Runs, evidence_warnings, published_runs
from cost_analysis.law.scaling_law import Fit, ScalingLaw, fit


@dataclass(frozen=True, slots=True)
class Baseline:
    """A parameter-scaled model, or a point between some.

    Attributes:
        method: "measured", "law", "widened" or "model".
        description: A description for reports.
        parameters: Its parameters without embeddings, N; an array for samples of a law.
        specs: Models whose costs are mixed.
        weights: Share of each; they sum to 1 and may be arrays, one value a sample.
        warnings: Sentences on where the choice extrapolates.
    """

    method: str
    description: str
    parameters: Number
    specs: tuple[ModelSpec, ...]
    weights: tuple[Number, ...]
    warnings: tuple[str, ...] = ()

    def cost(self, cost_of: Callable[[ModelSpec], Number]) -> Number:
        """The weighted mean of a cost of the models.

        Args:
            cost_of: From a model to its cost; not called for models of weight 0.
        """
        return sum(
            weight * cost_of(spec)
            for spec, weight in zip(self.specs, self.weights, strict=True)
            if np.any(weight)
        )


def measured_baseline(streamed: ModelSpec, runs: Runs) -> Baseline:
    """The paper's way: linear in loss between two measured P = 1 models.

    Args:
        streamed: A published model with its streams.
        runs: The published runs of one data set.

    Raises:
        InputError: No run of this model, or no P = 1 model that reaches its loss.
    """
    target = _measured_loss(streamed, runs)
    plain = runs.streams == 1
    order = np.argsort(runs.loss[plain])
    losses = runs.loss[plain][order]
    names = np.array(runs.sizes)[plain][order]
    if not losses[0] <= target <= losses[-1]:
        raise InputError(
            f"no measured P = 1 model reaches the loss {target:.4f} of "
            f"{spec_title(streamed)} at P = {streamed.streams}: the best, {names[0]}, has "
            f"{losses[0]:.4f}; use the fitted law, --baseline law"
        )
    weights = interpolation_weights(target, losses)
    specs = tuple(load_model(str(name)).spec for name in names)
    used = [
        f"{name} ({loss:.4f})" for name, loss, w in zip(names, losses, weights, strict=True) if w
    ]
    size = single(sum(w * size_of(spec) for w, spec in zip(weights, specs, strict=True)))
    return Baseline(
        method="measured",
        description=f"{format_count(size)} parameters, linear in measured loss at {target:.4f} "
        f"between {' and '.join(reversed(used))}",
        parameters=size,
        specs=specs,
        weights=weights,
    )


def law_baseline(streamed: ModelSpec, law: ScalingLaw, runs: Runs | None = None) -> Baseline:
    """The law's way: N·(1 + k·ln P) parameters, linear in N between members of the family.

    A model that is not of the published family is widened instead.

    Args:
        streamed: The model with its streams.
        law: The law; with arrays, one value a sample.
        runs: What it was fitted on, for warnings.
    """
    return sized_baseline(streamed, law.equal_loss_size(size_of(streamed), streamed.streams), runs)


def sized_baseline(spec: ModelSpec, size: Number, runs: Runs | None = None) -> Baseline:
    """A P = 1 model of `size` parameters without embeddings, of the shape of `spec`."""
    warnings = tuple(evidence_warnings(runs, size, spec.streams)) if runs is not None else ()
    if not in_family(spec):
        if np.ndim(size):
            raise InputError("only models of the published family can be sized by samples of a law")
        return replace(widened_baseline(spec, float(size)), method="law", warnings=warnings)
    nodes = np.array([size_of(member) for member in family()], np.float64)
    weights = interpolation_weights(size, nodes)
    used = [str(m.name).upper() for m, w in zip(family(), weights, strict=True) if np.any(w)]
    middle = float(np.median(size))
    return Baseline(
        method="law",
        description=f"{format_count(middle)} parameters, linear in N between {' and '.join(used)}",
        parameters=size,
        specs=family(),
        weights=weights,
        warnings=warnings,
    )


def chosen_baseline(streamed: ModelSpec, chosen: str, fitted: Fit) -> Baseline:
    """The baseline that a user names.

    Args:
        streamed: The model with its streams.
        chosen: "law", "measured", or the name of a model.
        fitted: The law, on the runs whose losses count.

    Raises:
        InputError: No such baseline.
    """
    if chosen == "law":
        return law_baseline(streamed, fitted.law, fitted.runs)
    if chosen == "measured":
        return measured_baseline(streamed, fitted.runs)
    return model_baseline(load_model(chosen).spec)


def widened_baseline(spec: ModelSpec, size: float) -> Baseline:
    """A model that one could build: the depth and shape of `spec` with `size` parameters."""
    model = widened(spec, size)
    return Baseline("widened", describe(model), size_of(model), (model,), (1.0,))


def model_baseline(model: ModelSpec) -> Baseline:
    """A model that the user names."""
    return Baseline("model", describe(model), size_of(model), (model,), (1.0,))


def interpolation_weights(value: Number, nodes: np.ndarray) -> tuple[Number, ...]:
    """Weights of linear interpolation between the two nodes next to a value.

    Beyond the outermost nodes the outermost segment is extended.

    Args:
        value: Number or array.
        nodes: Rising positions, at least two.
    """
    position = np.asarray(value, np.float64)
    left = np.clip(np.searchsorted(nodes, position, side="right") - 1, 0, len(nodes) - 2)
    share = (position - nodes[left]) / (nodes[left + 1] - nodes[left])
    return tuple(
        np.where(left == node, 1.0 - share, np.where(left + 1 == node, share, 0.0))[()]
        for node in range(len(nodes))
    )


def _measured_loss(streamed: ModelSpec, runs: Runs) -> float:
    size = float(size_of(streamed))
    match = (runs.parameters == size) & (runs.streams == streamed.streams)
    if not match.any():
        raise InputError(
            f"no published run has the {format_count(size)} parameters of {spec_title(streamed)} "
            f"at P = {streamed.streams}; runs exist for {', '.join(dict.fromkeys(runs.sizes))} at "
            f"P = {', '.join(f'{p:g}' for p in np.unique(runs.streams))}"
        )
    return float(runs.loss[match][0])


def choose(
    spec: ModelSpec, baseline: str, dataset: str, losses: tuple[float, float] | None
) -> Baseline:
    """The parameter-scaled model, as one that could be built."""
    fitted = fit(published_runs(dataset))
    if losses is not None:
        return _from_losses(spec, fitted.law, losses)
    point = chosen_baseline(spec, baseline, fitted)
    if point.method == "model":
        return point
    how = {"law": "fitted law", "measured": "measured losses"}[point.method]
    built = widened_baseline(spec, float(point.parameters))
    return replace(built, method=f"{how}, {dataset}", warnings=point.warnings)


def _from_losses(spec: ModelSpec, law: ScalingLaw, losses: tuple[float, float]) -> Baseline:
    worth = size_multiple(law, *losses)
    built = widened_baseline(spec, float(size_of(spec.with_streams(1)) * worth))
    return replace(built, method=f"your losses, worth {worth:.3f} times the parameters")


def size_multiple(law: ScalingLaw, before: float, after: float) -> float:
    """Factor on N that lowers the loss as much: ((before − E) / (after − E))^(1/alpha).

    Args:
        law: For its floor E and exponent alpha.
        before: Loss at P = 1.
        after: Loss with the streams.

    Raises:
        InputError: A loss that the law does not reach, or no drop.
    """
    if not after <= before:
        raise InputError(f"the losses rise from {before:g} to {after:g}; give P = 1 first")
    return float(law.equal_loss_parameters(after) / law.equal_loss_parameters(before))
