"""The README and the pages of docs/ say what the program does."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from cost_analysis.cli.main import cli
from cost_analysis.inputs.configurations import ARCHITECTURES, TEXT_MODELS
from tests.helpers.data import ROOT

README = (ROOT / "README.md").read_text()
CONFIGS = ROOT / "tests" / "data" / "configs"
PAGES = [ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = [README, *(path.read_text() for path in PAGES)]
CONSOLE = [
    shown
    for text in TEXTS
    for shown in re.findall(r"```console\n\$ (.*?)\n(.*?)```", text, re.DOTALL)
]
PYTHON = re.findall(r"```python\n(.*?)```", "\n".join(TEXTS), re.DOTALL)
LINES = [line for text in TEXTS for line in text.splitlines() if line.startswith("parscale-cost ")]


def mentioned(text: str) -> Iterator[str]:
    """What follows the program's name in blocks of commands and in sentences."""
    blocks = re.findall(r"```(?:sh|bash|console)\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    spans = re.findall(r"`(parscale-cost[^`]*)`", text)
    for line in (*lines, *spans):
        for found in re.finditer(
            r"(?:^|[$/ ])parscale-cost(?= |$)([^|&;#]*(?:\|\w[^&;#]*)?)", line
        ):
            if not line.startswith(("$", "parscale-cost")) and "/parscale-cost" not in line:
                continue  # what a command prints
            yield found[1].strip()


MENTIONED = sorted({words for text in TEXTS for words in mentioned(text)})


@pytest.fixture
def printed(answer: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """What a command prints in the repository's folder."""

    def run(command: str) -> str:
        program, *arguments = shlex.split(command)
        assert program == "parscale-cost"
        monkeypatch.chdir(ROOT)
        return answer(*arguments)

    return run


def test_they_show_output() -> None:
    assert len(CONSOLE) >= 2
    # Nothing is shown that is not found: every block of a console has a command and its output.
    assert sum(text.count("```console") for text in TEXTS) == len(CONSOLE)


@pytest.mark.parametrize("command", dict(CONSOLE))
def test_shown_output_is_real(command: str, printed: Callable[[str], str]) -> None:
    """A command is run once, and its output compared with all that is shown of it."""
    output = printed(command)
    for shown in (text for each, text in CONSOLE if each == command):
        begin = shown.removesuffix("[...]\n")
        assert output.startswith(begin)
        assert output == begin or shown != begin


def test_two_commands_do_the_set_up() -> None:
    for marker, last in (("run", "parscale-cost --hidden_size 2560"), ("tests", "pytest")):
        (command,) = re.findall(rf"<!-- {marker} -->\n```sh\n(.*)\n```", README)
        assert command.startswith("python3 -m venv ")
        assert last in command


@pytest.mark.parametrize("source", PYTHON)
def test_python_examples_print(source: str) -> None:
    run = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    assert len(run.stdout.splitlines()) >= source.count("print(")


def test_every_json_key_is_documented(printed: Callable[[str], str]) -> None:
    record = json.loads(printed("parscale-cost --model 1.6B --cost_model published --format json"))
    keys = set(record)
    for group in ("memory_bytes", "flops", "latency_s"):
        keys |= set(record[group])
    assert {key for key in keys if f"`{key}`" not in README} == set()


MEASURING = {"validate", "profile", "report", "calibrate", "kernels"}
"""Commands that run real models, read their journals or need another package: here only their flags
are parsed."""


@pytest.mark.parametrize("line", LINES)
def test_commands_parse(
    line: str, tmp_path: Path, answer: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = shlex.split(line, comments=True)[1:]
    (toml,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "path" / "to").mkdir(parents=True)
    (tmp_path / "path" / "to" / "my-device.toml").write_text(toml)
    shutil.copy(CONFIGS / "gemma-2-2b.json", tmp_path / "path" / "to" / "config.json")
    if words[0] in MEASURING or words[:2] == ["plot", "measured"]:
        words.append("--help")
    monkeypatch.chdir(tmp_path)
    assert answer(*words) or "--output" in words


def of_words(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that words begin with, and the rest of them."""
    command: click.Command = cli
    if words and words[0].startswith("-") and words[0] not in ("--help", "--version"):
        words = ["estimate", *words]
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, *words = words
        assert name in command.commands, f"no command {name!r}"
        command = command.commands[name]
    return command, words


def flags_of(command: click.Command) -> set[str]:
    """Every way to write the options of a command."""
    names = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
    return {name.replace("-", "_") for name in (*names, "--help", "--version")}


def test_commands_are_found() -> None:
    assert len(MENTIONED) > 40
    assert "--hidden_size 2560 --P 2 --batch_size 2" in MENTIONED
    assert {"claims", "fit runs.csv", "parity tests/data/parity"} <= set(MENTIONED)


@pytest.mark.parametrize("words", MENTIONED)
def test_commands_and_their_flags_exist(words: str) -> None:
    """Those in sentences, too, and those that take too long to be run here."""
    first, *others = words.split("|")  # plot figure2|figure3
    for each in (first, *(f"{first.rsplit(' ', 1)[0]} {other}" for other in others)):
        command, rest = of_words(shlex.split(each, comments=True))
        flags = {word.split("=")[0].replace("-", "_") for word in rest if word.startswith("--")}
        assert flags <= flags_of(command)
        operands = [each for each in command.params if isinstance(each, click.Argument)]
        assert operands or not rest or rest[0].startswith("-"), f"{command.name} takes no words"


def test_a_command_that_does_not_exist_is_found_out() -> None:
    with pytest.raises(AssertionError, match="no command 'estimat'"):
        of_words(["estimat", "--P", "2"])
    command, _ = of_words(["--P", "2"])
    assert {"__P", "__hbm_memory_efficiency"} <= flags_of(command)
    assert "__streams" not in flags_of(command)


def test_files_that_are_named_are_there() -> None:
    named = {
        path
        for text in TEXTS
        for path in re.findall(r"`((?:tests|docs|profiles|benchmarks)/[^`*|<>… ]+)`", text)
    }
    assert len(named) > 10
    named = {path for path in named if "NAME" not in path}  # of what a reader adds
    assert {path for path in named if not (ROOT / path).exists()} == set()


def test_modules_that_are_named_are_there() -> None:
    named = {path for text in TEXTS for path in re.findall(r"`([a-z_]+/[a-z_]+\.py)`", text)}
    assert {"cost/roofline.py", "fitting/engine_fit.py"} <= named
    places = (ROOT / "cost_analysis", ROOT)
    assert {path for path in named if not any((at / path).exists() for at in places)} == set()


def test_figures_of_the_profiles() -> None:
    for folder, count in (("hardware", "devices"), ("models", "published models")):
        found = len(list((ROOT / "profiles" / folder).glob("*.toml")))
        assert f"{found} {count}" in README


def test_the_table_of_architectures_is_what_is_checked() -> None:
    (section,) = re.findall(r"^## Any model\n(.*?)^## ", README, re.DOTALL | re.MULTILINE)
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| (.+) \|$", section, re.MULTILINE)
    table = {kind: set(names.split(", ")) for kind, names in rows[1:]}
    assert rows[0] == ("model_type", "configurations checked")
    checked: dict[str, set[str]] = {}
    for path in CONFIGS.glob("*.json"):
        checked.setdefault(json.loads(path.read_text())["model_type"], set()).add(path.stem)
    assert table == checked
    assert checked.keys() == ARCHITECTURES.keys() | TEXT_MODELS.keys()
