"""One streamed model beside its base and the parameter-scaled model of equal loss.

Also the costs of several named methods of spending compute on one request.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from cost_analysis.common.arrays import Number
from cost_analysis.common.errors import InputError, shown, unknown_name
from cost_analysis.common.files import Table, number, parse, read_table, size, switch, text
from cost_analysis.compare.methods import LARGEST, METHODS, MethodCost, Spending, base, method_cost
from cost_analysis.cost.estimate import Estimate, estimate_on, ratio_of_increases
from cost_analysis.inputs.request import Request
from cost_analysis.inputs.spec import ModelSpec
from cost_analysis.law.equal_loss import Baseline, choose
from cost_analysis.law.family import size_of

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
        """What the baseline adds over what the streams add; nan for rates."""
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
        losses: Losses that the user measured at P = 1 and with the streams; from them the law's
            floor and exponent give the size of the baseline.
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
        estimate_on(spec, request.workload, request.system.of_streams(spec.streams))
        for spec in (request.spec.with_streams(1), request.spec, model)
    )
    metrics = _metrics(base, streamed, scaled, price_per_hour)
    warnings = [*chosen.warnings, *_too_small(scaled, streamed)]
    if chosen.parameters <= size_of(base.spec):
        warnings.append("the baseline is no larger than the base: the ratios have no meaning")
    return Comparison(base, streamed, scaled, chosen, metrics, tuple(warnings))


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

    A lower bound: a device that waits for memory draws less than its limit. nan where the limit
    is not known.
    """
    watts = math.nan if cost.hardware.tdp is None else cost.hardware.tdp
    return cost.tokens_per_second / (watts * cost.layout.devices)


def _too_small(baseline: Estimate, streamed: Estimate) -> list[str]:
    device = baseline.hardware
    sentences = []
    for name, cost in (("the streamed model", streamed), ("the baseline", baseline)):
        if cost.memory.total > device.memory:
            sentences.append(f"{name} does not fit {device.name}: its time is hypothetical")
    return sentences


DENSE = "dense"
"""Name of the wider model that has the loss of the request's streams."""


@dataclass(frozen=True, slots=True)
class MethodComparison:
    """Methods on one request.

    Attributes:
        request: The request; its streams are the default amount.
        costs: What each costs, the base first.
        asked: How each was asked for.
        quality: The user's figure for each, by how it was asked for.
    """

    request: Request
    costs: tuple[MethodCost, ...]
    asked: tuple[str, ...]
    quality: Mapping[str, str]


def method_comparison(
    request: Request,
    methods: Sequence[str],
    *,
    baseline: str = "law",
    dataset: str = "stack",
    quality: Path | None = None,
) -> MethodComparison:
    """The cost of a request by several methods, beside its model with one stream.

    Args:
        request: The model, the workload and the system.
        methods: Names of `METHODS`, "dense", or paths of TOML files; "name:amount" states an
            amount, which else is the streams of the request.
        baseline: How the size of "dense" is chosen, as in `comparison.choose`.
        dataset: Likewise.
        quality: A CSV file with the columns method and quality.

    Raises:
        InputError: An unknown method, an amount out of range, or a method that is asked for twice.
    """
    if len(set(methods)) < len(methods):
        raise InputError(f"a method is asked for twice: {', '.join(methods)}")
    ways = [base(request.spec)]
    ways += [_way(each, request, baseline, dataset) for each in methods]
    costs = tuple(
        method_cost(way, request.workload, request.system.of_streams(way.spec.streams))
        for way in ways
    )
    return MethodComparison(request, costs, ("base", *methods), _read_quality(quality))


def _way(asked: str, request: Request, baseline: str, dataset: str) -> Spending:
    if asked.endswith(".toml"):
        return read_spending(Path(asked), request.spec)
    name, _, stated = asked.partition(":")
    if name == DENSE and not stated:
        return _dense(request, baseline, dataset)
    if name not in METHODS:
        raise unknown_name("method", name, {*METHODS, DENSE})
    amount = _amount(asked, stated) if stated else request.spec.streams
    if amount < 2:
        raise InputError(f"{asked} needs an amount of 2 or more: {name}:8, or --P 8 for all")
    return METHODS[name](request.spec, int(amount))


def _amount(asked: str, stated: str) -> int:
    if not (stated.isdecimal() and len(stated) <= len(str(LARGEST)) and int(stated) <= LARGEST):
        raise InputError(f"{shown(asked)}: the amount must be a whole number from 2 to {LARGEST}")
    return int(stated)


def _dense(request: Request, baseline: str, dataset: str) -> Spending:
    if request.spec.streams == 1:
        raise InputError("dense is the wider model of the loss of --P streams; give --P 2 or more")
    chosen = choose(request.spec, baseline, dataset, None)
    (model,) = chosen.specs
    return Spending("dense, wider", model, f"{chosen.method}: {chosen.description}")


def read_spending(path: Path, spec: ModelSpec) -> Spending:
    """A method of the user's own: a TOML file with fields of `Spending`.

    Raises:
        InputError: A file that cannot be read, or does not describe a method.
    """
    table = Table(path, parse(path, "method"))
    kinds = {"size": size, "switch": switch, "real": number}
    amounts: dict[str, Any] = {
        item.name: table.take(item.name, kinds[item.metadata["kind"]], item.default)
        for item in fields(Spending)
        if item.metadata
    }
    name = table.take("name", text, path.stem)
    source = table.take("source", text)
    table.refuse_the_rest()
    return Spending(name=name, spec=spec.with_streams(1), source=source, **amounts)


def _read_quality(path: Path | None) -> dict[str, str]:
    """The user's quality figure of each method, by the name that it is asked for."""
    if path is None:
        return {}
    table = read_table(path)
    names, values = (table.texts(table.column(column)) for column in ("method", "quality"))
    return dict(zip(names, values, strict=True))
