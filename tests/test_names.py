"""docs/names.md compared with the code: every name that it lists exists, and none is missing."""

from __future__ import annotations

import re
from dataclasses import fields
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import click
import pytest

from cost_analysis import (
    Estimate,
    Hardware,
    Layout,
    Memory,
    ModelSpec,
    Operator,
    Parameters,
    Precision,
    ScalingLaw,
    Workload,
)
from cost_analysis.cli.main import cli
from cost_analysis.cost.latency import Phase
from cost_analysis.inputs.engine import AttentionKernels, Engine
from cost_analysis.search.columns import COLUMNS

PAGE = (Path(__file__).parents[1] / "docs" / "names.md").read_text()
KINDS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        ModelSpec,
        Workload,
        Precision,
        Layout,
        Hardware,
        Engine,
        AttentionKernels,
        Parameters,
        Memory,
        Estimate,
        Phase,
        Operator,
        ScalingLaw,
    )
}
UNITS = {"", "B", "B/s", "FLOP", "FLOP/s", "FLOP/B", "s", "1/s", "W", "tokens", "B, s"}


def rows() -> list[list[str]]:
    """Cells of each row of each table: code, flag, column, unit, meaning."""
    lines = [line for line in PAGE.splitlines() if line.startswith("| ") and "| code |" not in line]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def names(place: int) -> list[str]:
    """The names in a column of the tables, without their quotes."""
    return [name for row in rows() for name in re.findall(r"`([^`]+)`", row[place])]


def members(kind: type[Any]) -> set[str]:
    """What is public of a record: its fields and its properties."""
    named = getattr(kind, "_fields", None)  # of a named tuple
    stored = {item.name for item in fields(kind)} if named is None else set(named)
    found = {name for name, value in vars(kind).items() if isinstance(value, property)}
    return {name for name in stored | found if not name.startswith("_")}


def options(command: click.Command) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts if name[:2] == "--"}


def test_names_in_the_code_exist() -> None:
    split = [name.split(".") for name in names(0)]
    assert [(kind, name) for kind, name in split if name not in members(KINDS[kind])] == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_public_member_is_listed_once(kind: str) -> None:
    listed = [name.partition(".")[2] for name in names(0) if name.startswith(f"{kind}.")]
    assert sorted(listed) == sorted(members(KINDS[kind]))


def test_flags_exist_and_those_of_what_is_asked_are_listed() -> None:
    known = set().union(*map(options, cli.commands.values()))
    assert set(names(1)) <= known
    asked = options(cli.commands["estimate"])
    assert asked - set(names(1)) == {"--download", "--cost_model", "--rows", "--format", "--output"}


def test_every_column_of_a_sweep_is_listed() -> None:
    listed = names(2)
    missing = [
        column.name
        for column in COLUMNS
        if not any(fnmatch(column.name, pattern) for pattern in listed)
    ]
    assert missing == []


def test_columns_exist(record: Any, answer: Any) -> None:
    asked = ["--model", "llama-3.1-8b", "--tensor_parallel", "2", "--gpu_config", "h100"]
    header = answer(*asked, "--format", "csv").splitlines()[0].split(",")
    found = record(*asked)
    known = {*header, *(column.name for column in COLUMNS), "E", "A", "alpha", "k"}
    known |= {*found["operators"][0], *found["exchanges"][0], *found["model"]}
    assert [name for name in names(2) if not any(fnmatch(other, name) for other in known)] == []


def test_every_row_has_a_meaning_and_a_unit_of_the_system() -> None:
    for code, flag, column, unit, meaning in rows():
        assert code or flag or column
        assert unit in UNITS, unit
        assert meaning
