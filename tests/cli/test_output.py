"""Where answers go: files, pipes, terminals, full disks, and an interrupt on the way."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import SEED, process


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


@pytest.mark.parametrize(
    "arguments",
    [
        SEED,
        [*SEED, "--format", "csv", "--rows", "operators"],
        ["--help"],
        ["sweep", "--help"],
        ["models"],
        ["sweep", "--model", "1.6B", "--batch_size", "1:2000:1", "--format", "csv"],
    ],
    ids=" ".join,
)
def test_a_closed_pipe_ends_every_command_quietly(arguments: list[str]) -> None:
    """Whoever reads is gone before the answer, whether it fits a buffer or does not."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        result = subprocess.run(
            [sys.executable, "-m", "cost_analysis", *arguments],
            stdout=writer, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    finally:
        os.close(writer)
    assert result.stderr == ""
    assert result.returncode == 128 + signal.SIGPIPE


def test_head_takes_a_line_of_a_sweep() -> None:
    command = f"{sys.executable} -m cost_analysis sweep --batch_size 1:2000:1 --hidden_size 2560"
    pipe = f"set -o pipefail; {command} --format csv | head -n 1"
    result = subprocess.run(["bash", "-c", pipe], capture_output=True, text=True, check=False)
    assert result.stdout.startswith("model,")
    assert result.stdout.count("\n") == 1
    assert result.stderr == ""
    assert result.returncode == 128 + signal.SIGPIPE


def test_a_narrow_alphabet_is_no_traceback() -> None:
    result = process(*SEED, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert result.returncode == 0
    result = process("models", "phi-4", "--format", "json", env={"PYTHONIOENCODING": "latin-1"})
    assert json.loads(result.stdout)["name"] == "phi-4"
    result = process("--model", "µ", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


def test_interrupt() -> None:
    """Ctrl-C while an answer is made: one line, exit code 130."""
    code = (
        "import os, signal, time, cost_analysis.commands as c\n"
        "c.request_answer = lambda *a, **k: (os.kill(os.getpid(), signal.SIGINT), time.sleep(60))\n"
        f"c.main({SEED!r})"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 128 + signal.SIGINT
    assert result.stderr.strip() == "parscale-cost: error: interrupted"


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
