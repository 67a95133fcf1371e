"""The parameter-scaled model of equal loss that a streamed model is compared with.

Three ways to choose it: the measured losses of the published runs (the paper's way), the scaling
law, or a model that the user names. The first two lie between members of the published family, so
their cost is a weighted mean of the costs of models that exist; `widened` gives a model that one
could build instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from cost_analysis.arrays import Number, as_float
from cost_analysis.errors import InputError
from cost_analysis.law_evidence import evidence_warnings
from cost_analysis.layers import Experts
from cost_analysis.parameters import parameters
from cost_analysis.profiles import load_model
from cost_analysis.scaling_law import Fit, ScalingLaw
from cost_analysis.spec import ModelSpec
from cost_analysis.training_runs import Runs
from cost_analysis.units import format_count

TOLERANCE = 0.01
"""Largest relative error of a widened model's parameter count."""

FAMILY = ("0.5b", "0.7b", "1.1b", "1.6b", "2.8b", "4.4b")
"""The published sizes, smallest first."""


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
            cost_of: From a model to its cost; models of weight 0 are not asked.
        """
        return sum(
            weight * cost_of(spec)
            for spec, weight in zip(self.specs, self.weights, strict=True)
            if np.any(weight)
        )


@cache
def family() -> tuple[ModelSpec, ...]:
    """The published models at P = 1, smallest first."""
    return tuple(load_model(name).spec for name in FAMILY)


def size_of(spec: ModelSpec) -> Number:
    """Parameters without embeddings, prefixes and aggregator included: the law's N."""
    return parameters(spec).non_embedding


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
            f"{_called(streamed)} at P = {streamed.streams}: the best, {names[0]}, has "
            f"{losses[0]:.4f}; use the fitted law, --baseline law"
        )
    weights = interpolation_weights(target, losses)
    specs = tuple(load_model(str(name)).spec for name in names)
    used = [
        f"{name} ({loss:.4f})" for name, loss, w in zip(names, losses, weights, strict=True) if w
    ]
    size = sum(w * size_of(spec) for w, spec in zip(weights, specs, strict=True))
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


def describe(model: ModelSpec) -> str:
    """A one-line description of an architecture."""
    name = f"{model.name.upper()}: " if model.name else ""
    return (
        f"{name}{format_count(size_of(model))} parameters without embeddings, "
        f"hidden {model.hidden_size}, MLP {model.intermediate_size}, "
        f"{model.num_hidden_layers} layers"
    )


def widened(spec: ModelSpec, size: float) -> ModelSpec:
    """The P = 1 model of `size` parameters without embeddings at the depth and shape of `spec`.

    The hidden size is a multiple of the heads and of 128, the MLP a multiple of 128 or, where the
    count needs finer steps, of less; of the shapes that hit the count to within 1 % the one that
    keeps the ratio of the widths best.

    Args:
        spec: The model whose depth, heads and vocabulary are kept.
        size: Parameters without embeddings, N.

    Raises:
        InputError: No such model: the count is too small for the depth, or experts have a width
            of their own, which no ratio ties to the others.
    """
    if any(isinstance(kind.mlp, Experts) and kind.mlp.width is not None for kind in spec.layers):
        raise InputError(
            f"{_called(spec)} cannot be widened: its experts have a width of their own; name a "
            "model to compare with"
        )
    multiple = hidden_multiple(spec)
    shape = spec.intermediate_size / spec.hidden_size
    guess = spec.hidden_size * math.sqrt(size / size_of(spec.with_streams(1)))
    nearest = max(1, round(guess / multiple))
    best: tuple[float, ModelSpec] | None = None
    for step in range(max(1, nearest - 3), nearest + 4):
        for model in _candidates(spec, step * multiple, size):
            if abs(size_of(model) / size - 1) <= TOLERANCE:
                off = abs(math.log(model.intermediate_size / model.hidden_size / shape))
                if best is None or off < best[0]:
                    best = (off, model)
                break
    if best is None:
        raise InputError(
            f"no model of {format_count(size)} parameters without embeddings has "
            f"{spec.num_hidden_layers} layers and a hidden size that is a multiple of {multiple}"
        )
    return best[1]


def hidden_multiple(spec: ModelSpec) -> int:
    """The number whose multiples are hidden sizes of models of the same heads: 128 divides it."""
    return math.lcm(128, spec.num_attention_heads if spec.scales_heads else 1)


def _candidates(spec: ModelSpec, hidden: int, size: float) -> Sequence[ModelSpec]:
    """Models of one hidden size, the MLP as near the count as multiples of 128, 64, … allow."""
    bare, two = (size_of(spec.with_widths(hidden, inner)) for inner in (1, 2))
    wanted = (size - bare) / (two - bare) + 1
    found = []
    for multiple in (128, 64, 32, 16, 8, 4, 2, 1):
        inner = round(wanted / multiple) * multiple
        if inner >= 1:
            found.append(spec.with_widths(hidden, inner))
    return found


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
    size = as_float(size_of(streamed))
    match = (runs.parameters == size) & (runs.streams == streamed.streams)
    if not match.any():
        raise InputError(
            f"no published run has the {format_count(size)} parameters of {_called(streamed)} at "
            f"P = {streamed.streams}; runs exist for {', '.join(dict.fromkeys(runs.sizes))} at "
            f"P = {', '.join(f'{p:g}' for p in np.unique(runs.streams))}"
        )
    return float(runs.loss[match][0])


def _called(spec: ModelSpec) -> str:
    return spec.name.upper() or f"a model of hidden size {spec.hidden_size}"


def in_family(spec: ModelSpec) -> bool:
    """Whether a model is a published one, apart from its streams."""
    plain = replace(spec, streams=1)
    return any(
        plain
        == replace(
            member,
            name=spec.name,
            prefix_tokens=spec.prefix_tokens,
            max_position_embeddings=spec.max_position_embeddings,
        )
        for member in family()
    )
