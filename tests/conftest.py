"""Fixtures of all tests: a device, engines, calls of the program; a profile of hypothesis."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from itertools import compress
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from cost_analysis import Engine, Hardware, load_engine, load_hardware
from cost_analysis.cli.main import main

# A shell that starts the suite in the background lets it ignore Ctrl-C, and so its children.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Models of tests are tiny: several threads of PyTorch would spin while they wait for each other,
# most of all where other workers or programs have the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
settings.register_profile(
    "suite",
    deadline=None,
    derandomize=True,
    max_examples=int(os.environ.get("EXAMPLES", "60")),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
settings.load_profile("suite")


LONG = (
    "measure/test_session.py",
    "measure/test_runner.py",
    "measure/test_validation.py",
    "telemetry/test_meter.py",
    "cli/test_measure.py",
    "search/test_sweep_files.py",
    "search/test_sweep_workers.py",
)
"""Files whose tests wait for other processes: they run first, so that none is the last to end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first, every other one in the second half, where the next worker begins."""
    waiting = [item.path.as_posix().endswith(LONG) for item in items]
    long = list(compress(items, waiting))
    rest = [item for item, waits in zip(items, waiting, strict=True) if not waits]
    middle = len(rest) // 2
    items[:] = [*long[::2], *rest[:middle], *long[1::2], *rest[middle:]]


@pytest.fixture(scope="session")
def a100() -> Hardware:
    return load_hardware("a100-sxm-80gb")


@pytest.fixture(scope="session")
def graphs() -> Engine:
    return load_engine("graphs")


@pytest.fixture(scope="session")
def ideal() -> Engine:
    return load_engine("ideal")


@pytest.fixture
def ready_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes of measured models in which PyTorch is already loaded, which takes seconds.

    `test_a_group_is_run_in_turn` starts them as a user's are.
    """
    if "forkserver" in multiprocessing.get_all_start_methods():
        from cost_analysis.measure import runner

        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["cost_analysis.measure.session"])
        monkeypatch.setattr(runner, "CONTEXT", context)


@pytest.fixture
def answer(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The output of a call that succeeds."""

    def run(*arguments: str, codes: tuple[int, ...] = (0,)) -> str:
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        printed = capsys.readouterr()
        assert stop.value.code in codes, printed.err
        return printed.out

    return run


@pytest.fixture
def record(answer: Callable[..., str]) -> Callable[..., Any]:
    """The JSON output of a call."""
    return lambda *arguments, **codes: json.loads(answer(*arguments, "--format", "json", **codes))


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The error message of a call that exits with code 2."""

    def run(*arguments: str) -> str:
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        printed = capsys.readouterr()
        assert stop.value.code == 2
        assert printed.out == ""
        (line,) = printed.err.splitlines()
        assert line.startswith("parscale-cost: error: ")
        return str(line)

    return run
