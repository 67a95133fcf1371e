"""The claims with weights, products and cache in fewer bits, and which term moves them.

A ratio of increases has the wider model's weights above, and below what streams add to cache,
activations and time. Formats narrow these one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cost_analysis.baselines import Baseline
from cost_analysis.compare import ratio_of_increases
from cost_analysis.estimate import Estimate, estimate
from cost_analysis.request_costs import Setting, System
from cost_analysis.spec import ModelSpec, Precision


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
        """How many times what the streams add to the memory parameters add."""
        return float(ratio_of_increases(self.wider.memory, self.streams.memory, self.base.memory))

    @property
    def latency_ratio(self) -> float:
        """How many times what the streams add to the time parameters add."""
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
    return [_claim(streamed, baseline, _Asked(setting, system, precision)) for precision in formats]


@dataclass(frozen=True, slots=True)
class _Asked:
    setting: Setting
    system: System
    precision: Precision

    def terms(self, spec: ModelSpec) -> Terms:
        """The terms of a model's cost."""
        workload, system = self.setting.workload, self.system
        return _means(estimate(spec, workload, system.hardware, system.engine, self.precision))


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
    wider = baseline.cost(lambda spec: np.array(asked.terms(spec).all))
    return FormatClaim(
        asked.precision,
        base,
        Terms(*map(float, wider)).minus(base),
        asked.terms(streamed).minus(base),
    )
