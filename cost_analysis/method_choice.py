"""Methods by their names: how each changes a model, and what it costs on a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from cost_analysis.comparison import choose
from cost_analysis.csv_table import read_table
from cost_analysis.errors import InputError, shown, unknown_name
from cost_analysis.method_cost import MethodCost, method_cost
from cost_analysis.methods import LARGEST, METHODS, Spending, base
from cost_analysis.profile_fields import Table, number, parse, size, switch, text
from cost_analysis.request import Request
from cost_analysis.spec import ModelSpec

DENSE = "dense"
"""The wider model of the loss that the request's streams reach."""


@dataclass(frozen=True, slots=True)
class Contest:
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


def contest(
    request: Request,
    methods: Sequence[str],
    *,
    baseline: str = "law",
    dataset: str = "stack",
    quality: Path | None = None,
) -> Contest:
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
        method_cost(
            way,
            request.workload,
            request.hardware,
            request.engine,
            request.precision,
            request.layout.of_streams(way.spec.streams),
        )
        for way in ways
    )
    return Contest(request, costs, ("base", *methods), _read_quality(quality))


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
