"""The paper's claims: how many times less streams cost than parameters, in every reading.

A ratio of increases: (cost of the parameter-scaled model of equal loss − cost of the base) over
(cost of the streamed model − cost of the base). The paper's own numbers are the published cost
model, the measured baseline on Stack-V2-Python, and the mean over input = output in
{64, 128, 256, 512}: 22× and 6× at batch 1, 7× and 1.7× from the means over batch 1, 2, 4 and 8
(arXiv 2505.10475, abstract and Figure 1; reconstructed, QwenLM/ParScale issue 6).

In fewer bits, the numerator has the wider model's weights, and the denominator what streams add
to cache, activations and time; formats narrow these one by one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import product, starmap
from operator import attrgetter
from typing import Any

import numpy as np

from cost_analysis.common.arrays import Number, single_count
from cost_analysis.common.errors import InputError
from cost_analysis.compare.cost_models import COST_MODELS, Cost, Setting, mean_cost
from cost_analysis.cost.estimate import Estimate, estimate_on, ratio_of_increases
from cost_analysis.inputs.dtypes import Precision
from cost_analysis.inputs.engine import Engine
from cost_analysis.inputs.spec import ModelSpec
from cost_analysis.inputs.system import System
from cost_analysis.law.equal_loss import Baseline, law_baseline, measured_baseline
from cost_analysis.law.runs import DATASETS, published_runs
from cost_analysis.law.scaling_law import LEVEL, SAMPLES, Fit, LawSamples, bootstrap, fit

METHODS = ("measured", "law")

BATCHES = ((1,), (1, 2, 4, 8))
"""Batch sizes of the abstract, and those that Figure 1 averages over."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times less the streams add than the parameters.

    Attributes:
        value: The ratio (`ratio_of_increases`); nan also where there is no baseline.
        low: Lower end of its interval; None where the baseline is not uncertain, or the ratio
            not finite.
        high: Upper end.
    """

    value: float = math.nan
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """The claim under one choice of cost model, baseline, data set and requests.

    Attributes:
        cost_model: "published" or "operators".
        method: "measured" or "law".
        dataset: "stack" or "pile".
        base: The model that is scaled.
        streams: P of the streamed model.
        setting: The requests.
        memory: Ratio of the memory increases.
        latency: Ratio of the latency increases.
        baseline: The parameter-scaled model; None where there is none.
        note: Why a ratio is missing, or where it is extrapolated.
        engine: What runs our own cost model; "" for the published one.
    """

    cost_model: str
    method: str
    dataset: str
    base: ModelSpec
    streams: int
    setting: Setting
    memory: Ratio
    latency: Ratio
    baseline: Baseline | None = None
    note: str = ""
    engine: str = ""


@dataclass(frozen=True, slots=True)
class Law:
    """A fitted law of one data set and its refits."""

    fitted: Fit
    samples: LawSamples


def fitted_laws(
    datasets: Sequence[str] = tuple(DATASETS), samples: int = SAMPLES, seed: int = 0
) -> dict[str, Law]:
    """The law of each data set on the published runs, with bootstrap refits."""
    fits = {name: fit(published_runs(name)) for name in datasets}
    return {name: Law(fitted, bootstrap(fitted, samples, seed)) for name, fitted in fits.items()}


def readings(
    base: ModelSpec,
    streams: int,
    settings: Sequence[Setting],
    system: System,
    laws: dict[str, Law],
    level: float = LEVEL,
) -> list[Reading]:
    """Every reading of the claim: cost model × baseline × data set × setting.

    Args:
        base: The model that is scaled, at P = 1.
        streams: P of the streamed model.
        settings: Requests to average over, a reading each.
        system: What runs the models.
        laws: The laws by data set.
        level: Share of the refits that an interval holds.
    """
    streamed = base.with_streams(streams)
    return [
        _reading(chosen, streamed, system, laws[chosen.dataset], level)
        for chosen in starmap(_Choice, product(COST_MODELS, METHODS, laws, settings))
    ]


def engine_readings(
    readings: Sequence[Reading],
    engines: Sequence[Engine],
    system: System,
    laws: dict[str, Law],
    level: float = LEVEL,
) -> list[Reading]:
    """The first reading of our cost model that has an answer, of each setting, by other engines.

    Args:
        readings: What `readings` found on the system.
        engines: The engines; the system's own is left out.
        system: What runs the models, but for the engine.
        laws: The laws by data set.
        level: Share of the refits that an interval holds.
    """
    first = {
        reading.setting: reading
        for reading in reversed(readings)
        if reading.cost_model == "operators" and math.isfinite(reading.latency.value)
    }
    return [
        _reading(
            _Choice("operators", of.method, of.dataset, of.setting),
            of.base.with_streams(of.streams),
            replace(system, engine=engine),
            laws[of.dataset],
            level,
        )
        for engine in engines
        if engine.name != system.engine.name
        for of in reversed(first.values())
    ]


@dataclass(frozen=True, slots=True)
class _Choice:
    """Whose costs, which baseline, whose losses and which requests a reading takes."""

    cost_model: str
    method: str
    dataset: str
    setting: Setting


def _reading(
    chosen: _Choice, streamed: ModelSpec, system: System, law: Law, level: float
) -> Reading:
    model, setting = chosen.cost_model, chosen.setting
    make = partial(
        Reading,
        model,
        chosen.method,
        chosen.dataset,
        streamed.with_streams(1),
        single_count(streamed.streams),
        setting,
        engine=system.engine.name if model == "operators" else "",
    )
    try:
        baseline, spread = _baselines(chosen.method, streamed, law)
    except InputError as error:
        return make(Ratio(), Ratio(), note=str(error))
    cost_of = cache(partial(mean_cost, model, setting=setting, system=system))
    added = _Added(cost_of, streamed, baseline, spread)
    memory, latency = (added.ratio(part, level) for part in _PARTS)
    note = "; ".join(
        [*filter(None, [why_no_ratio(streamed, cost_of, baseline)]), *baseline.warnings]
    )
    return make(memory, latency, baseline, note)


def _baselines(method: str, streamed: ModelSpec, law: Law) -> tuple[Baseline, Baseline | None]:
    """The baseline, and for the law the same under each of its refits."""
    runs = law.fitted.runs
    if method == "measured":
        return measured_baseline(streamed, runs), None
    central = law_baseline(streamed, law.fitted.law, runs)
    sampled = len(central.specs) > 1
    return central, law_baseline(streamed, law.samples.law) if sampled else None


_PARTS = (attrgetter("memory"), attrgetter("latency"))


@dataclass(frozen=True, slots=True)
class _Added:
    """What streams and parameters add to a base.

    Attributes:
        cost_of: The cost of a model.
        streamed: The model with its streams.
        baseline: The parameter-scaled model.
        spread: It under each refit of the law; None where it is not uncertain.
    """

    cost_of: Callable[[ModelSpec], Cost]
    streamed: ModelSpec
    baseline: Baseline
    spread: Baseline | None

    def ratio(self, part: Callable[[Cost], Any], level: float) -> Ratio:
        """How many times less the streams add to a part of the cost."""

        def of(spec: ModelSpec) -> Any:
            return part(self.cost_of(spec))

        base = of(self.streamed.with_streams(1))
        added = of(self.streamed) - base

        def times(wider: Baseline) -> Number:
            return ratio_of_increases(wider.cost(of) - base, added, base)

        value = float(times(self.baseline))
        if self.spread is None or not math.isfinite(value):
            return Ratio(value)
        tail = (1.0 - level) / 2.0
        low, high = np.quantile(times(self.spread), (tail, 1.0 - tail))
        return Ratio(value, float(low), float(high))


def why_no_ratio(
    streamed: ModelSpec, cost_of: Callable[[ModelSpec], Cost], baseline: Baseline
) -> str:
    """Why a ratio of increases has no meaning here; "" where it has one."""
    if streamed.streams == 1:
        return "P = 1 is the base itself: nothing increases"
    base = cost_of(streamed.with_streams(1))
    if baseline.cost(lambda spec: cost_of(spec).memory) <= base.memory:
        return "the baseline is no larger than the base"
    return ""


@dataclass(frozen=True, slots=True)
class Terms:
    """Terms of a cost, or of an increase, means over the requests of a setting.

    Attributes:
        weights: Parameters, without what streams learn [B].
        learned: Prefixes and aggregator [B].
        cache: Keys and values at the end of the request [B].
        activations: Peak of live activations [B].
        prefill: Time to first token [s].
        decode: Time of all decode steps [s].
    """

    weights: float
    learned: float
    cache: float
    activations: float
    prefill: float
    decode: float

    @property
    def memory(self) -> float:
        """All memory [B]."""
        return self.weights + self.learned + self.cache + self.activations

    @property
    def latency(self) -> float:
        """All time [s]."""
        return self.prefill + self.decode

    def minus(self, other: Terms) -> Terms:
        """What these terms have beyond others."""
        return Terms(*(own - less for own, less in zip(self.all, other.all, strict=True)))

    @property
    def all(self) -> tuple[float, ...]:
        """The terms in their order."""
        memory = (self.weights, self.learned, self.cache, self.activations)
        return (*memory, self.prefill, self.decode)


@dataclass(frozen=True, slots=True)
class FormatClaim:
    """The claim in one choice of formats.

    Attributes:
        precision: The formats.
        base: The cost of the base.
        wider: What the parameter-scaled model adds to the base.
        streams: What the streams add to it.
    """

    precision: Precision
    base: Terms
    wider: Terms
    streams: Terms

    @property
    def memory_ratio(self) -> float:
        """Memory that parameters add, over what the streams add."""
        return float(ratio_of_increases(self.wider.memory, self.streams.memory, self.base.memory))

    @property
    def latency_ratio(self) -> float:
        """Time that parameters add, over what the streams add."""
        return float(
            ratio_of_increases(self.wider.latency, self.streams.latency, self.base.latency)
        )


def format_claims(
    streamed: ModelSpec,
    baseline: Baseline,
    setting: Setting,
    system: System,
    formats: Sequence[Precision],
) -> list[FormatClaim]:
    """The claim in each choice of formats, by our cost model.

    Args:
        streamed: The model with its streams.
        baseline: The parameter-scaled model of equal loss.
        setting: The requests.
        system: What runs the models; its formats do not matter.
        formats: Storage formats, a claim each.
    """
    return [
        _claim(streamed, baseline, _Asked(setting, replace(system, precision=precision)))
        for precision in formats
    ]


@dataclass(frozen=True, slots=True)
class _Asked:
    setting: Setting
    system: System

    def terms(self, spec: ModelSpec) -> Terms:
        """The terms of a model's cost."""
        return _means(estimate_on(spec, self.setting.workload, self.system))


def _means(cost: Estimate) -> Terms:
    held = cost.memory
    learned = held.prefix + held.aggregator
    terms = (
        held.weights - learned,
        learned,
        held.kv_cache,
        held.activations,
        cost.prefill.seconds,
        cost.decode.seconds,
    )
    return Terms(*(float(np.mean(term)) for term in terms))


def _claim(streamed: ModelSpec, baseline: Baseline, asked: _Asked) -> FormatClaim:
    base = asked.terms(streamed.with_streams(1))
    wider = np.asarray(baseline.cost(lambda spec: np.array(asked.terms(spec).all)))
    return FormatClaim(
        asked.system.precision,
        base,
        Terms(*map(float, wider)).minus(base),
        asked.terms(streamed).minus(base),
    )
