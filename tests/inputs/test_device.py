"""A device: its peaks, its links, and times of products between measured numbers of rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_analysis import (
    Engine,
    Hardware,
    InputError,
    ModelSpec,
    Precision,
    Workload,
    estimate,
    load_hardware,
)
from cost_analysis.common.arrays import single
from cost_analysis.inputs.device import ProductRates
from cost_analysis.inputs.dtypes import dtype_named
from tests.helpers.arrays import several
from tests.helpers.cases import EIGHT_A_NODE, FOUR_A_NODE

RATES = ProductRates((1, 2, 8, 64), (20e9, 40e9, 40e9, 10e9), (1e-5, 1e-5, 1e-5, 3e-5))
SPEC = ModelSpec(256, 1024, 4, 8, 2, vocab_size=1000)


def test_by_hand() -> None:
    """A GB: 50 ms with one row, 25 with two and eight, 100 with 64; half way between, the mean."""
    for rows, milliseconds in ((0.5, 50), (1, 50), (2, 25), (5, 25), (36, 62.5), (64, 100),
                               (128, 200)):  # fmt: skip
        assert RATES.seconds(1e9, rows) == pytest.approx(milliseconds / 1e3)
    assert RATES.start(8) == pytest.approx(1e-5)
    assert RATES.start(36) == pytest.approx(2e-5)


@pytest.mark.property
@given(st.lists(st.floats(0.5, 500), min_size=1, max_size=5))
def test_numbers_and_arrays_agree(rows: list[float]) -> None:
    together = RATES.seconds(1e9, np.array(rows))
    alone = [single(RATES.seconds(1e9, value)) for value in rows]
    np.testing.assert_allclose(several(together), alone, rtol=1e-14)


def test_products_take_the_measured_time(ideal: Engine, a100: Hardware) -> None:
    """At one rate and start for any rows: its bytes over the rate, and a start for each kernel."""
    slow = replace(a100, product_rates={"bf16": ProductRates((1, 1024), (1e9, 1e9), (1e-3, 1e-3))})
    work = Workload(2, 64, 16)
    plain, measured = (estimate(SPEC, work, device, ideal) for device in (a100, slow))
    for before, after in zip(plain.decode.times, measured.decode.times, strict=True):
        if after.operator.kind == "product":
            needed = after.operator.weight_bytes / 1e9 + after.operator.kernels * 1e-3
            assert after.seconds == pytest.approx(needed)
        else:
            assert after.seconds == before.seconds
    assert measured.tpot > plain.tpot


def test_a_type_that_was_not_measured_keeps_its_roofs(ideal: Engine, a100: Hardware) -> None:
    device = replace(a100, product_rates={"fp32": ProductRates((1,), (1e9,), (0,))})
    assert (
        estimate(SPEC, Workload(), device, ideal).tpot
        == estimate(SPEC, Workload(), a100, ideal).tpot
    )
    quantised = Precision("int8", "bf16", "bf16")
    device = replace(a100, product_rates={"bf16": ProductRates((1,), (1e9,), (0,))})
    assert estimate(SPEC, Workload(), device, ideal, quantised).tpot < (
        estimate(SPEC, Workload(), device, ideal).tpot
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("product_rates = 3", "must be a table"),
        ("[product_rates.bf17]\nrows = [1]\nrates = ['1 GB/s']", "did you mean bf16"),
        ("[product_rates]\nbf16 = 3", "must have lists 'rows', 'rates' and 'starts'"),
        ("[product_rates.bf16]\nrows = 1\nrates = '1 GB/s'\nstarts = 0", "must have lists"),
        (
            "[product_rates.bf16]\nrows = [1, 1]\nrates = ['1 GB/s', '2 GB/s']\nstarts = [0, 0]",
            "and rise",
        ),
        ("[product_rates.bf16]\nrows = []\nrates = []\nstarts = []", "and rise"),
        (
            "[product_rates.bf16]\nrows = [1, 2]\nrates = ['1 GB/s']\nstarts = [0, 0]",
            "a positive rate for each",
        ),
        ("[product_rates.bf16]\nrows = [1]\nrates = ['1 GB/s']\nstarts = ['-1 s']", "starts|-1 s"),
        ("[product_rates.bf16]\nrows = [1]\nrates = ['1 GB/s']\nstarts = []", "a start, 0 or more"),
        ("[product_rates.bf16]\nrows = [1]\nrates = ['fast']\nstarts = [0]", "'fast'"),
    ],
)
def test_invalid_measured_products_are_refused(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "device.toml"
    path.write_text(
        f'memory = "1 GiB"\nbandwidth = "1 GB/s"\npeak = {{fp32 = "1 GFLOP/s"}}\n{content}\n'
    )
    with pytest.raises(InputError, match=message):
        load_hardware(str(path))


def test_device_computes_in_the_nearest_wider_type() -> None:
    device = Hardware("d", "d", 1e9, 1e9, {"fp32": 1e12, "fp16": 4e12})
    assert device.peak_dtype(dtype_named("fp16")) == "fp16"
    assert device.peak_dtype(dtype_named("bf16")) == "fp32"
    assert device.peak_dtype(dtype_named("fp8")) == "fp16"
    assert device.matmul_peak(dtype_named("int4")) == 4e12
    narrow = Hardware("n", "n", 1e9, 1e9, {"int8": 1e12})
    with pytest.raises(InputError, match="no peak for bf16 or a wider type"):
        narrow.peak_dtype(dtype_named("bf16"))


@pytest.mark.parametrize(
    "changes",
    [{"memory": 0}, {"bandwidth": -1.0}, {"bandwidth": "fast"}, {"peak": {}},
     {"peak": {"bf16": 0.0}}, {"peak": {"bf17": 1.0}}, {"memory": float("inf")}],
)  # fmt: skip
def test_invalid_devices_are_refused(changes: dict[str, Any]) -> None:
    fields: dict[str, Any] = {"memory": 1e9, "bandwidth": 1e9, "peak": {"bf16": 1e12}}
    with pytest.raises(InputError):
        Hardware("d", "d", **(fields | changes))


@pytest.mark.parametrize("share", [0.0, 1.2, float("nan")])
def test_reached_shares_are_checked(share: float) -> None:
    with pytest.raises(InputError, match="reached_flops"):
        Hardware("d", "d", memory=1, bandwidth=1, peak={"fp32": 1.0}, reached_flops=share)


def test_measured_products_of_a_profile(tmp_path: Path) -> None:
    path = tmp_path / "device.toml"
    path.write_text(
        'memory = "1 GiB"\nbandwidth = "1 GB/s"\npeak = {fp32 = "1 GFLOP/s"}\n'
        "[product_rates.fp32]\nrows = [1, 8]\nrates = ['1 GB/s', '2 GB/s']\n"
        "starts = ['1 us', 0]\n"
    )
    rates = load_hardware(str(path)).product_rates
    assert rates == {"fp32": ProductRates((1, 8), (1e9, 2e9), (1e-6, 0))}


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("sources = 3", "field 'sources': 3 must be a table of texts"),
        ("sources = {peak = 3}", "field 'sources': 3 must be text in quotes"),
        ("reached = 3", "field 'reached': 3 must be a table"),
        ("devices_per_node = 1.5", "field 'devices_per_node': 1.5 must be a whole number"),
        ("devices_per_node = true", "field 'devices_per_node': True must be a whole number"),
        ("devices_per_node = 0", "devices_per_node is 0"),
    ],
)
def test_fields_of_another_kind(line: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "device.toml"
    path.write_text(
        f'{line}\nmemory = "1 GiB"\nbandwidth = "1 GB/s"\npeak = {{fp32 = "1 GFLOP/s"}}\n'
    )
    with pytest.raises(InputError) as error:
        load_hardware(str(path))
    assert sentence in str(error.value)


def test_links_between_devices() -> None:
    assert [FOUR_A_NODE.link_among(count) for count in (1, 4, 5)] == [
        "interconnect", "interconnect", "network",
    ]  # fmt: skip
    assert EIGHT_A_NODE.link_among(8) == "interconnect"
    assert replace(EIGHT_A_NODE, devices_per_node=None).link_among(9999) == "interconnect"
