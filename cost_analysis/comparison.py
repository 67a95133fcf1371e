"""One streamed model beside its base and the parameter-scaled model of equal loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from cost_analysis.arrays import Number
from cost_analysis.baselines import Baseline, chosen_baseline, size_of, widened_baseline
from cost_analysis.compare import ratio_of_increases
from cost_analysis.errors import InputError
from cost_analysis.estimate import Estimate, estimate
from cost_analysis.request import Request
from cost_analysis.scaling_law import ScalingLaw, fit
from cost_analysis.spec import ModelSpec
from cost_analysis.training_runs import published_runs

SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Metric:
    """A cost in one quantity.

    Attributes:
        name: Key in records.
        label: What tables call it.
        unit: SI unit.
        base: The base, P = 1.
        streamed: The streamed model.
        baseline: The parameter-scaled model.
        less_is_better: False for rates.
    """

    name: str
    label: str
    unit: str
    base: Number
    streamed: Number
    baseline: Number
    less_is_better: bool = True

    @property
    def ratio(self) -> float:
        """How many times what the streams add the baseline adds; nan for rates."""
        if not self.less_is_better:
            return math.nan
        added, wider = self.streamed - self.base, self.baseline - self.base
        return float(ratio_of_increases(wider, added, self.base))


@dataclass(frozen=True, slots=True)
class Comparison:
    """A streamed model, its base and its baseline on one workload.

    Attributes:
        base: The same model with one stream.
        streamed: The streamed model.
        baseline: The parameter-scaled model.
        chosen: How the baseline was chosen and what it is.
        metrics: Costs of the three.
        warnings: Sentences.
    """

    base: Estimate
    streamed: Estimate
    baseline: Estimate
    chosen: Baseline
    metrics: tuple[Metric, ...]
    warnings: tuple[str, ...]


def comparison(
    request: Request,
    *,
    baseline: str = "law",
    dataset: str = "stack",
    losses: tuple[float, float] | None = None,
    price_per_hour: float | None = None,
) -> Comparison:
    """A streamed model against parameters.

    Args:
        request: The streamed model, the workload and the system.
        baseline: "law", "measured", or the name of a model.
        dataset: Data set of the law and the measured losses: "stack" or "pile".
        losses: Losses that the user measured at P = 1 and with the streams; the law's floor and
            exponent then say how many times the parameters that is worth.
        price_per_hour: Price of the device [$/h].

    Raises:
        InputError: No such baseline, or one that does not exist.
    """
    if request.spec.streams == 1:
        raise InputError("P is 1: there are no streams to compare; give --P 2 or more")
    if price_per_hour is not None and not 0 < price_per_hour < 1e12:
        raise InputError(f"price_per_hour is {price_per_hour}; it must be above 0")
    chosen = choose(request.spec, baseline, dataset, losses)
    (model,) = chosen.specs
    base, streamed, scaled = (
        estimate(
            spec,
            request.workload,
            request.hardware,
            request.engine,
            request.precision,
            request.layout.of_streams(spec.streams),
        )
        for spec in (request.spec.with_streams(1), request.spec, model)
    )
    metrics = _metrics(base, streamed, scaled, price_per_hour)
    warnings = [*chosen.warnings, *_too_small(scaled, streamed)]
    if chosen.parameters <= size_of(base.spec):
        warnings.append("the baseline is no larger than the base: ratios say nothing")
    return Comparison(base, streamed, scaled, chosen, metrics, tuple(warnings))


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
    """Parameters that a drop of the loss is worth: ((before − E) / (after − E))^(1/alpha).

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


def _metrics(
    base: Estimate, streamed: Estimate, baseline: Estimate, price: float | None
) -> tuple[Metric, ...]:
    named: list[tuple[str, str, str, Callable[[Estimate], Number], bool]] = [
        ("memory", "Memory", "B", lambda cost: cost.memory.total, True),
        ("weights", "  weights", "B", lambda cost: cost.memory.weights, True),
        ("kv_cache", "  KV cache", "B", lambda cost: cost.memory.kv_cache, True),
        ("activations", "  activations", "B", lambda cost: cost.memory.activations, True),
        ("ttft", "Time to first token", "s", lambda cost: cost.ttft, True),
        ("tpot", "Time per output token", "s", lambda cost: cost.tpot, True),
        ("latency", "Latency of the request", "s", lambda cost: cost.total, True),
        ("tokens_per_s", "Tokens per second", "1/s", lambda cost: cost.tokens_per_second, False),
    ]
    if streamed.hardware.tdp:
        named.append(("tokens_per_joule", "Tokens per joule", "1/J", tokens_per_joule, False))
    if price is not None:
        named.append(
            (
                "dollars_per_million_tokens",
                "$ per million tokens",
                "$",
                lambda cost: (
                    price * cost.layout.devices / SECONDS_PER_HOUR / cost.tokens_per_second * 1e6
                ),
                True,
            )
        )
    if not streamed.workload.decode_steps:
        named = [item for item in named if item[0] != "tpot"]
    return tuple(
        Metric(name, label, unit, of(base), of(streamed), of(baseline), less)
        for name, label, unit, of, less in named
    )


def tokens_per_joule(cost: Estimate) -> Number:
    """Generated tokens for each joule, with all devices at their power limit throughout [1/J].

    A lower bound: a device that waits for memory draws less than its limit.
    """
    return cost.tokens_per_second / (cost.hardware.tdp * cost.layout.devices)


def _too_small(baseline: Estimate, streamed: Estimate) -> list[str]:
    device = baseline.hardware
    sentences = []
    for name, cost in (("the streamed model", streamed), ("the baseline", baseline)):
        if cost.memory.total > device.memory:
            sentences.append(f"{name} does not fit {device.name}: its time is hypothetical")
    return sentences
