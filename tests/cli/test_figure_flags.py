"""Flags of figures: which each has, what they are by default, and their limits."""

from __future__ import annotations

from collections.abc import Callable

import click
import pytest
from click.testing import CliRunner

from cost_analysis.cli import figure_flags
from cost_analysis.cli.figure_flags import (
    MOST_STREAMS,
    AccuracyFlags,
    BarFlags,
    ContourFlags,
    CostGridFlags,
    CurveFlags,
    GpuFlags,
    HeatFlags,
    MapFlags,
    MethodFlags,
    PictureFlags,
)
from cost_analysis.cli.flags import Flags, takes_flags
from cost_analysis.compare.methods import METHODS

RECORDS = [
    value
    for value in vars(figure_flags).values()
    if isinstance(value, type) and issubclass(value, Flags) and value is not Flags
]


def spelled(record: type[Flags]) -> set[str]:
    return {each.spelled for _, each in record.declared()}


@pytest.mark.parametrize(
    ("record", "flags"),
    [
        (PictureFlags, {"--output", "--dpi"}),
        (CurveFlags, {"--P", "--dataset"}),
        (ContourFlags, {"--P", "--dataset"}),
        (
            CostGridFlags,
            {"--base", "--P", "--dataset", "--cost_model", "--batch_size", "--input_length",
             "--output_length"},
        ),
        (MapFlags, {"--base", "--P", "--baseline", "--dataset", "--cost_model", "--output_length"}),
        (GpuFlags, {"--base", "--P", "--kernels"}),
        (BarFlags, {"--base", "--P", "--batch_size", "--input_length", "--output_length"}),
        (AccuracyFlags, {"--measurements"}),
        (MethodFlags, {"--with", "--baseline", "--dataset"}),
        (HeatFlags, {"--value"}),
    ],
)  # fmt: skip
def test_flags_of_each_record(record: type[Flags], flags: set[str]) -> None:
    assert spelled(record) == flags


def test_the_list_above_is_complete() -> None:
    assert len(RECORDS) == 10
    assert all(each.settings["help"] for record in RECORDS for _, each in record.declared())


def parsed(record: type[Flags], *arguments: str) -> tuple[int, Flags | None, str]:
    """The exit code, the record that a command is called with, and what was printed."""
    found: list[Flags] = []

    def command(flags: Flags) -> None:
        found.append(flags)

    command.__annotations__["flags"] = record
    run: Callable[..., None] = takes_flags(command)
    result = CliRunner().invoke(click.command()(run), arguments)
    return result.exit_code, found[0] if found else None, result.output


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_every_flag_may_be_left_out(record: type[Flags]) -> None:
    code, flags, _ = parsed(record)
    assert code == 0
    assert isinstance(flags, record)


def test_defaults_are_those_of_the_paper() -> None:
    for record in (CurveFlags, ContourFlags, CostGridFlags, MapFlags, BarFlags):
        _, flags, _ = parsed(record)
        assert getattr(flags, "streams", None) == 8
    for record, named in ((CostGridFlags, "published"), (MapFlags, "operators")):
        assert getattr(parsed(record)[1], "cost_model", None) == named


@pytest.mark.parametrize(
    ("count", "code"), [(0, 2), (1, 0), (MOST_STREAMS, 0), (MOST_STREAMS + 1, 2)]
)
def test_streams_of_a_figure_are_few(count: int, code: int) -> None:
    assert parsed(CurveFlags, "--P", str(count))[0] == code


@pytest.mark.parametrize(("dpi", "code"), [(49, 2), (50, 0), (600, 0), (601, 2)])
def test_pixels_of_a_figure(dpi: int, code: int) -> None:
    assert parsed(PictureFlags, "--dpi", str(dpi))[0] == code


def test_several_numbers_are_one_value() -> None:
    _, flags, _ = parsed(CostGridFlags, "--batch_size", "1,16")
    assert isinstance(flags, CostGridFlags)
    assert (flags.batch_size, flags.input_length) == ((1, 16), None)


def test_methods_that_are_drawn_exist() -> None:
    _, flags, _ = parsed(MethodFlags)
    assert isinstance(flags, MethodFlags)
    assert {name.split(":")[0] for name in flags.names} <= {*METHODS, "dense"}
