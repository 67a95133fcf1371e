"""The command `kernels`: lists, one engine, formats of answers, refusals."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cost_analysis.kernels import library
from tests.helpers.kernel_tables import write_package


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of tables that Python finds before any other."""
    package = write_package(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return package


@pytest.mark.usefixtures("installed")
def test_lists(answer: Callable[..., str], record: Callable[..., Any]) -> None:
    listing = answer("kernels")
    assert "h100-sxm-80gb" in listing
    assert listing == answer("kernels", "h100")
    rows = list(csv.DictReader(io.StringIO(answer("kernels", "--format", "csv"))))
    assert len(rows) == len(record("kernels")) == 8
    assert {row["device"] for row in rows} == {"h100-sxm-80gb"}
    assert {row["is_complete"] for row in rows} == {"True", "False"}


@pytest.mark.usefixtures("installed")
def test_one_engine(answer: Callable[..., str], record: Callable[..., Any]) -> None:
    page = answer("kernels", "h100-sxm-80gb", "vllm")
    assert page.startswith("Kernels of vllm on h100-sxm-80gb: 7 tables\n")
    assert "0.12.0" in page
    assert all(each["formats"] for each in record("kernels", "h100", "vllm"))


@pytest.mark.usefixtures("installed")
def test_refusals(refusal: Callable[..., str]) -> None:
    assert "no kernel tables of device 't4'" in refusal("kernels", "t4")
    assert "the nearest is vllm" in refusal("kernels", "h100", "vlm")
    assert "no kernel tables of sglang on h100" in refusal("kernels", "h100", "sglang")
    assert "no kernel tables of any engine on l40s" in refusal("kernels", "l40s")


def test_damage_is_one_sentence(installed: Path, refusal: Callable[..., str]) -> None:
    path = next(installed.rglob("moe_perf.parquet"))
    path.write_bytes(path.read_bytes()[:100])
    assert "moe_perf.parquet' is damaged; pip install --force-reinstall" in refusal("kernels")


def test_without_the_package(refusal: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "find_spec", lambda _: None)
    assert "pip install 'parscale-cost[kernels]'" in refusal("kernels")
