"""Where answers go: files, pipes, terminals and full disks."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cost_analysis.cli.output import FORMATS, OutputFlags, print_lazy_answer
from cost_analysis.report.render import Page
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


@pytest.mark.parametrize(
    ("form", "output", "chosen"),
    [
        (None, None, "table"),
        (None, "a.CSV", "csv"),
        (None, "a.markdown", "markdown"),
        (None, "a.txt", "table"),
        (None, "-", "table"),
        ("json", "a.csv", "json"),
    ],
)
def test_the_format_is_the_named_one_or_that_of_the_ending(
    form: str | None, output: str | None, chosen: str
) -> None:
    assert OutputFlags(form=form, output=output).chosen_format == chosen


@pytest.mark.parametrize("form", FORMATS)
def test_only_the_part_that_is_printed_is_made(
    form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[str] = []

    def part(name: str, content: Any) -> Any:
        made.append(name)
        return content

    print_lazy_answer(
        lambda: part("page", Page("a title")),
        lambda: part("record", {"x": 1}),
        lambda: part("rows", [{"x": 1}]),
        OutputFlags(form=form, output="-"),
    )
    assert made == [{"csv": "rows", "json": "record"}.get(form, "page")]
    printed = {
        "table": "a title\n",
        "markdown": "## a title\n",
        "json": '{\n  "x": 1\n}\n',
        "csv": "x\n1\n",
    }
    assert capsys.readouterr().out == printed[form]
