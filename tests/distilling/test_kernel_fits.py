"""All tables fitted by one call: which there are, one fit, what is lent and shipped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cost_analysis.distilling.facts import FORMATS_OF, UNTUNED
from cost_analysis.distilling.kernel_fits import (
    Bucket,
    Job,
    KernelFit,
    fit_all,
    fitted,
    jobs_of,
    shipped,
)
from cost_analysis.kernels.curves import load_curves
from cost_analysis.kernels.library import find_library
from cost_analysis.kernels.shapes import Product
from cost_analysis.kernels.tables import tables_of
from cost_analysis.search.sweep_workers import local_workers
from tests.helpers.kernel_tables import product_seconds, write_package


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of tables that Python finds before any other."""
    package = write_package(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return package


@pytest.mark.usefixtures("installed")
def test_a_table_is_fitted_and_its_errors_are_of_shapes_not_seen() -> None:
    fit = fitted(Job("h100-sxm-80gb", "vllm", "product", "bf16"))
    assert fit.curve is not None
    assert fit.reason == ""
    assert 0 < fit.held_out.rows < fit.rows
    assert fit.held_out.median < 0.1
    assert {bucket.name for bucket in fit.buckets} >= {"rows 1", "rows 2-16"}
    assert "gemm_perf.parquet" in fit.source
    rows = np.array([1.0, 64.0, 1024.0])
    times = np.asarray(fit.curve.seconds(Product(rows, 4096.0, 4096.0, "bf16")))
    true = [product_seconds(row, 4096.0, 4096.0) for row in rows.tolist()]
    assert times == pytest.approx(true, rel=0.15)


@pytest.mark.usefixtures("installed")
def test_a_missing_table_and_an_untuned_one_have_a_reason() -> None:
    missing = fitted(Job("h100-sxm-80gb", "vllm", "product", "nvfp4"))
    assert missing.curve is None
    assert "has no timings of nvfp4" in missing.reason
    for job in UNTUNED:
        assert fitted(Job(*job)).reason == "kernels that are not tuned"


@pytest.mark.usefixtures("installed")
def test_jobs_are_those_of_devices_and_engines_with_tables() -> None:
    jobs = jobs_of(tables_of(find_library()))
    assert {(job.device, job.engine) for job in jobs} == {
        ("h100-sxm-80gb", "vllm"),
        ("h100-sxm-80gb", "tensorrt-llm"),
    }
    assert len(jobs) == 2 * sum(map(len, FORMATS_OF.values()))


@pytest.mark.usefixtures("installed")
def test_fits_are_told_in_their_order() -> None:
    jobs = [Job("h100-sxm-80gb", "vllm", "product", name) for name in ("nvfp4", "mxfp4")]
    told: list[Job] = []
    with local_workers(1) as workers:
        fits = fit_all(jobs, workers.executor, lambda fit: told.append(fit.job))
    assert [fit.job for fit in fits] == told == jobs


CURVE = load_curves("h100-sxm-80gb", "vllm")["product", "bf16"].curve


def fit_of(engine: str, family: str, name: str, median: float = 0.05) -> KernelFit:
    job = Job("h100-sxm-80gb", engine, family, name)
    return KernelFit(job, CURVE, "s", 100, held_out=Bucket("all", 20, median, 2 * median))


def test_an_engine_without_a_table_borrows_the_curve_of_another() -> None:
    fits = [
        fit_of("vllm", "product", "bf16"),
        fit_of("sglang", "product", "fp8-block"),
        replace(fit_of("vllm", "product", "fp8-block"), curve=None, reason="of the host"),
        fit_of("sglang", "quantise", "fp8"),
    ]
    curves = shipped(fits)["h100-sxm-80gb", "vllm"]
    assert curves["product", "bf16"].lender == ""
    assert curves["product", "fp8-block"].lender == "sglang"
    assert ("quantise", "fp8") not in curves  # belongs to the product that includes it
    assert ("product", "nvfp4") not in curves


def test_a_curve_that_is_far_off_gives_way_to_a_better_one() -> None:
    poor, good = fit_of("vllm", "experts", "bf16", 0.2), fit_of("sglang", "experts", "bf16", 0.08)
    assert shipped([poor, good])["h100-sxm-80gb", "vllm"]["experts", "bf16"].lender == "sglang"
    assert shipped([poor])["h100-sxm-80gb", "vllm"]["experts", "bf16"].lender == ""
