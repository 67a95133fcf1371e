"""Flags are records: what a command takes, its help lists, and its function gets typed."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, fields

import click
import pytest
from click.testing import CliRunner

from cost_analysis.cli.flags import Flags, SectionedCommand, flag, takes_flags
from cost_analysis.cli.main import MODULES, cli
from cost_analysis.cli.options import (
    LayoutFlags,
    LinkFlags,
    ModelFlags,
    PrecisionFlags,
    SystemFlags,
    WorkloadFlags,
)
from cost_analysis.common.checks import FLAGS
from cost_analysis.inputs.device import LINKS
from cost_analysis.inputs.layout import Layout
from cost_analysis.inputs.spec import ModelSpec, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner(Flags):
    """A record within another."""

    width: int = flag("Sizes", "--width", type=int, default=3, show_default=True)
    tags: tuple[str, ...] = flag("Names", "--tag", multiple=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer(Flags):
    """A record that holds another between its own flags."""

    height: int | None = flag("Sizes", "--height", type=int)
    inner: Inner
    quiet: bool = flag("Names", "--quiet", is_flag=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Last(Flags):
    """A record after it."""

    depth: bool | None = flag("Sizes", "--deep/--no_deep", default=None)


@click.command(cls=SectionedCommand)
@click.argument("name")
@takes_flags
def shown(name: str, outer: Outer, last: Last) -> None:
    click.echo(repr((name, outer, last)))


def printed(*arguments: str) -> str:
    result = CliRunner().invoke(shown, arguments)
    assert result.exit_code == 0, result.output
    return result.output.strip()


def test_a_command_gets_its_records() -> None:
    inner = Inner(width=3)
    assert printed("x") == repr(("x", Outer(inner=inner), Last()))
    inner = Inner(width=5, tags=("a", "b"))
    found = printed("y", "--width", "5", "--tag", "a", "--tag", "b", "--quiet", "--no_deep",
                    "--height", "2")  # fmt: skip
    assert found == repr(("y", Outer(height=2, inner=inner, quiet=True), Last(depth=False)))


def test_the_help_lists_flags_as_their_fields_stand() -> None:
    text = printed("--help")
    order = ["Sizes:", "--height", "--width", "--deep", "Names:", "--tag", "--quiet"]
    assert [word for word in text.split() if word in order] == order


@pytest.mark.parametrize(
    ("record", "known"),
    [
        (ModelFlags, {item.name for item in fields(ModelSpec)} - {"name", "layers", "frame"}),
        (WorkloadFlags, {item.name for item in fields(Workload)}),
        (LayoutFlags, {item.name for item in fields(Layout)} | set(LINKS)),
        (LinkFlags, set(LINKS)),
        (PrecisionFlags, {"weight_dtype", "activation_dtype", "kv_cache_dtype"}),
    ],
)
def test_every_field_of_the_core_has_its_flag(record: type[Flags], known: set[str]) -> None:
    assert {name for name, _ in record.declared()} - {"model", "download"} == known


def test_flags_are_spelled_as_records_are() -> None:
    """A field that the command line calls by another name is called so everywhere."""
    for record in (ModelFlags, WorkloadFlags, SystemFlags, LayoutFlags):
        for name, each in record.declared():
            assert each.spelled.split("/")[0] == f"--{FLAGS.get(name, name)}"


def test_commands_are_known_by_their_names() -> None:
    assert list(cli.commands) == list(MODULES)
    assert [command.name for command in cli.commands.values()] == list(MODULES)
    assert "nothing" not in cli.commands


def test_an_estimate_loads_no_other_command() -> None:
    code = (
        "import json, sys\n"
        "from cost_analysis.cli.main import cli\n"
        "cli(['--model', '1.6B'], None, None, False)\n"
        "print(json.dumps([m for m in sys.modules if m.startswith('cost_analysis.cli.')]))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(json.loads(run.stdout.splitlines()[-1]))
    names = ("main", "flags", "options", "option_types", "output", "estimate")
    assert loaded == {f"cost_analysis.cli.{name}" for name in names}
