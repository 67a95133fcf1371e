"""The program as a whole: its entrances, its help, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cost_analysis.cli.main import cli
from tests.helpers.data import ROOT
from tests.helpers.program import SEED, process


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
        "import os, signal, time, cost_analysis.cli.estimate as e, cost_analysis.cli.main as c\n"
        "e.request_answer = lambda *a, **k: (os.kill(os.getpid(), signal.SIGINT), time.sleep(60))\n"
        f"c.main({SEED!r})"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 128 + signal.SIGINT
    assert result.stderr.strip() == "parscale-cost: error: interrupted"


def test_every_entrance_gives_the_same_answer() -> None:
    outputs = {
        subprocess.run([*command, *SEED], capture_output=True, check=True, cwd=ROOT).stdout
        for command in (
            [sys.executable, "-m", "cost_analysis"],
            [sys.executable, "cli.py"],
            [str(Path(sys.executable).with_name("parscale-cost"))],
            [sys.executable, "-m", "cost_analysis", "estimate"],
        )
    }
    assert len(outputs) == 1


def test_unknown_command(refusal: Callable[..., str]) -> None:
    assert "No such command 'estimat'" in refusal("estimat")


def test_help(answer: Callable[..., str]) -> None:
    text = answer("--help")
    assert answer() == answer("-h") == text
    assert max(map(len, text.splitlines())) <= 80
    for parameter in cli.commands["estimate"].params:
        assert parameter.opts[0] in text
    for name in cli.commands:
        assert name in text
        assert cli.commands[name].help
    assert "0.1.0" in answer("--version")
    assert "--version" in text
    assert "\\b" not in text
    assert "      parscale-cost --hidden_size 2560 --P 2 --batch_size 2" in text.splitlines()
