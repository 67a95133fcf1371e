"""Where answers go: files, pipes, terminals and full disks."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_analysis.report import render
from cost_analysis.report.render import Page, Table, render_plain
from tests.helpers.program import SEED


@pytest.mark.parametrize(
    ("name", "begins"),
    [("a.csv", "cost_model,"), ("a.json", "{\n"), ("a.md", "## hidden 2560"), ("a.txt", "hidden")],
)
def test_output_file(name: str, begins: str, tmp_path: Path, answer: Callable[..., str]) -> None:
    file = tmp_path / name
    assert answer(*SEED, "--output", str(file)) == ""
    assert file.read_text().startswith(begins)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(file.stat().st_mode) == 0o666 & ~umask


def test_output_that_cannot_be_written(tmp_path: Path, refusal: Callable[..., str]) -> None:
    assert "No such file or directory" in refusal(*SEED, "--output", f"{tmp_path}/no/a")
    assert "Is a directory" in refusal(*SEED, "--output", str(tmp_path))
    long_name = str(tmp_path / ("x" * 300))
    assert "cannot write" in refusal(*SEED, "--output", long_name)
    assert list(tmp_path.iterdir()) == []


def test_output_that_fails_leaves_the_old_file(tmp_path: Path, refusal: Callable[..., str]) -> None:
    file = tmp_path / "kept.csv"
    file.write_text("precious")
    refusal(*SEED, "--P", "0", "--output", str(file))
    assert file.read_text() == "precious"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk(refusal: Callable[..., str]) -> None:
    assert "No space left" in refusal(*SEED, "--output", "/dev/full")
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "cost_analysis", *SEED]
        result = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert result.returncode == 1
    assert (
        result.stderr == "parscale-cost: error: cannot write the answer: No space left on device\n"
    )


def test_output_keeps_the_permissions_of_a_file(tmp_path: Path, answer: Callable[..., str]) -> None:
    file = tmp_path / "private.json"
    file.write_text("old")
    file.chmod(0o600)
    answer(*SEED, "--output", str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().startswith("{")


def test_a_dash_is_standard_output(
    tmp_path: Path, answer: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert answer(*SEED, "--output", "-") == answer(*SEED)
    assert list(tmp_path.iterdir()) == []


def test_standard_output_that_is_closed() -> None:
    command = f"{sys.executable} -m cost_analysis {' '.join(SEED)} >&-"
    result = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr


def test_a_link_is_written_through(tmp_path: Path, answer: Callable[..., str]) -> None:
    target, link = tmp_path / "target.json", tmp_path / "link.json"
    target.write_text("old")
    link.symlink_to(target)
    answer(*SEED, "--output", str(link))
    assert link.is_symlink()
    assert json.loads(target.read_text())["parameters"]["total"] > 0


def test_terminal_gets_rules_and_a_pipe_does_not() -> None:
    pty = pytest.importorskip("pty")
    parent, child = pty.openpty()
    command = [sys.executable, "-m", "cost_analysis", *SEED]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80"}
    environment.pop("NO_COLOR", None)
    with subprocess.Popen(command, stdout=child, stderr=child, env=environment) as running:
        os.close(child)
        raw = b""
        while True:
            try:
                chunk = os.read(parent, 65536)
            except OSError:
                break
            if not chunk:
                break
            raw += chunk
    os.close(parent)
    assert running.returncode == 0
    text = raw.decode()
    assert "\x1b[1m" in text
    assert "─" in text


words = st.sampled_from(
    ["a", "1,234", "5.6%", "±", "x2", "[y]", ":smile:", "ccc-ddd", "e/f", "é", "漢字", "", "z" * 50]
)
lines = st.lists(words, max_size=18).map(" ".join)
headers = st.sampled_from(["name", "FLOPs", "time, ms", "", "a b", "[bold]", ":x:"])


@st.composite
def tables(draw: st.DrawFn) -> Table:
    columns = tuple(draw(st.lists(headers, min_size=1, max_size=5)))
    cells = st.lists(words, max_size=3).map(" ".join)
    rows = st.lists(st.tuples(*(cells for _ in columns)), max_size=4)
    left = st.sets(st.integers(0, len(columns) - 1), max_size=2)
    return Table(draw(lines), columns, tuple(draw(rows)), tuple(draw(left)), draw(st.booleans()))


pages = st.builds(
    Page,
    lines,
    st.lists(lines, max_size=3).map(tuple),
    st.lists(tables(), max_size=2).map(tuple),
    st.lists(lines, max_size=3).map(tuple),
)


@given(pages)
def test_a_padded_page_is_as_rich_prints_it(page: Page) -> None:
    with mock.patch.object(render, "_is_narrow", return_value=False):
        drawn = render_plain(page)
    assert render_plain(page) == drawn


def test_a_page_of_the_program_is_only_padded() -> None:
    table = Table("Memory", ("part", "GiB"), (("weights", "8.86"), ("total", "8.92")), (0,), True)
    page = Page(
        "a model", ("memory  8.92 GiB",), (table,), ("A note that is long" + " and long" * 30,)
    )
    with mock.patch("rich.console.Console", side_effect=AssertionError):
        text = render_plain(page)
    assert "\n  part      GiB\n  weights  8.86\n  total    8.92\n" in text
    assert max(map(len, text.splitlines())) <= 80
