"""A package of kernel tables for tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from cost_analysis.kernels.library import Library, find_library
from tests.helpers.kernel_tables import write_package


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Tables that no test changes."""
    return find_library(write_package(tmp_path_factory.mktemp("tables")))


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The folder of a package that a test may damage."""
    return write_package(tmp_path)
