"""The walk in CONTRIBUTING.md: the files that `--P` passes through, checked against a run."""

from __future__ import annotations

import re
import sys
from contextlib import redirect_stdout
from io import StringIO
from itertools import pairwise
from pathlib import Path
from types import FrameType

import pytest

from cost_analysis.__main__ import main
from tests.helpers.program import SEED

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "cost_analysis"
TABLE = (ROOT / "CONTRIBUTING.md").read_text().partition("<!-- walk -->")[2]
STEPS: list[tuple[str, str]] = re.findall(
    r"^\| `(\S+)` \| `(\S+)` \|", TABLE.partition("<!-- /walk -->")[0], re.MULTILINE
)
"""File and function of each row."""


@pytest.fixture(scope="module")
def first_calls() -> dict[tuple[str, str], int]:
    """The functions of the package that the command calls, and the place of their first call."""
    found: dict[tuple[str, str], int] = {}

    def note(frame: FrameType, event: str, _: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(PACKAGE):
            step = (path.relative_to(PACKAGE).as_posix(), frame.f_code.co_qualname)
            found.setdefault(step, len(found))

    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()):  # no terminal
        patch.setattr(sys, "argv", ["parscale-cost", *SEED])
        before = sys.getprofile()
        sys.setprofile(note)
        try:
            with pytest.raises(SystemExit) as stop:
                main()
        finally:
            sys.setprofile(before)
    assert stop.value.code == 0
    return found


def test_the_walk_is_of_the_command_that_is_shown() -> None:
    assert f"`parscale-cost {' '.join(SEED)}`" in (ROOT / "CONTRIBUTING.md").read_text()


def test_the_walk_goes_through_at_most_twelve_files() -> None:
    files = [file for file, _ in STEPS]
    assert len(files) == len(set(files)) <= 12
    assert (files[0], files[-1]) == ("__main__.py", "report/render.py")


@pytest.mark.parametrize(("file", "function"), STEPS)
def test_every_step_is_called(
    first_calls: dict[tuple[str, str], int], file: str, function: str
) -> None:
    assert (PACKAGE / file).is_file()
    assert (file, function) in first_calls


def test_steps_are_called_in_the_order_listed(first_calls: dict[tuple[str, str], int]) -> None:
    places = [first_calls[step] for step in STEPS]
    assert all(earlier < later for earlier, later in pairwise(places))
