"""The command `plot`, through the program's own error handling."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cost_analysis.cli import plot
from cost_analysis.cli.options import stream_counts
from tests.helpers.data import ROOT
from tests.helpers.figure_cases import STREAMS
from tests.helpers.gpu_claims import use_plain_kernels

FIGURES = (
    "accuracy", "breakdown", "crossover", "figure2", "figure3", "figure4", "pareto",
)  # fmt: skip
SIGNATURES = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}


@pytest.fixture(autouse=True)
def _in_an_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def test_every_figure_is_a_command() -> None:
    assert tuple(sorted(plot.plot.commands)) == tuple(
        sorted((*FIGURES, "claims-on-gpus", "heatmap", "measured", "methods", "throughput"))
    )


def test_measured_runs(answer: Callable[..., str], refusal: Callable[..., str]) -> None:
    runs = sorted((ROOT / "profiles" / "runs").glob("*.jsonl"))
    assert answer("plot", "measured", *map(str, runs), "--output", "a.svg") == "wrote a.svg\n"
    text = Path("a.svg").read_text()
    assert all(run.name in text for run in runs)
    assert "cannot read 'none.jsonl'" in refusal("plot", "measured", "none.jsonl")
    Path("b.jsonl").write_text(runs[0].read_text().splitlines()[1] + "\n")
    assert "does not begin with the plan" in refusal("plot", "measured", "b.jsonl")
    Path("c.jsonl").write_text('{"kind": "run"}\n')
    assert "'c.jsonl', line 1: not a line of a journal" in refusal("plot", "measured", "c.jsonl")
    assert not Path("measured.png").exists()


def test_claims_on_gpus(
    answer: Callable[..., str], refusal: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    use_plain_kernels(monkeypatch)
    flags = ("plot", "claims-on-gpus", "--P", "4", "--base", "1.6B", "--output", "a.svg")
    assert answer(*flags) == "wrote a.svg\n"
    text = Path("a.svg").read_text()
    for shown in ("h100-sxm-80gb", "tensorrt-llm", "4 streams", "Kernels fitted"):
        assert shown in text, shown
    assert "P is 1" in refusal("plot", "claims-on-gpus", "--P", "1")
    assert "modelled" in refusal("plot", "claims-on-gpus", "--kernels", "modelled")


def test_throughput_of_a_model(answer: Callable[..., str], refusal: Callable[..., str]) -> None:
    flags = ("plot", "throughput", "--model", "1.6B", "--P", "2", "--output", "a.svg")
    assert answer(*flags, "--input_length", "10,100") == "wrote a.svg\n"
    text = Path("a.svg").read_text()
    for shown in ("P = 1 of the loss of P = 2", "55 input", "on average", "engine graphs"):
        assert shown in text, shown
    assert "P = 4" not in text
    assert "no model given" in refusal("plot", "throughput")


def test_a_plan_that_nothing_keeps_is_not_drawn() -> None:
    command = [sys.executable, "-m", "cost_analysis", "plot", "pareto", "--ttft_limit", "1us"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 1
    assert "no model keeps TTFT 1.00 us" in run.stderr
    assert list(Path().iterdir()) == []


MAP = ("plot", "heatmap", "--model", "4.4B", "--gpu_config", "rtx-4090", "--input_length", "1024")


def test_a_heat_map_of_two_axes(answer: Callable[..., str], refusal: Callable[..., str]) -> None:
    answer(*MAP, "--P", "1,8", "--batch_size", "1:64:x8", "--output", "a.svg")
    text = Path("a.svg").read_text()
    for word in ("latency_tpot_s", "batch_size", "does not fit", "4.4B", ">1<", ">64<"):
        assert word in text, word
    assert "two axes with several values each; given: P" in refusal(*MAP, "--P", "1,2")
    assert "two axes" in refusal(
        *MAP, "--P", "1,2", "--batch_size", "1,2", "--output_length", "1,2"
    )
    several = ("--P", "1,2", "--batch_size", "1:300")
    assert "batch_size has more than the 200 values" in refusal(*MAP, *several)
    assert "unknown column of numbers 'loss'" in refusal(*MAP, *several, "--value", "loss")


def test_methods(answer: Callable[..., str], refusal: Callable[..., str]) -> None:
    asked = ("plot", "methods", "--model", "qwen3-4b", "--P", "4")
    answer(*asked, "--with", "parscale,loop:2", "--output", "a.svg")
    text = Path("a.svg").read_text()
    for word in ("Whole request", "parscale P = 4", "loop R = 2", "Qwen3 4B"):
        assert word in text, word
    assert "unknown method 'x'" in refusal(*asked, "--with", "x")


def test_a_heat_map_of_nothing_and_of_names(answer: Callable[..., str]) -> None:
    """One output token: no time per token after the first."""
    answer(*MAP, "--P", "1,2", "--engine", "eager,graphs", "--output_length", "1")
    answer(*MAP, "--P", "1,2", "--engine", "eager,graphs", "--value", "flops_prefill")
    assert Path("heatmap.png").read_bytes().startswith(SIGNATURES["png"])


@pytest.mark.parametrize("name", FIGURES)
def test_writes_a_png_of_its_name_here(answer: Callable[..., str], name: str) -> None:
    assert answer("plot", name, "--dpi", "60") == f"wrote {name}.png\n"
    assert Path(f"{name}.png").read_bytes().startswith(SIGNATURES["png"])
    assert list(Path().iterdir()) == [Path(f"{name}.png")]


@pytest.mark.parametrize("ending", SIGNATURES)
def test_the_ending_chooses_the_format(answer: Callable[..., str], ending: str) -> None:
    answer("plot", "figure3", "--dataset", "pile", "--output", f"a.{ending.upper()}")
    assert Path(f"a.{ending.upper()}").read_bytes().startswith(SIGNATURES[ending])


@pytest.mark.parametrize("output", ["a.jpg", "a", "png", ".png"])
def test_another_ending_is_refused(refusal: Callable[..., str], output: str) -> None:
    result = refusal("plot", "figure2", "--output", output)
    assert ".png, .svg, .pdf" in result
    assert list(Path().iterdir()) == []


def test_options_reach_the_figure(answer: Callable[..., str]) -> None:
    answer(
        "plot", "figure4", "--base", "2.8B", "--P", "4", "--dataset", "pile",
        "--batch-size", "1,16", "--input_length", "32", "--output_length", "8",
        "--cost_model", "operators", "--gpu_config", "h100-sxm-80gb", "--engine", "ideal",
        "--output", "a.svg",
    )  # fmt: skip
    text = Path("a.svg").read_text()
    for shown in ("streams on 2.8B", "P = 4", "Loss, Pile", "batch 16", "32 + 8", "H100",
                  "engine ideal"):  # fmt: skip
        assert shown in text, shown
    assert "P = 8" not in text
    assert "1.6B" not in text


def test_the_published_cost_model_says_its_roofs(answer: Callable[..., str]) -> None:
    answer("plot", "figure4", "--flops_efficiency", "0.5", "--output", "a.svg")
    assert "published cost model at 0.5 and 0.9 of the roofs" in Path("a.svg").read_text()


@pytest.mark.parametrize(
    ("baseline", "shown"),
    [
        ("law", "baseline (law): 2.90B parameters"),
        ("measured", "linear in measured loss at 1.0383"),
        ("4.4B", "4.4B: 4.35B parameters"),
    ],
)
def test_baselines(answer: Callable[..., str], baseline: str, shown: str) -> None:
    answer("plot", "crossover", "--baseline", baseline, "--output", "a.svg")
    assert shown in Path("a.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["figure4", "--base", "qwen2.5-7b"], "not for qwen2.5-7b"),
        (["figure4", "--P", "16"], "no published run has P = 16"),
        (["figure4", "--batch_size", "1,2,3,4,5,6,7"], "7 batch sizes are too many"),
        (["figure4", "--input_length", "1,2", "--output_length", "1,2,3"], "cannot be paired"),
        (["figure3", "--P", "1"], "P is 1"),
        (["crossover", "--P", "1"], "P is 1"),
        (["crossover", "--baseline", "0.5B"], "no larger than the base"),
        (["crossover", "--base", "1.7B"], "1.7B"),
        (["breakdown", "--batch_size", "0"], "batch_size is 0"),
        (["breakdown", "--P", "1000"], "1000"),
        (["accuracy", "--measurements", "none.csv"], "none.csv"),
        (["figure9"], "figure9"),
        (["figure2", "--output", "missing/a.png"], "cannot write 'missing/a.png'"),
    ],
)
def test_refusals(refusal: Callable[..., str], arguments: list[str], sentence: str) -> None:
    assert sentence in refusal("plot", *arguments)
    assert list(Path().iterdir()) == []


def without(module: str) -> str:
    """What the program says where a module cannot be imported when it comes to draw."""
    code = (
        f"import sys; from cost_analysis.cli.main import main; sys.modules[{module!r}] = None\n"
        "main(('plot', 'figure2'))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode != 0
    assert list(Path().iterdir()) == []
    return run.stderr


@pytest.mark.parametrize("module", ["matplotlib", "PIL"])
def test_without_matplotlib_it_says_what_to_install(module: str) -> None:
    (line,) = without(module).splitlines()
    assert line.startswith("parscale-cost: error: ")
    assert "pip install 'parscale-cost[plot]'" in line


def test_another_missing_module_is_not_taken_for_matplotlib() -> None:
    result = without("cost_analysis.figures.style")
    assert "ModuleNotFoundError: import of cost_analysis.figures.style halted" in result
    assert "pip install" not in result


def test_help_without_a_figure(answer: Callable[..., str]) -> None:
    result = answer("plot")
    assert all(name in result for name in FIGURES)
    assert "\n  parscale-cost plot figure4\n" in result


@pytest.mark.parametrize("name", FIGURES)
def test_help_of_a_figure_is_narrow_and_complete(answer: Callable[..., str], name: str) -> None:
    result = answer("plot", name, "--help")
    assert max(map(len, result.splitlines())) <= 80
    for parameter in plot.plot.commands[name].params:
        assert parameter.opts[0] in result


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from cost_analysis.cli.plot import plot\n"
        "plot(['figure4', '--help'], standalone_mode=False)\n"
        "print([m for m in ('numpy', 'scipy', 'matplotlib') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.endswith("[]\n")


def test_stream_counts() -> None:
    assert stream_counts(1) == (1,)
    assert stream_counts(8) == STREAMS
    assert stream_counts(6) == (1, 2, 4, 6)
