"""What all tests share: one device, one engine, and hypothesis without surprises."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from cost_analysis import Engine, Hardware, load_engine, load_hardware

DATA = Path(__file__).parent / "data"

sys.path.insert(0, str(Path(__file__).parent))
settings.register_profile(
    "suite",
    deadline=None,
    derandomize=True,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
settings.load_profile("suite")


def read_rows(name: str) -> list[dict[str, str]]:
    """The rows of a CSV file in tests/data."""
    with (DATA / name).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="session")
def a100() -> Hardware:
    return load_hardware("a100-sxm-80gb")


@pytest.fixture(scope="session")
def graphs() -> Engine:
    return load_engine("graphs")


@pytest.fixture(scope="session")
def ideal() -> Engine:
    return load_engine("ideal")
